"""The recorded outputs of the original implementation, and the inputs that they were made from.

tests/data/oracle/README.md describes the records and the recipes of weights, images and labels.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

RECORDS = Path(__file__).parents[1] / "data" / "oracle"
NARROW = "narrow_c19_2x128x160"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def keys() -> Callable[[str], dict[str, Any]]:
    """Reads names, shapes and dtypes of an original state dict."""
    return lambda name: json.loads((RECORDS / f"{name}.keys.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def counts() -> dict[str, dict[str, Any]]:
    return json.loads((RECORDS / "counts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def narrow() -> Any:
    """Recorded outputs of the narrow model, by name."""
    return np.load(RECORDS / f"{NARROW}.npz")


@pytest.fixture(scope="session")
def bias_tables() -> Any:
    return np.load(RECORDS / "bias_interp.npz")


@pytest.fixture(scope="session")
def make_weights() -> Callable[..., dict[str, Tensor]]:
    return reference_weights


@pytest.fixture(scope="session")
def narrow_weights(keys: Callable[[str], dict[str, Any]]) -> dict[str, Tensor]:
    return reference_weights(keys(NARROW)["state_dict"], seed=0)


@pytest.fixture(scope="session")
def narrow_images(narrow: Any) -> Tensor:
    u = np.random.default_rng(int(narrow["seed_input"])).random(tuple(narrow["input_shape"]))
    return torch.from_numpy((2 * (2 * u - 1)).astype(np.float32))


@pytest.fixture(scope="session")
def narrow_labels(narrow: Any) -> Tensor:
    batch, _, height, width = narrow["input_shape"]
    rng = np.random.default_rng(int(narrow["seed_labels"]))
    u, v = rng.random((batch, 1, height, width)), rng.random((batch, 1, height, width))
    labels = np.where(v < 0.1, 255, np.floor(u * int(narrow["num_classes"])))
    return torch.from_numpy(labels.astype(np.int64)).squeeze(1)


def reference_weights(state_dict: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """Weights by the recipe, for the names and shapes of a ``keys.json``."""
    rng = np.random.default_rng(seed)
    return {
        key: torch.from_numpy(np.asarray(_draw(key, rng.random(shape)), dtype=np.float32))
        for key, (shape, dtype) in sorted(state_dict.items())
        if not dtype.startswith("int")
    }


def _draw(key: str, u: Any) -> Any:
    if key.endswith("relative_position_bias_table"):
        return 2 * u - 1
    if key.endswith(("gamma", "running_var")):
        return 0.5 + u
    if key.endswith("running_mean"):
        return (2 * u - 1) * 0.5
    if u.ndim >= 2:
        bound = math.sqrt(3 / math.prod(u.shape[1:]))
        return (2 * u - 1) * (bound / 2 if ".mlp_cls_" in key else bound)
    return 0.5 + u if key.endswith("weight") else (2 * u - 1) * 0.25

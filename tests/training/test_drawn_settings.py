"""Settings drawn at random that pass the check: two iterations of them train."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.config.checks import check_config
from semask.config.layers import assemble, read_layer

from .conftest import Trainer

TRAINED: list[int | None] = []
ROOT = Path(__file__).parents[2]
SHARES = st.sampled_from([0.0, 1e-300, 1e-5, 0.5, 1.0])
RATES = st.sampled_from([1e-300, 1e-5, 0.001, 0.01, 1.0, 900])
RATIOS = st.sampled_from([1e-300, 0.01, 0.5, 1.0, 3.0, 100.0])
TRAINING = st.fixed_dictionaries(
    {
        "learning_rate": RATES,
        "weight_decay": st.sampled_from([0.0, 1e-300, 0.05, 0.5, 900]),
        "warmup_iterations": st.sampled_from([0, 1, 10**9]),
        "warmup_ratio": SHARES,
        "precision": st.sampled_from(["fp32", "bf16", "fp16"]),
        "hard_pixels": st.sampled_from([None, 1, 100, 10**9]),
        "shuffle_labels": st.booleans(),
        "batch": st.fixed_dictionaries(
            {
                "size": st.sampled_from([1, 2, 3, 9]),
                "per": st.sampled_from(["run", "device"]),
                "micro_batch": st.sampled_from([None, 1, 2]),
            }
        ),
        "augmentation": st.fixed_dictionaries(
            {
                "scale": st.sampled_from([[64, 32], [64, 32], [150, 75], [33, 17], [1, 1]]),
                "ratio_range": st.tuples(RATIOS, RATIOS).map(sorted),
                "ratios": st.none(),
                "crop": st.sampled_from([[32, 32], [16, 48], [17, 33], [17, 1], [1, 1]]),
                "cat_max_ratio": st.sampled_from([1e-300, 0.5, 1.0]),
                "flip": SHARES,
                "photometric": st.booleans(),
            }
        ),
    }
)
WINDOW = {"size": [32, 32], "stride": [24, 16]}
PARTS = st.fixed_dictionaries(
    {
        "model": st.fixed_dictionaries(
            {
                "drop_path": st.sampled_from([0.0, 1e-300, 0.3, 0.999]),
                "norm": st.sampled_from(["bn", "syncbn"]),
            }
        ),
        "numerics": st.fixed_dictionaries(
            {
                "gelu": st.sampled_from(["exact", "tanh"]),
                "reduced_matmul": st.booleans(),
                "reduced_convolution": st.booleans(),
                "deterministic": st.booleans(),
                "shared_chance": st.booleans(),
            }
        ),
        # compiling takes minutes; training on a CPU has no fused attention, which ends it
        "execution": st.fixed_dictionaries(
            {
                "fused_attention": st.sampled_from([[], [], [], [], ["cpu"]]),
                "checkpointing": st.sampled_from([[], ["cpu"]]),
            }
        ),
        "loader": st.fixed_dictionaries({"workers": st.sampled_from([0, 0, 1, 3])}),
        "evaluation": st.fixed_dictionaries(
            {
                "scale": st.sampled_from([[64, 32], [96, 48], [33, 17], [1, 1]]),
                "sliding_window": st.sampled_from([None, WINDOW, {**WINDOW, "stride": [64, 64]}]),
            }
        ),
    }
)


@pytest.fixture(scope="module", autouse=True)
def enough_of_them_train() -> Iterator[None]:
    """A check that refuses everything would pass every other assertion."""
    yield
    assert not TRAINED or TRAINED.count(0) >= 5, TRAINED


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[*HealthCheck], print_blob=True)
@given(TRAINING, st.just({}) | PARTS, st.sampled_from([1, 1, 1, 2]),
       st.sampled_from([0, 7, 9 * 10**15]))  # fmt: skip
def test_what_passes_the_check_trains_or_says_in_one_line_why_not(
    data: Path, training: dict[str, Any], parts: dict[str, Any], processes: int, seed: int
) -> None:
    row = {"device": "cpu", "processes": processes, "threads": 1, "modes": ["full"]}
    overlay = {**parts, "training": training, "rows": [{**row, "seeds": [seed]}]}
    try:
        check_config(
            assemble([read_layer(ROOT / "config.yaml"), overlay]),
            ROOT / "schemas/config.schema.yaml",
        )
    except InputError:
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Trainer(data, Path(folder) / "run")
        process = run.start(
            seed=seed, processes=processes, iterations=2, evaluate_every=2, parts=parts,
            fault_tolerance={"checkpoint_iterations": None}, **training,
        )  # fmt: skip
        said, _ = process.communicate(timeout=300)
        TRAINED.append(process.returncode)
        assert "Traceback" not in said, said
        if process.returncode != 0:
            assert said.splitlines()[-1].startswith("error: "), said

"""The reference: float64 on the CPU, made from a rule, so that it does not travel.

Every machine computes it anew; two machines' references are the same if their fingerprints are.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semask.parity.calls import Call, is_floating


@torch.no_grad()
def set_weights(model: nn.Module, seed: int) -> None:
    """Give a model weights that are the same everywhere, rounded to float32.

    The rule of the recorded oracle: numpy's PCG64, one draw per tensor in the sorted order of
    their names, whose size keeps activations near one. Integer tensors stay.
    """
    rng = np.random.default_rng(seed)
    for name, tensor in sorted(model.state_dict().items()):
        if tensor.is_floating_point():
            value = _draw(name, rng.random(tuple(tensor.shape))).astype(np.float32)
            tensor.copy_(torch.from_numpy(value))


def _draw(name: str, u: np.ndarray) -> np.ndarray:
    centred = np.asarray(2 * u - 1)
    if name.endswith("relative_position_bias_table"):
        return centred
    if name.endswith(("gamma", "running_var")) or (u.ndim == 1 and name.endswith("weight")):
        return np.asarray(0.5 + u)
    if name.endswith("running_mean"):
        return 0.5 * centred
    if u.ndim < 2:
        return 0.25 * centred
    size = np.sqrt(3 / np.prod(u.shape[1:]))
    return np.asarray(centred * size * (0.5 if ".mlp_cls_" in name else 1.0))


def images(shape: Sequence[int], seed: int) -> Tensor:
    """Values in -2 … 2, float32, of any shape."""
    u = np.random.default_rng([1, seed]).random(tuple(shape))
    return torch.from_numpy((2 * (2 * u - 1)).astype(np.float32))


def labels(shape: Sequence[int], num_classes: int, seed: int) -> Tensor:
    """Classes, uint8, in patches of 8x8 pixels as objects have; 255 in a tenth of them."""
    rng = np.random.default_rng([2, seed])
    batch, height, width = shape
    patches = batch, -(-height // 8), -(-width // 8)
    classes = rng.integers(0, num_classes, patches, dtype=np.uint8)
    classes[rng.random(patches) < 0.1] = 255
    whole = classes.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return torch.from_numpy(np.ascontiguousarray(whole))


def fingerprint(
    model: nn.Module, inputs: Sequence[Any], calls: Sequence[Call], loss: float
) -> dict[str, Any]:
    """What tells one reference from another.

    Returns:
        SHA-256 of the weights' and the inputs' bytes as float32, the loss, and by call the norms of
        its outputs and of the gradients by them.
    """
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        weights.update(name.encode())
        weights.update(_bytes(tensor))
    given = hashlib.sha256()
    for tensor in inputs:
        given.update(_bytes(tensor))
    return {
        "weights_sha256": weights.hexdigest(),
        "inputs_sha256": given.hexdigest(),
        "loss": loss,
        "norms": {call.name: [_norm(call.outputs), _norm(call.gradients)] for call in calls},
    }


def _bytes(tensor: Any) -> bytes:
    if not isinstance(tensor, Tensor):
        return repr(tensor).encode()
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous().numpy().tobytes()


def _norm(leaves: Sequence[Any]) -> float:
    squares = [float(x.double().square().sum()) for x in leaves if is_floating(x)]
    return float(np.sqrt(sum(squares)))

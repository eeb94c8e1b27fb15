"""Weights under the names of the original implementation, in and out.

The modules here bear the original names, so that reading published weights is mostly a check of
names and shapes. Left over are two kinds of derived tensors, which the original stores and which
are not weights (`relative_position_index`, `attn_mask`), and bias tables of another window size.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.errors import InputError
from semask.model.segmentor import SeMaskFPN

_WRAPPERS = ("state_dict", "model")
_DERIVED = (".relative_position_index", ".attn_mask")
_BIAS_TABLE = ".relative_position_bias_table"


@dataclass
class LoadReport:
    """What happened to the tensors of a model and of a state dict, by name.

    Attributes:
        loaded: taken from the state dict, the interpolated ones included.
        missing: of the model, and not in the state dict; they keep their values.
        unused: of the state dict, and not in the model. Derived tensors are not listed.
        interpolated: bias tables that came from another window size.
    """

    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    interpolated: list[str] = field(default_factory=list)


def load_reference(model: SeMaskFPN, state_dict: Mapping[str, Any]) -> LoadReport:
    """Fills a model from a state dict of the original SeMask-FPN.

    Args:
        model: from `build`; nothing in it changes when an error is raised.
        state_dict: original names (``backbone.…``, ``decode_head.…``) to tensors, or a mapping
            with such a one under ``state_dict`` or ``model``. Relative position bias tables of
            another window size are interpolated.

    Returns:
        Names of what was loaded, missing, unused and interpolated.

    Raises:
        InputError: a tensor has another shape than the model's, or no name matches.
    """
    return _fill(model, "", _unwrap(state_dict))


def load_pretrained_swin(model: SeMaskFPN, state_dict: Mapping[str, Any]) -> LoadReport:
    """Fills the backbone from a state dict of the original Swin image classifier.

    The classifier (``head.*``) and the norm before it (``norm.*``) have no place in the model and
    are reported as unused; the semantic layers, the stages' own norms and the decoder have no
    counterpart in the file and are reported as missing.

    Args:
        model: from `build`; nothing in it changes when an error is raised.
        state_dict: original names (``patch_embed.…``, ``layers.…``) to tensors, or a mapping with
            such a one under ``state_dict`` or ``model``. Relative position bias tables of another
            window size are interpolated.

    Returns:
        Names of what was loaded, missing (both as in the model), unused and interpolated.

    Raises:
        InputError: a tensor has another shape than the model's, or no name matches.
    """
    return _fill(model, "backbone.", _unwrap(state_dict))


def export_reference(model: SeMaskFPN) -> dict[str, Tensor]:
    """The state dict of a model as the original SeMask-FPN would save it.

    Args:
        model: from `build`, or trained; not wrapped.

    Returns:
        Original names to tensors, which share memory with the model.
    """
    tensors = dict(model.state_dict())
    for name, buffer in model.named_buffers():  # timm leaves the index out of its state dict
        if name.endswith(_DERIVED):
            tensors[name] = buffer
    return tensors


def interpolate_bias_table(table: Tensor, length: int) -> Tensor:
    """Resizes a relative position bias table for another number of relative positions.

    Args:
        table: (L², heads), L = 2·window - 1.
        length: L of the result.

    Returns:
        (length², heads), bicubic, corners not aligned, of the table's dtype.
    """
    side = _side(table)
    image = table.T.reshape(1, -1, side, side)
    image = image.to(torch.promote_types(table.dtype, torch.float32))
    image = F.interpolate(image, size=(length, length), mode="bicubic", align_corners=False)
    return image.flatten(2).squeeze(0).T.to(table.dtype)


def _fill(model: nn.Module, prefix: str, state_dict: Mapping[str, Any]) -> LoadReport:
    targets = {name: t for name, t in model.state_dict().items() if not name.endswith(_DERIVED)}
    report = LoadReport()
    values: dict[str, Tensor] = {}
    faults = []
    for key, value in state_dict.items():
        name = prefix + key
        if name.endswith(_DERIVED):
            continue
        if name not in targets or not isinstance(value, Tensor):
            report.unused.append(key)
            continue
        target = targets[name]
        if value.shape != target.shape and _is_resizable(name, value, target):
            value = interpolate_bias_table(value, _side(target))
            report.interpolated.append(name)
        if value.shape != target.shape:
            faults.append(
                f"weights: {key} has shape {tuple(value.shape)} in the file and "
                f"{tuple(target.shape)} in the model; use a file or a model of the same size and "
                "number of classes"
            )
        values[name] = value
    if faults:
        raise InputError("\n".join(faults))
    if not values:
        raise InputError(
            f"weights: none of the file's {len(state_dict)} names is in the model, which expects "
            f"names such as {next(iter(targets)).removeprefix(prefix)}; use a file with the "
            "original names"
        )
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)
    report.loaded = list(values)
    report.missing = [name for name in targets if name not in values]
    return report


def _unwrap(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    for wrapper in _WRAPPERS:
        inner = state_dict.get(wrapper)
        if isinstance(inner, Mapping):
            return _unwrap(inner)
    return state_dict


def _is_resizable(name: str, value: Tensor, target: Tensor) -> bool:
    return (
        name.endswith(_BIAS_TABLE)
        and value.ndim == 2
        and value.shape[1] == target.shape[1]
        and _side(value) ** 2 == value.shape[0]
    )


def _side(table: Tensor) -> int:
    return round(table.shape[0] ** 0.5)

"""Weights under the names of the original implementation, in and out.

The modules here bear the original names, so that reading published weights is mostly a check of
names and shapes. Left over are two kinds of derived tensors, which the original stores and which
are not weights (`relative_position_index`, `attn_mask`), and bias tables of another window size.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semask.base.errors import InputError
from semask.model.foreign import Brought, bring_segmentor, bring_swin
from semask.model.misfits import BACKBONE, BIAS_TABLE, refuse_misfits
from semask.model.segmentor import SeMaskFPN

_DERIVED = (".relative_position_index", ".attn_mask")
_PLAIN = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
          torch.int16, torch.int8, torch.uint8, torch.bool)  # fmt: skip
# What a file may have beside the trunk of a Swin: the end of its task, the norms before it, what
# masked images were made with; and the rest of a model of which the Swin is a part.
_NO_TRUNK = re.compile(
    r"(?:(?:module|model|backbone|encoder|swin)\.)*"
    r"(?:(?:\w*head|classifier|fc|neck|decoder|projector|predictor|(?:layer)?norm\d*|mask_token|"
    r"pooler|hidden_states_norms)(?:\.|$)|steps$|n_averaged$)"
)
_COUNTERS = re.compile(r"steps$|n_averaged$")  # of how often weights were averaged


@dataclass
class LoadReport:
    """What happened to the tensors of a model and of a state dict, by name; not to derived ones."""

    loaded: list[str]  # taken from the state dict, the interpolated ones included
    missing: list[str]  # of the model, and not in the state dict; they keep their values
    unused: list[str]  # of the state dict, and not in the model
    interpolated: list[str]  # bias tables that came from another window size
    # what was done to the names and the order of the file's tensors, in words
    converted: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """The numbers of tensors, and what was converted, in one line."""
        converted = "".join(f"; {note}" for note in self.converted)
        return (
            f"{len(self.loaded)} tensors loaded, {len(self.interpolated)} of them interpolated; "
            f"{len(self.missing)} of the model not in the file, {len(self.unused)} of the file "
            f"not used{converted}"
        )


def load_reference(model: SeMaskFPN, state_dict: Mapping[str, Any]) -> LoadReport:
    """Fills a model from a state dict of the original SeMask-FPN.

    That has original names (``backbone.…``, ``decode_head.…``) to tensors, or is a mapping with
    such a one under ``state_dict``, ``model`` and the like. A beginning that all names share, as
    ``module.``, is left out. Relative position bias tables of another window size are interpolated.
    Unused is at most a counter of averaged weights, missing are at most the batch norms' counters
    of batches, on which nothing depends. When an error is raised, nothing in the model changes.

    Raises:
        InputError: a name is missing or unknown, or a tensor has another shape than the model's.
            One line for another number of classes, one for all else.
    """
    return _fill(model.state_dict(), "", bring_segmentor(state_dict), _COUNTERS)


def load_pretrained_swin(model: SeMaskFPN, state_dict: Mapping[str, Any]) -> LoadReport:
    """Fills the trunk of the backbone from a state dict of a Swin image classifier.

    The trunk is the patch embedding, the blocks and the downsampling, and all of it must be in the
    file. The classifier (``head.…``), the norm before it (``norm.…``) and the rest of another model
    that the Swin is the backbone of have no place in the model and are reported as unused, by their
    names in the file; the semantic layers, the stages' own norms and the decoder have no
    counterpart in the file and are reported as missing.

    The state dict, which may lie in a mapping under ``state_dict``, ``model`` and the like, has the
    original's names (``patch_embed.…``, ``layers.…``), timm's, those of mmpretrain and
    mmsegmentation, or those of Hugging Face's transformers, behind ``module.``, ``backbone.``,
    ``encoder.`` or ``model.``. Relative position bias tables of another window size are
    interpolated. When an error is raised, nothing in the model changes.

    Raises:
        InputError: a name of the trunk is missing, a name is unknown, or a tensor has another
            shape than the model's. One line, which also says what size the file's model has.
    """
    everything = model.state_dict()
    trunk = {
        name: tensor
        for name, tensor in everything.items()
        if name.startswith((f"{BACKBONE}patch_embed.", f"{BACKBONE}layers."))
        and ".semantic_layer." not in name
    }
    report = _fill(trunk, BACKBONE, bring_swin(state_dict), _NO_TRUNK)
    report.missing = [n for n in everything if n not in trunk and not n.endswith(_DERIVED)]
    return report


def export_reference(model: SeMaskFPN) -> dict[str, Tensor]:
    """The state dict of a model as the original SeMask-FPN would save it.

    The model is not wrapped; the tensors share memory with it.
    """
    # timm leaves the index out of its state dict
    derived = {name: x for name, x in model.named_buffers() if name.endswith(_DERIVED)}
    return {**model.state_dict(), **derived}


def interpolate_bias_table(table: Tensor, length: int) -> Tensor:
    """Resizes a relative position bias table (L², heads), L = 2·window - 1, to L = `length`.

    Bicubic, corners not aligned; the dtype stays.
    """
    side = _side(table)
    image = table.T.reshape(1, -1, side, side)
    image = image.to(torch.promote_types(table.dtype, torch.float32))
    image = F.interpolate(image, size=(length, length), mode="bicubic", align_corners=False)
    return image.flatten(2).squeeze(0).T.to(table.dtype)


def _fill(
    targets: Mapping[str, Tensor], prefix: str, file: Brought, may_be_unused: re.Pattern[str]
) -> LoadReport:
    """Copies the tensors of a state dict into targets, all of them or none.

    Targets go by their names in the model, which begin with `prefix` where the file's do not. Of
    what `may_be_unused` matches the beginning of the name, no target is needed.

    Raises:
        InputError: a target or a tensor without counterpart, or of another shape.
    """
    targets = {name: target for name, target in targets.items() if not name.endswith(_DERIVED)}
    values: dict[str, Tensor] = {}
    unused = [*file.others]
    unknown = [name for name in unused if not may_be_unused.match(name)]
    interpolated: list[str] = []
    for short, value in file.tensors.items():
        name = prefix + short
        if name.endswith(_DERIVED):
            continue
        if name not in targets or not isinstance(value, Tensor):
            unused.append(file.names[short])
            if not may_be_unused.match(short):
                unknown.append(file.names[short])
            continue
        target = targets[name]
        # a tensor without numbers can only go to one without
        has_numbers = target.is_meta or not value.is_meta
        if not (has_numbers and value.layout == torch.strided and value.dtype in _PLAIN):
            raise InputError(
                f"weights: {name} holds no plain numbers ({value.dtype}, {value.layout}, on "
                f"{value.device}); use a file with dense tensors of real numbers"
            )
        if value.shape != target.shape and _is_resizable(name, value, target):
            value = interpolate_bias_table(value, _side(target))
            interpolated.append(name)
        values[name] = value
    refuse_misfits(file.tensors, values, targets, prefix, unknown)
    # as the model has them: what is finite in float64 may be infinite there
    values = {name: value.to(targets[name].dtype) for name, value in values.items()}
    unfit = [
        name for name, value in values.items() if not value.is_meta and not value.isfinite().all()
    ]
    if unfit:
        raise InputError(
            f"weights: {len(unfit)} tensors hold NaN or infinity ({unfit[0]}); use another file"
        )
    with torch.no_grad():
        for name, value in values.items():
            targets[name].copy_(value)
    missing = [name for name in targets if name not in values]
    return LoadReport(list(values), missing, unused, interpolated, file.notes)


def _is_resizable(name: str, value: Tensor, target: Tensor) -> bool:
    return (
        name.endswith(BIAS_TABLE)
        and value.ndim == 2
        and value.shape[1] == target.shape[1]
        and _side(value) ** 2 == value.shape[0] > 0
    )


def _side(table: Tensor) -> int:
    return round(table.shape[0] ** 0.5)

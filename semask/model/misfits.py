"""What to say of weights that do not fit a model."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from semask.base.errors import InputError

BACKBONE = "backbone."
BIAS_TABLE = ".relative_position_bias_table"
_SEMANTIC, _DECODER = ".mlp_cls_", "decode_head.conv_seg."  # what has a channel per class
_COUNTER = ".num_batches_tracked"  # older files lack it; nothing reads it
_SHOWN = 3  # names in a message
_LONGEST = 200  # letters of one


def refuse_misfits(
    state_dict: Mapping[str, Any],
    values: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    prefix: str,
    unknown: Sequence[str],
) -> None:
    """Raises an error for weights that cannot be copied into a model one by one.

    Of a file's state dict, `values` have a target, under the names of these, and the names in
    `unknown` have none. The model's names begin with `prefix` where the file's do not.

    Raises:
        InputError: a value is missing, unknown or of another shape than its target, or nothing has
            a target. One line if the number of classes differs, and one for all else.
    """
    if not values:
        found = f"; its own are such as {_shown(next(iter(state_dict)))}" if state_dict else ""
        wanted = next(iter(targets)).removeprefix(prefix)
        raise InputError(
            f"weights: none of the file's {len(state_dict)} names is in the model, which expects "
            f"names such as {wanted}{found}; use a file with the original names"
        )
    missing = [
        name.removeprefix(prefix)
        for name in targets
        if name not in values and not name.endswith(_COUNTER)
    ]
    misshapen = [name for name in values if values[name].shape != targets[name].shape]
    by_class = [
        name
        for name in misshapen
        if (_SEMANTIC in name or _DECODER in name)
        and values[name].shape[1:] == targets[name].shape[1:]
    ]
    shapes = [
        f"{name.removeprefix(prefix)} {tuple(values[name].shape)} instead of "
        f"{tuple(targets[name].shape)}"
        for name in misshapen
        if name not in by_class
    ]
    faults = [
        f"{len(names)} {what} ({_some(names)})"
        for what, names in (
            ("missing in the file", missing),
            ("unknown to the model", unknown),
            ("of another shape", shapes),
        )
        if names
    ]
    lines = [_another_class_count(values, targets)] if by_class else []
    if faults:
        file, model = _size(state_dict), _size(targets)
        remedy = f"the file has {file}, the model {model}: use one that fits the other"
        if file == model:
            remedy = (
                "the sizes agree, but it is not the whole model and nothing else: use another file"
            )
        lines.append(f"weights: the file does not fit the model: {', '.join(faults)}; {remedy}")
    if lines:
        raise InputError("\n".join(lines))


def _another_class_count(values: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> str:
    semantic, decoder = _classes(values, _SEMANTIC), _classes(values, _DECODER)
    remedy = "use a file or a num_classes that fits the other"
    if semantic != decoder:  # as in the original's settings for COCO-Stuff: 150 and 171
        remedy = "no num_classes fits such a file: use another file"
    return (
        f"weights: the file is for {semantic} classes in its semantic layers and {decoder} in its "
        f"decoder, the model for {_classes(targets, _DECODER)}; {remedy}"
    )


def _classes(tensors: Mapping[str, Tensor], part: str) -> str:
    return _joined(
        sorted({len(t) for name, t in tensors.items() if part in name and t.ndim}), " or ", "no"
    )


def _size(tensors: Mapping[str, Any]) -> str:
    """What the names and shapes of a trunk say of its size."""
    shapes = {
        str(name).removeprefix(BACKBONE): tuple(tensor.shape)
        for name, tensor in tensors.items()
        if isinstance(tensor, Tensor)
    }
    depths: dict[int, set[str]] = {}
    for name in shapes:
        if found := re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", name):
            depths.setdefault(int(found[1]), set()).add(found[2])
    embed = (shapes.get("patch_embed.proj.weight") or ("unknown",))[0]
    tables = [shapes.get(f"layers.{i}.blocks.0.attn{BIAS_TABLE}", ()) for i in sorted(depths)]
    heads = [table[1] if len(table) == 2 else "unknown" for table in tables]
    windows = sorted({(round(table[0] ** 0.5) + 1) // 2 for table in tables if table})
    return (
        f"embed {embed}, depths {_joined([len(depths[i]) for i in sorted(depths)], '-', 'none')}, "
        f"heads {_joined(heads, '-', 'none')}, window {_joined(windows, ' or ', 'unknown')}"
    )


def _some(names: Sequence[str]) -> str:
    rest = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*map(_shown, names[:_SHOWN]), *rest])


def _shown(name: object) -> str:
    """A name of the file, which may hold anything, in part of a line."""
    text = str(name) if str(name).isprintable() else ascii(str(name))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _joined(values: Iterable[Any], separator: str, otherwise: str) -> str:
    return separator.join(map(str, values)) or otherwise

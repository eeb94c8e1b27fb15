"""State dicts as other libraries and trainers save them, brought to the original's names.

A file may hold its state dict within others, each name of it may begin with what a wrapper module
adds, and a Swin may have the names of timm, of mmpretrain and mmsegmentation 1.x, or of Hugging
Face's transformers. All that is done to a file is said in words, for the report of its load.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

# in the order in which they are taken: where a file holds averaged weights, too, the plain ones are
_WRAPPERS: Final = (
    *("state_dict", "model", "model_ema", "state_dict_ema", "ema_state_dict", "teacher"),
)
_ADDED: Final = r"(?:(?:module|model|backbone|encoder|swin)\.)*"
# a name that every Swin has, in each naming
_FIRST: Final = (
    "patch_embed.proj.weight",
    "patch_embed.projection.weight",
    "embeddings.patch_embeddings.projection.weight",
)

_Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
_TIMM_DOWNSAMPLE: Final = r"^layers[._](\d+)\.downsample\."
_TIMM: Final[_Rules] = (
    # the way down to a stage is in that stage there, not before it
    (_TIMM_DOWNSAMPLE, lambda found: f"layers.{int(found[1]) - 1}.downsample."),
    (r"^layers_(\d+)\.", r"layers.\1."),
)
_MM: Final = (
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^stages\.(\d+)\.", r"layers.\1."),
    (r"\.attn\.w_msa\.", ".attn."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
)
_MM_MERGING: Final = re.compile(r"^stages\.\d+\.downsample\.(norm|reduction)\.(weight|bias)$")
_HUGGING_FACE: Final = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.norm\.", "patch_embed.norm."),
    (r"^embeddings\.", ""),
    (r"^encoder\.layers\.", "layers."),
    (r"^layernorm\.", "norm."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    # before and since transformers 5
    (r"\.attention\.(?:self|relative_position_bias)\.relative_pos", ".attn.relative_pos"),
    (r"\.attention\.(?:self\.query|q_proj)\.", ".attn.q."),
    (r"\.attention\.(?:self\.key|k_proj)\.", ".attn.k."),
    (r"\.attention\.(?:self\.value|v_proj)\.", ".attn.v."),
    (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)  # fmt: skip


class Brought(NamedTuple):
    """A state dict under the original's names."""

    tensors: dict[str, Any]  # what can have a place in a model, by the original's name
    others: list[str]  # names in the file of what lies beside the part that was looked for
    names: dict[str, str]  # of `tensors` in the file, by the original's name
    notes: list[str]  # what was done to the file, in words


def bring_segmentor(file: Mapping[Any, Any]) -> Brought:
    """The state dict of a SeMask-FPN, out of what was loaded from a file."""
    return _inner(file, ("backbone.patch_embed.proj.weight",))


def bring_swin(file: Mapping[Any, Any]) -> Brought:
    """The state dict of a Swin, out of what was loaded from a file: `patch_embed.…`, `layers.…`.

    A SeMask-FPN is left as it is: its backbone is more than a Swin.
    """
    found = _inner(file, _FIRST, unless=".semantic_layer.")
    if any(name.startswith("stages.") and ".attn.w_msa." in name for name in found.tensors):
        note = (
            "from the names of mmpretrain and mmsegmentation, the channels of downsampling put "
            "into the original's order"
        )
        # patch merging by mmcv, whose channels are in the order of torch's Unfold
        ordered = {
            name: _out_of_unfold(value) if _MM_MERGING.match(name) else value
            for name, value in found.tensors.items()
        }
        found = _renamed(found._replace(tensors=ordered), _MM, note)
    elif any(name.startswith("embeddings.patch_embeddings.") for name in found.tensors):
        note = "from the names of Hugging Face's transformers, query, key and value joined"
        found = _joined(_renamed(found, _HUGGING_FACE, note))
    elif _has_timm_names(found.tensors):
        found = _renamed(found, _TIMM, "from the names of timm")
    return found


def _inner(file: Mapping[Any, Any], first: tuple[str, ...], unless: str | None = None) -> Brought:
    """What is within wrappers, without what its names begin with before one of `first`.

    One of these names a state dict has; with `unless` in a name it is not looked into.
    """
    state_dict, notes = _unwrapped(file)
    by_name = {str(key): value for key, value in state_dict.items()}
    added = {
        match[1]
        for name in by_name
        for ending in first
        if (match := re.fullmatch(rf"({_ADDED}){re.escape(ending)}", name))
    }
    if len(added) != 1 or "" in added or (unless and any(unless in name for name in by_name)):
        return Brought(by_name, [], {name: name for name in by_name}, notes)
    [prefix] = added
    names = {name.removeprefix(prefix): name for name in by_name if name.startswith(prefix)}
    return Brought(
        {name: by_name[long] for name, long in names.items()},
        [name for name in by_name if not name.startswith(prefix)],
        names,
        [*notes, f"without the beginning {prefix!r} of its names"],
    )


def _unwrapped(file: Mapping[Any, Any]) -> tuple[Mapping[Any, Any], list[str]]:
    there = [wrapper for wrapper in _WRAPPERS if isinstance(file.get(wrapper), Mapping)]
    if not there:
        return file, []
    chosen, *left = there
    inner, notes = _unwrapped(file[chosen])
    not_those = f", not from {' or '.join(map(repr, left))}" if left else ""
    return inner, [f"from its {chosen!r}{not_those}", *notes]


def _renamed(found: Brought, rules: _Rules, note: str) -> Brought:
    """Other names for tensors; two that would be the same keep those that they have."""

    def original(name: str) -> str:
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        return name

    new = {name: original(name) for name in found.tensors}
    taken = Counter(new.values())
    kept = {name: name if taken[wanted] > 1 else wanted for name, wanted in new.items()}
    return Brought(
        {kept[name]: value for name, value in found.tensors.items()},
        found.others,
        {kept[name]: long for name, long in found.names.items()},
        [*found.notes, note],
    )


def _out_of_unfold(value: Any) -> Any:
    """Channels (C, row, column) of 2 x 2 patches, the last dimension, as (column, row, C)."""
    plain = isinstance(value, Tensor) and value.layout == torch.strided and value.ndim > 0
    if not plain or value.shape[-1] % 4:
        return value
    *leading, channels = value.shape
    patches = value.reshape(*leading, channels // 4, 2, 2)
    return patches.transpose(-3, -1).reshape(value.shape)


def _joined(found: Brought) -> Brought:
    """Query, key and value, which are three layers at Hugging Face, as the one that they are."""
    tensors, names = dict(found.tensors), dict(found.names)
    for query in found.tensors:
        parts = [query.replace(".attn.q.", f".attn.{letter}.") for letter in "qkv"]
        if ".attn.q." not in query or not _are_alike([tensors.get(part) for part in parts]):
            continue
        whole = query.replace(".attn.q.", ".attn.qkv.")
        names[whole] = names[query]
        tensors[whole] = torch.cat([tensors[part] for part in parts])
        for part in parts:
            del tensors[part], names[part]
    return found._replace(tensors=tensors, names=names)


def _are_alike(values: list[Any]) -> bool:
    """Whether values are tensors that can be joined."""
    return (
        all(isinstance(v, Tensor) and v.ndim > 0 and v.layout == torch.strided for v in values)
        and len({(v.shape, v.dtype, v.device) for v in values}) == 1
    )


def _has_timm_names(tensors: Mapping[str, Any]) -> bool:
    downsample = [name for name in tensors if re.match(_TIMM_DOWNSAMPLE, name)]
    return bool(downsample) and not any(re.match(r"layers[._]0\.", name) for name in downsample)

"""The layers of a configuration, merged: config.yaml, overlays, the command line, a variant."""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from pathlib import Path
from typing import Any

import yaml

from semask.base.errors import InputError

_DEEPEST = 20  # levels of a config


@cache
def read_schema(path: Path) -> Any:
    """The configuration's JSON schema, by PyYAML's parser in C, which is ten times as fast."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506


class _EachOnce(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, of which the last one would win in silence."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in seen:
                    said = f"the key {key.value!r} is there twice"
                    raise yaml.composer.ComposerError(None, None, said, key.start_mark)
                seen.add(name)
        return node


def read_layer(path: Path) -> dict[str, Any]:
    """A layer from its file; InputError where it cannot be read, is not YAML, holds no mapping."""
    try:
        read = yaml.load(path.read_text(encoding="utf-8"), _EachOnce)  # noqa: S506  # a SafeLoader
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); give an overlay") from fault
    # ValueError: encoding, and dates that there are not
    except (yaml.YAMLError, ValueError, RecursionError) as fault:
        said = " ".join(str(fault).split())
        raise InputError(f"{path}: not YAML ({said}); correct it") from fault
    if not isinstance(read, dict):
        raise InputError(f"{path}: not a mapping of keys; give an overlay such as experiments/*")
    return read


def assemble(layers: Sequence[Mapping[str, Any]], variant: str | None = None) -> dict[str, Any]:
    """Merge the layers of a configuration, later ones over earlier ones, and choose its variant.

    What a layer says of the chosen variant, under `variants`, is merged right after that layer:
    over the layers before it, and under those that come later. `layers` are config.yaml, the
    overlays in their order, what the command line sets; of what is returned `variants` is no part.
    Without `variant` the key of that name chooses; InputError where what is chosen is not there.
    """
    for layer in layers:
        _check_plain(layer)
        _check_variants(layer)
    whole: dict[str, Any] = reduce(_merged, layers, {})
    chosen = variant if variant is not None else whole.get("variant")
    known = whole.pop("variants", None) or {}
    _check_released(whole, known)
    if chosen is None:
        if known:
            raise InputError(
                f"config: variant: null, but this experiment has several; one of: "
                f"{', '.join(map(str, known))}"
            )
        return whole
    if chosen not in known:
        there = f"one of: {', '.join(map(str, known))}" if known else "this experiment has none"
        raise InputError(f"config: variant: {chosen!r} is not a name under variants; {there}")
    made: dict[str, Any] = {}
    for layer in layers:
        made = _merged(made, layer)
        made = _merged(made, (layer.get("variants") or {}).get(chosen) or {})
    made.pop("variants")
    return {**made, "variant": chosen}


def _check_released(whole: Mapping[str, Any], variants: Mapping[str, Any]) -> None:
    released = whole.get("released")
    weights = released.get("weights") if isinstance(released, Mapping) else None
    for name in weights if isinstance(weights, Mapping) else ():
        if name not in variants:
            raise InputError(
                f"config: released.weights.{name}: not a name under variants; one of: "
                f"{', '.join(map(str, variants)) or 'none'}"
            )


def _check_plain(value: Any, keys: tuple[str, ...] = ()) -> None:
    """Refuses what no config needs and what would break paths, messages and merging."""
    if len(keys) > _DEEPEST:
        raise InputError(
            f"config: {'.'.join(keys[:3])}: nested more than {_DEEPEST} deep, or within itself by "
            "an alias; write out what is meant"
        )
    if isinstance(value, str) and not _is_plain(value.replace("\n", "").replace("\t", "")):
        # names of folders may have line breaks in them, and do
        raise InputError(
            f"config: {'.'.join(keys)}: {value!a} has a control character in it; take it out"
        )
    items = value.items() if isinstance(value, Mapping) else ()
    for name, inner in enumerate(value) if isinstance(value, list) else items:
        if not _is_plain(str(name)):
            raise InputError(f"config: {name!a}: a key with a control character in it")
        _check_plain(inner, (*keys, str(name)))


def _is_plain(text: str) -> bool:
    # control characters, halves of characters, separators of lines and of paragraphs
    return all(unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in text)


def _check_variants(layer: Mapping[str, Any]) -> None:
    if not isinstance(layer.get("variant"), str | None):
        raise InputError(f"config: variant: {layer['variant']!r} is not a name")
    variants = layer.get("variants") or {}
    if not isinstance(variants, Mapping):
        raise InputError(f"config: variants: {variants!r} is not a mapping of names to keys")
    for name, keys in variants.items():
        if not isinstance(keys, Mapping | None):
            raise InputError(f"config: variants.{name}: {keys!r} is not a mapping of keys")


def variant_names(layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the variants of all layers, each once, in the order in which they come."""
    return [*{name: None for layer in layers for name in layer.get("variants") or {}}]


def bundles_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The bundles of `imports`, by name."""
    return {name: of for name, of in config["imports"].items() if name != "allowed_signers"}


def typed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of Snakemake's --config, with numbers and truth values in braces made such.

    Snakemake takes `--config dataset="{download: true}"` for a mapping to the text "true". What is
    no YAML by itself, as `{root: "@data"}` has, stays a text, and so does what has a comment.
    """
    return {
        key: _typed(value) if isinstance(value, Mapping | list) else value
        for key, value in settings.items()
    }


def _typed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if not isinstance(value, str) or not value or value.startswith("#") or " #" in value:
        return value
    try:
        return yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError):
        return value


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], value)
        for key, value in over.items()
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
    }
    return {**base, **over, **both}

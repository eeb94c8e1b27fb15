"""What was observed in the processes that ran, and rows beside each other had otherwise.

What was asked for otherwise, in the recipe or in `execution`, is told as that and not here again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from semask.comparison.rows import Record, paths_of

_COUNTS = {"compiled": "compiled graphs", "recompiled": "recompilations", "breaks": "graph breaks"}
# of float32 products: the same, by torch's names and by an NPU's
_ALIKE = {"highest": "ieee", "high": "reduced", "tf32": "reduced", "hf32": "reduced"}


class Seen(NamedTuple):
    """What was observed: the value in words, and what was asked for that decides it."""

    value: str
    asked: tuple[Any, ...]


def observed(record: Record) -> dict[str, Seen]:
    """What a record of training or evaluation observed, by name; what it did not is missing."""
    ran, recipe, execution = (record[key] for key in ("ran", "recipe", "execution"))
    asked = tuple(execution[key] for key in ("compile", "fused_attention", "checkpointing"))
    when = " when scoring" if record["kind"] == "evaluate" else ""
    found = {}
    operators = {name for each in ran["processes"] for name in each.get("attention", ())}
    if operators:
        precision = recipe["training"]["precision"]
        found["attention operator"] = Seen(", ".join(sorted(operators)), (asked[1], precision))
    # a run that was continued after its last step has compiled nothing any more
    if ran["graphs"]["compiled"] or not execution["compile"]:
        asked = *asked, record["recipe_digest"], record["row"]["processes"]
        found |= {name: Seen(str(ran["graphs"][key]), asked) for key, name in _COUNTS.items()}
    for key in ("matmul", "convolution"):
        kept = ran.get("precision", {}).get(key)
        if kept is not None:
            found[f"{key} precision"] = Seen(str(kept), (recipe["numerics"][f"reduced_{key}"],))
    return {name + when: seen for name, seen in found.items()}


def differing_observations(a: Record, b: Record) -> list[str]:
    """What two records of a kind observed otherwise: "matmul precision (highest and hf32)"."""
    left, right = observed(a), observed(b)
    return [
        f"{name} ({left[name].value} and {right[name].value})"
        for name in left
        if name in right
        and left[name].asked == right[name].asked
        and len({_ALIKE.get(of.value, of.value) for of in (left[name], right[name])}) > 1
    ]


def warnings_of(
    lines: Sequence[Mapping[str, Any]], records: Mapping[str, Record]
) -> list[list[str]]:
    """What is to be said of what not all rows of a table on one kind of device ran alike.

    Returns:
        For each line, measured or published, sentences such as "attention operator: explicit, and
        not in all runs of all CPU rows".
    """
    places: dict[tuple[Any, ...], dict[str, dict[int, None]]] = {}
    for place, line in enumerate(lines):
        for path in paths_of(line) if line["kind"] == "measured" else ():
            # each kind of device has its own names for operators
            device = records[path]["row"]["device"]
            for name, seen in observed(records[path]).items():
                of = places.setdefault((device, name, seen.asked), {})
                of.setdefault(seen.value, {})[place] = None
    found: list[dict[str, None]] = [{} for _ in lines]
    for (device, name, _), values in places.items():
        for value in sorted(values) if len(values) > 1 else ():
            for place in values[value]:
                said = f"{name}: {value}, and not in all runs of all {device.upper()} rows"
                found[place][said] = None
    return [[*said] for said in found]

"""What rows beside each other had otherwise: variables of the environment, and what ran.

What was asked for otherwise, in the recipe or in `execution`, is told as that and not here again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from semask.comparison.rows import Record, paths_of
from semask.devices.variables import changes_figures, concerns, differences, known

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


def differing_surroundings(a: Record, b: Record) -> list[str]:
    """What two records of a kind had otherwise, as they were set or observed.

    Such as "OMP_NUM_THREADS (1 and unset)" and "matmul precision (highest and hf32)".
    """
    left, right = observed(a), observed(b)
    return differences(_variables_of(a), _variables_of(b)) + [
        f"{name} ({left[name].value} and {right[name].value})"
        for name in left
        if name in right
        and left[name].asked == right[name].asked
        and len({_ALIKE.get(of.value, of.value) for of in (left[name], right[name])}) > 1
    ]


def _variables_of(record: Record) -> Mapping[str, str]:
    return record["device"].get("environment") or {}


def warnings_of(
    lines: Sequence[Mapping[str, Any]], records: Mapping[str, Record]
) -> list[list[str]]:
    """What is to be said of what not all rows of a table, or of a kind of device, had alike.

    Returns:
        For each line, measured or published, sentences such as "ONEDNN_MAX_CPU_ISA=SSE41 was set
        (oneDNN: changes numbers), and not in all runs of all rows" and "attention operator:
        explicit, and not in all runs of all CPU rows".
    """
    ran = [
        (place, records[path])
        for place, line in enumerate(lines)
        if line["kind"] == "measured"
        for path in paths_of(line)
    ]
    # by what is said before and after a value, and what decides it: the lines that had each value
    had: dict[tuple[Any, ...], dict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    names = {name for _, record in ran for name in _variables_of(record)}
    for name in sorted(filter(changes_figures, names)):
        of = known(name)
        assert of is not None
        what = f"{of.library}: {'for ' if of.changes == 'debugging' else 'changes '}{of.changes}"
        said = f"{name}=", f" was set ({what}), and not in all runs of all rows"
        for place, record in ran:
            # what only NPUs' libraries read is missing on a GPU's row for a good reason
            if concerns(name, record["row"]["device"]):
                had[said][_variables_of(record).get(name)].append(place)
    for place, record in ran:
        # each kind of device has its own names for operators
        end = f", and not in all runs of all {record['row']['device'].upper()} rows"
        for name, seen in observed(record).items():
            had[f"{name}: ", end, seen.asked][seen.value].append(place)
    found: list[dict[str, None]] = [{} for _ in lines]
    for (before, after, *_), values in had.items():
        for value in sorted(v for v in values if v is not None) if len(values) > 1 else ():
            for place in values[value]:
                found[place][f"{before}{value}{after}"] = None
    return [[*said] for said in found]

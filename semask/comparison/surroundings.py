"""Variables of the environment that rows beside each other had otherwise."""

from collections.abc import Mapping, Sequence
from typing import Any

from semask.comparison.rows import Record, paths_of
from semask.devices.variables import changes_figures, concerns, differences, known


def variables_of(record: Record) -> Mapping[str, str]:
    """The variables that were set where a record was made."""
    found: Mapping[str, str] = record["device"].get("environment") or {}
    return found


def differing_variables(a: Record, b: Record) -> list[str]:
    """Variables that two records were made with otherwise: "NAME (1 and unset)"."""
    return differences(variables_of(a), variables_of(b))


def warnings_of(
    lines: Sequence[Mapping[str, Any]], records: Mapping[str, Record]
) -> list[list[str]]:
    """What is to be said of variables that not all rows of a table had set alike.

    Returns:
        For each line, measured or published, sentences such as "ONEDNN_MAX_CPU_ISA=SSE41 was set
        (oneDNN: changes numbers), and not in all runs of all rows".
    """
    found: list[list[str]] = [[] for _ in lines]
    of_lines = [
        [variables_of(records[path]) for path in paths_of(line)]
        if line["kind"] == "measured"
        else []
        for line in lines
    ]
    names = {name for of in of_lines for environment in of for name in environment}
    for name in sorted(filter(changes_figures, names)):
        # what only NPUs' libraries read is missing on a GPU's row for a good reason
        concerned = [concerns(name, line["name"].partition("-")[0].lower()) for line in lines]
        set_to = [
            {environment.get(name) for environment in of} if is_concerned else set()
            for of, is_concerned in zip(of_lines, concerned, strict=True)
        ]
        if len(set.union(*set_to)) > 1:
            for said, values in zip(found, set_to, strict=True):
                said += [
                    f"{name}={value} was set ({_what(name)}), and not in all runs of all rows"
                    for value in sorted(value for value in values if value is not None)
                ]
    return found


def _what(name: str) -> str:
    of = known(name)
    assert of is not None
    return f"{of.library}: {'for ' if of.changes == 'debugging' else 'changes '}{of.changes}"

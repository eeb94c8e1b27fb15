"""The report's section on profiles: where a step's time goes, and what costs a port more."""

from collections.abc import Mapping, Sequence
from typing import Any

from semask.comparison.rows import Record, row_name
from semask.report.cells import Line

_LARGEST = 15


def tables(
    profiled: Mapping[str, Record], pairs: Sequence[Line], rows: Sequence[Line]
) -> list[dict[str, Any]]:
    """Lists for the page, from records of profiles by path and `ratios.port_over_original`'s pairs.

    `rows` are the table's, where pairs have their places. A port beside its original where both
    were profiled, which no row of a bundle was, then each row: title, said, head and lines.
    """
    by_name = {row_name(record["row"]): record["figures"] for record in profiled.values()}
    found = []
    for pair in pairs:
        if pair["kind"] != "measured" or any(rows[place]["bundle"] for place in pair["rows"]):
            continue
        if pair["npu"] in by_name and pair["gpu"] in by_name:
            port, original = by_name[pair["npu"]], by_name[pair["gpu"]]
            head = ("", f"{pair['gpu']}, ms", f"{pair['npu']}, ms", "difference, ms")
            said = "What costs the port most stands first."
            for kind, name in (("parts", "by part"), ("kinds", "by kind of operator")):
                title = f"{pair['npu']} beside {pair['gpu']}, {name}"
                lines = [
                    [part, f"{theirs:.2f}", f"{mine:.2f}", f"{mine - theirs:+.2f}"]
                    for part, mine, theirs in _side_by_side(port[kind], original[kind])
                ]
                found.append({"title": title, "said": said, "head": head, "lines": lines})
    return found + [_of_row(name, figures) for name, figures in by_name.items()]


def _side_by_side(
    mine: Mapping[str, float], theirs: Mapping[str, float]
) -> list[tuple[str, float, float]]:
    """Milliseconds of each part in two profiles, what costs the first one most first."""
    pairs = [(x, mine.get(x, 0.0), theirs.get(x, 0.0)) for x in {**theirs, **mine}]
    return sorted(pairs, key=lambda pair: pair[2] - pair[1])


def _of_row(name: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    parts = sorted(figures["parts"].items(), key=lambda item: -item[1])
    kinds = sorted(figures["kinds"].items(), key=lambda item: -item[1])
    operators = [(of["name"], of["milliseconds"]) for of in figures["operators"][:_LARGEST]]
    lines = [
        [name, f"{milliseconds:.2f}", sort]
        for sort, of in (("part", parts), ("kind", kinds), ("operator", operators))
        for name, milliseconds in of
    ]
    return {
        "title": f"{name}: a step of {figures['milliseconds']:.1f} ms",
        "said": f"Parts were timed in steps of {figures['watched_milliseconds']:.1f} ms.",
        "head": ("Name", "Milliseconds", "What it is"),
        "lines": lines,
    }

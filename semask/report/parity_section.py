"""The report's section on parity: the curve over depth, the worst modules, steps, chance."""

from collections.abc import Iterator, Mapping
from typing import Any

from semask.comparison.parities import MODULES_SHOWN, worst_modules
from semask.comparison.rows import Record
from semask.parity.operators import by_operators, described
from semask.parity.verdict import number
from semask.report import plots
from semask.report.cells import Line
from semask.report.drawing import Row

WORST = ("Module", "Class, where it is written", "Quantity", "Error", "Honest error", "Ratio",
         "Status")  # fmt: skip
ACROSS = ("Module", "NPU's ratio", "GPU's ratio", "NPU's over GPU's")


def depth(rows: Mapping[Row, Line], looked: Mapping[str, Record]) -> tuple[str | None, str]:
    """How far off each module's output is in a pass through the model: a plot, and a sentence."""
    curves: dict[str, list[tuple[Row | None, list[float]]]] = {}
    said = []
    for row, path in _looked_at(rows):
        for look, finding in looked[path]["figures"]["looks"].items():
            if "whole" not in finding:
                continue
            device, honest = (
                [number(error) for error in finding["whole"][of]["outputs"].values()]
                for of in ("device", "honest")
            )
            drawn = curves.setdefault(look.partition(":")[0], [])
            if not drawn:
                drawn.append((None, honest))
            drawn.append((row, device))
            said.append(f"{row.name}, {look.partition(':')[0]} {device[-1]:.2g}")
    if not curves:
        return None, "Nobody has looked at the devices of this table's rows."
    return plots.depth(curves), f"Relative error of the loss at the end: {', '.join(said)}."


def _looked_at(rows: Mapping[Row, Line]) -> Iterator[tuple[Row, str]]:
    for row, line in rows.items():
        if line["kind"] == "measured":
            yield from ((row, path) for path in line["parity"]["from"])


def tables(rows: Mapping[Row, Line], looked: Mapping[str, Record]) -> list[dict[str, Any]]:
    """Title, path (of its record), said, and head and lines of a table of each look at each row."""
    found = []
    for row, path in _looked_at(rows):
        for look, finding in looked[path]["figures"]["looks"].items():
            said, head, lines = _told(finding)
            title = f"{row.name}, {look}"
            found.append({"title": title, "path": path, "said": said, "head": head, "lines": lines})
    return found


def _told(finding: Mapping[str, Any]) -> tuple[str, tuple[str, ...], list[list[str]]]:
    if "not_run" in finding:
        return f"Not run: {finding['not_run']}.", (), []
    seconds = f" It took {finding['seconds']:.0f} s." if "seconds" in finding else ""
    if "modules" in finding:
        runs = [module["bitwise"] for module in finding["modules"] if module["bitwise"] is not None]
        same = f"{sum(runs)} of {len(runs)} modules gave equal bits in two runs."
        same += f"{_repeated(finding, 'passes through the whole')}{seconds}"
        if errors := by_operators(finding):
            same += f" By CANN's operator standard {described(errors)}."
        if "stopped" in finding:
            same += f" Not run to its end: {finding['stopped']}."
        return same, WORST, [_module(module) for module in worst_modules(finding)]
    if "medians" in finding:
        head = ("Quantity", "Median ratio", *map(str, range(1, len(finding["quantities"]) + 1)))
        lines = [
            [name, _figure(ratio), *(_error(step[name]["error"]) for step in finding["quantities"])]
            for name, ratio in finding["medians"].items()
        ]
        said = "Errors of each step; the median of their ratios is judged."
        return f"{said}{_repeated(finding, 'runs of each step')}{seconds}", head, lines
    if "painted" in finding:
        painted = finding["painted"]
        said = (
            f"Of {painted['samples']} painted samples {painted['wrong']} of {painted['pixels']} "
            f"pixels that were compared are not of their label's colour.{seconds}"
        )
        digests = enumerate(finding["batches"], start=1)
        lines = [[f"{n}", of["images"], of["labels"]] for n, of in digests]
        return said, ("Batch", "Its images' digest", "Its labels' digest") if lines else (), lines
    sites = finding["sites"]
    lines = [
        [f"{s['function']} {s.get('module', '')}".strip(), f"{s['kept']:g}", f"{s['seen']:.4f}",
         f"{s['drawn']}", s["fault"] or ""]
        for s in sites
    ]  # fmt: skip
    head = ("Site", "Asked to keep", "Kept", "Drawn", "Fault") if sites else ()
    return f"{'' if sites else 'Nothing is drawn at random.'}{seconds}".strip(), head, lines


def _repeated(finding: Mapping[str, Any], two: str) -> str:
    if "unequal" not in finding:
        return ""
    if not finding["unequal"]:
        return f" Two {two} gave equal bits."
    first, *more = finding["unequal"]
    return f" Two {two} gave other bits in {first}{f' and {len(more)} more' if more else ''}."


def _module(module: Mapping[str, Any]) -> list[str]:
    worst = module["worst"]
    begin = [module["name"], module["source"]]
    if worst is None:
        return [*begin, module["fault"] or "", "", "", "", module["status"]]
    honest = "not needed" if worst["yardstick"] is None else _error(worst["yardstick"])
    found = worst["name"], _error(worst["error"]), honest, _figure(worst["ratio"])
    return [*begin, *found, module["status"]]


def across(pairs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The worst of NPU rows' modules beside GPU rows', where both had the same reference."""
    return [
        {
            "title": f"{pair['npu']} against {pair['gpu']}, {look}",
            "head": ACROSS,
            "lines": [
                [of["name"], *(_figure(of[key]) for key in ("npu", "gpu", "over"))]
                for of in found["modules"][:MODULES_SHOWN]
            ],
        }
        for pair in pairs
        for look, found in pair["parity"].items()
        if found["modules"]
    ]


def _figure(x: float | None) -> str:
    return "∞" if x is None else f"{x:.2f}" if x < 100 else f"{x:.3g}"


def _error(x: float | None) -> str:
    return "not finite" if x is None else f"{x:.1e}"

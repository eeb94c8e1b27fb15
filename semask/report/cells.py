"""What the table's cells say, for every form in which it is shown."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from semask.verdict.field import SEES

Line = Mapping[str, Any]

COLUMNS = {
    "NAME": "device and number of processes, one process for each device",
    "Acc@1": "best validation mIoU in percent over the evaluations of a full run, under the name "
    "that the Ascend port gave it; several seeds: mean ± standard deviation",
    "FPS": "training images per second over the steady window of a performance run, all processes "
    "together, data loading included; “disturbed” where other programs or a throttled clock had a "
    "part in it, as said below the rows",
    "PyTorch_version": "version of torch that ran the row",
    "Device": "the name by which the hardware calls itself; “Simulated NPU” is none",
    "What the figures are": "measured here or elsewhere, or published by whom for which experiment",
    "Last mIoU": "mIoU in percent of the weights after the last iteration: no choice among "
    "evaluations",
    "mIoU ms+flip": "mIoU in percent of the best weights over several scales and mirrored",
    "FPS p10 to p90": "10th and 90th percentile of the single iterations' images per second",
    "FPS, log window": "the port's own definition of FPS: a mean over one window of the log; "
    "published speeds are compared with this one",
    "Waiting for data": "share of the steady window's time in which training waited for a batch",
    "Published Acc@1 (difference)": "the published figure of the same experiment; measured − "
    "published in points",
    "Published ms+flip (difference)": "the same for several scales and mirrored",
    "Published FPS (ratio)": "the published speed; measured / published, by the port's definition",
}
"""The columns, each with its definition; docs/protocol.md has the long ones."""

FIRST = ("NAME", "Acc@1", "FPS", "PyTorch_version", "Device", "What the figures are")
MORE = ("NAME", "Last mIoU", "mIoU ms+flip", "FPS p10 to p90", "FPS, log window",
        "Waiting for data")  # fmt: skip
BESIDE = ("NAME", "Published Acc@1 (difference)", "Published ms+flip (difference)",
          "Published FPS (ratio)")  # fmt: skip

PUBLISHED = "published/published.csv"
NOTHING_PUBLISHED = "No source in table.published has a figure of this very experiment."


class Cell(NamedTuple):
    """One cell: its text, and the records or published lines that its figure is from."""

    text: str
    origins: tuple[str, ...] = ()


def cells_of(row: Line) -> dict[str, Cell]:
    """The cells of a row of `semask.report.table.build_table`, by column."""
    speed_digits = 2 if row["kind"] == "measured" else 3
    signer = row.get("signed_by")

    def cell(key: str, told: Callable[[Any], str]) -> Cell:
        """What is told of a value, or why there is none."""
        found = row[key]
        text = str(found["state"]) if found["value"] is None else told(found["value"])
        return Cell(text, _origins(found))

    def figure(key: str, digits: int, remark: str = "") -> Cell:
        """A figure, its spread over seeds, and a word on it."""
        spread = ""
        if row[key].get("sd") is not None:
            spread = f" ± {row[key]['sd']:.{digits}f} ({row[key]['seeds']} seeds)"
        return cell(key, lambda value: f"{value:.{digits}f}{spread}{remark}")

    return {
        "NAME": Cell(row["name"]),
        "Acc@1": figure("acc1", 2),
        "FPS": figure("fps", speed_digits, " (disturbed)" if row.get("disturbed") else ""),
        "PyTorch_version": cell("pytorch", str),
        "Device": cell("device", str),
        "What the figures are": Cell(
            f"{row['source']}, signed by {signer['name']}" if signer else str(row["source"])
        ),
        "Last mIoU": figure("last_miou", 2),
        "mIoU ms+flip": figure("multi_scale_miou", 2),
        "FPS p10 to p90": cell("fps_p10", lambda x: f"{x:.2f} to {row['fps_p90']['value']:.2f}"),
        "FPS, log window": figure("fps_log_window", speed_digits),
        "Waiting for data": cell("data_wait_share", lambda share: f"{100 * share:.1f} %"),
        "Published Acc@1 (difference)": _beside(row, "acc1", "acc1"),
        "Published ms+flip (difference)": _beside(row, "multi_scale_miou", "multi_scale_miou"),
        "Published FPS (ratio)": _beside(row, "fps", "fps_log_window"),
    }


def shown_columns(rows: Sequence[Line]) -> list[str]:
    """The columns that a table of some rows has."""
    return list(dict.fromkeys((*FIRST, *MORE, *(BESIDE if is_beside_published(rows) else ()))))


def together_and_apart(rows: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The rows that stand in one table, and those that are kept apart from it."""
    return [row for row in rows if not row["apart"]], [row for row in rows if row["apart"]]


def remark(rows: Sequence[Line]) -> str:
    """What to know of published rows among those of a table; empty where there are none."""
    said = (
        "Rows that others published are of their experiment, model, crop and machines: to be read, "
        "and compared only where the table does so."
    )
    return said if any(row["kind"] == "published" for row in rows) else ""


def is_beside_published(rows: Sequence[Line]) -> bool:
    """Whether anything is published of the experiment of one of the rows."""
    return any(row["kind"] == "measured" and row["published"] for row in rows)


def _origins(cell: Line) -> tuple[str, ...]:
    names = cell.get("from", ())
    return tuple(f"{PUBLISHED}, {x}" if re.fullmatch(r"line \d+", x) else x for x in names)


def _beside(row: Line, key: str, of: str) -> Cell:
    """What is published beside a measured cell, and how that differs from it."""
    if row["kind"] == "published":
        return Cell("")
    other = row["published"]
    if other is None:
        return Cell("none of this experiment")
    value, differing = other[key], other["differing"].get(key)
    if value is None:
        words = f"not the same: {', '.join(differing)}" if differing else "none of this experiment"
        return Cell(words)
    text = f"{value:.{3 if key == 'fps' else 2}f}"
    difference = row["difference"][key]
    if difference is not None:
        text += f" (× {difference:.3f})" if key == "fps" else f" ({difference:+.2f})"
    return Cell(text, (*_origins(row[of]), f"{PUBLISHED}, line {other['line']}"))


RATIOS = ("NPU against GPU", "FPS ratio", "Acc@1 difference", "Which figures")


def ratio_texts(pair: Line) -> tuple[str, str, str, str]:
    """An NPU row against its GPU row, under the headings of RATIOS."""
    ratio, points = pair["fps_ratio"], pair["acc1_difference"]
    which = pair["kind"]
    if pair["sources"][0] != pair["sources"][1]:
        which = f"NPU {pair['sources'][0]}, GPU {pair['sources'][1]}"
    if pair["differing"]:
        which = f"not compared: differ in {', '.join(pair['differing'])}"
    elif pair["executed_differently"]:
        which += f"; run differently: {', '.join(pair['executed_differently'])}"
    return (
        f"{pair['npu']} / {pair['gpu']}",
        f"{ratio:.3f}" if ratio is not None else "none",
        f"{points:+.2f}" if points is not None else "none",
        which,
    )


VERDICT = ("Ground", "Answer", "Why")


def verdict(of: Line) -> list[tuple[Cell, ...]]:
    """The grounds of a verdict, under the headings of VERDICT."""
    return [
        (Cell(x["ground"]), Cell(x["answer"], _origins(x)), Cell(x["why"])) for x in of["grounds"]
    ]


FIELD = ("Figure", "Value", "Others accept", "By it", "What it sees")
BY_IT = {True: "accepted", False: "refused", None: "not judged"}


def field(of: Line) -> list[tuple[Cell, ...]]:
    """The field's acceptance figures of a pair, under the headings of FIELD."""
    return [
        (
            Cell(x["figure"]),
            Cell(x["said"], _origins(x)),
            Cell(x["limit"]),
            Cell(BY_IT[x["accepted"]]),
            Cell(SEES[x["figure"]]),
        )
        for x in of["field"]
    ]


GROUNDS = ("Row", "Look", "Answer", "Why")
PARITY = (
    "Whether a row's device computes what the model defines, against float64 on the CPU; "
    "docs/parity.md says how."
)


def grounds(rows: Sequence[Line]) -> Iterator[tuple[Cell, ...]]:
    """What was found of each measured row's device, under the headings of GROUNDS."""
    names = Counter(row["name"] for row in rows if row["kind"] == "measured")
    for row in rows:
        if row["kind"] == "measured":
            name = row["name"] if names[row["name"]] == 1 else f"{row['name']}, {row['source']}"
            for of in row["parity"]["grounds"]:
                answer = Cell(of["answer"], _origins(row["parity"]))
                yield Cell(name), Cell(of["ground"]), answer, Cell(of["why"])


def across(pairs: Sequence[Line]) -> Iterator[str]:
    """Sentences on the looks at NPU rows' modules beside those at GPU rows'."""
    for pair in pairs:
        for look, found in pair["parity"].items():
            begin = f"{pair['npu']} against {pair['gpu']}, {look}"
            if found["differing"]:
                first, *others = found["differing"]
                more = f" and {len(others)} more" if others else ""
                yield f"{begin}: not compared, the references differ in {first}{more}"
            elif not found["modules"]:
                yield f"{begin}: not compared, no module was looked at on both"
            else:
                worst = found["modules"][0]
                times = (worst[key] for key in ("npu", "gpu", "over"))
                npu, gpu, over = ("∞" if x is None else f"{x:.3g}" for x in times)
                yield (
                    f"{begin}: same reference; the NPU's ratio is at most {over} times the GPU's "
                    f"({worst['name']}: {npu} and {gpu})"
                )


def notes(rows: Sequence[Line]) -> Iterator[tuple[str, str, bool]]:
    """What happened in the runs that a reader of their figures should know.

    Returns:
        Name of the row, a sentence without its full stop, and whether it is a warning.
    """
    for row in rows:
        name = row["name"]
        if skipped := row["skipped_steps"]:
            yield name, f"{skipped} steps were skipped because fp16 gradients overflowed", False
        if operators := ", ".join(row["cpu_fallbacks"] or ()):
            yield name, f"the NPU lacks {operators}, which ran on the host's CPU", False
        yield from ((name, warning, True) for warning in row["warnings"])


def kept_apart(row: Line) -> str:
    """Why a row of another machine is compared with no other one."""
    differing = ", ".join(row["apart"])
    return f"{row['name']}, {row['source']}: differs from this machine's rows in {differing}."


def facts_text(facts: Line) -> str:
    """The model's facts in one sentence."""
    work = ", ".join(
        f"{figures['total']:.1f} at {size.replace('x', '×')}"
        for size, figures in facts["gmac"].items()
    )
    return (
        f"SeMask-{facts['variant']}, {facts['num_classes']} classes: "
        f"{facts['parameters']['total'] / 1e6:.2f} M parameters; GMAC per image: {work}."
    )


def baselines_text(baselines: Line) -> str:
    """What needs no model, in one sentence."""
    return (
        "Without a model, on the same validation images: "
        f"{baselines['constant']:.2f} % mIoU for the best constant prediction, "
        f"{baselines['nearest_colour']:.2f} % for the best per-pixel classifier by colour."
    )


def origin_text(origin: Line) -> str:
    """Where a record is from, in words."""
    return (
        f"{origin['device']} on {origin['host']}, {origin['ended']}, code "
        f"{origin['code_version']}, recipe {origin['recipe_digest'][:12]}, "
        f"{origin['split']} images {(origin['data_fingerprint'] or '')[:12]}"
    ).rstrip()

"""Makes docs/measurements.md from what was kept of machines with accelerators.

    python -m benchmarks.measurements

No figure on that page is typed: what was not run there says so, with the reason that was kept.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.first_hour import PARTS
from semask.base.files import write_atomically
from semask.report.markdown import markdown_table

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "measurements.md"
KEPT = REPOSITORY / "benchmarks" / "results"

Found = Mapping[str, Any]
_INTRODUCTION = """# Measurements on accelerators

Made by `python -m benchmarks.measurements` from `benchmarks/results/first_hour-*.json`; nothing
here is typed. `make gpu` ([throughput.md](throughput.md)) leaves `results/first_hour.json`, which
is copied there by hand, under the device's name. What a run of it did not come to is under
*Not run*, with the reason that was kept.

**No Ascend NPU has been measured**: there is no such file.
"""


def page(kept: Path = KEPT) -> str:
    """The page, from the files of a folder."""
    parts = [_INTRODUCTION]
    for path in sorted(kept.glob("first_hour-*.json")):
        parts += _of_machine(path.name, json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(parts)


def _of_machine(name: str, found: Found) -> Iterator[str]:
    machine, settings = found["machine"], found["settings"]
    yield f"## {found['device']}: {name}\n"
    yield (
        f"torch {found['torch']}, driver {found['driver']}, {machine['cores']} cores; "
        f"{found['started'][:10]}, code {found['code_version']}; SeMask-{settings['variant']}, "
        f"crops of {settings['crop']}×{settings['crop']}, a budget of {settings['budget']:g} s:\n"
    )
    yield f"    .venv/bin/python -m benchmarks.first_hour {_options(settings)}\n"
    if found.get("note"):
        yield f"Note: {found['note']}.\n"
    told = {
        "compiling": _compiling,
        "parity": _parity,
        "train": _train,
        "profile": _profile,
        "graphs": _train,
        "evaluation": _evaluation,
    }
    for part in PARTS:
        of = found["parts"].get(part, {}).get("found", {})
        if part in told:
            yield from told[part](of)
    reasons = [[part, _reason(found["parts"].get(part))] for part in PARTS]
    yield "**Not run**, or not to the end:\n"
    yield markdown_table(("part", "why"), (line for line in reasons if line[1])) + "\n"


def _options(settings: Found) -> str:
    options = [f"--budget {settings['budget']:g}"]
    for key in ("only", "skip"):
        if settings[key]:
            options.append(f"--{key} {' '.join(settings[key])}")
    if settings["limit"]:
        limits = (f"{part}={seconds:g}" for part, seconds in settings["limit"].items())
        options.append(f"--limit {' '.join(limits)}")
    return " ".join(options)


def _reason(part: Found | None) -> str:
    if part is None:
        return "not begun"
    return "" if part["state"] == "done" else f"{part['state']}: {part.get('reason', '')}"


def _compiling(found: Found) -> Iterator[str]:
    lines = [
        [name, *(f"{seconds:.1f} s" for seconds in of["seconds"]), str(of["compiled"])]
        for name, of in found.items()
        if "seconds" in of
    ]
    head = "way", "until the first step or image", "the second", "graphs"
    yield from _table(
        "Compiling, each way in a process of its own, with whatever ran beside", head, lines
    )


def _parity(found: Found) -> Iterator[str]:
    lines = []
    for case, looks in found.items():
        for look, of in looks.items():
            if "answer" in of:
                answer, why = of["answer"]
                if "count" in of:  # of which the largest ratios were kept
                    why = f"{of['count']} modules{why[why.index(',') :]}" if "," in why else why
                lines.append([case, look, answer, why, f"{of.get('seconds', 0):.0f}"])
    head = "case", "look", "answer", "why", "seconds"
    yield from _table("Parity ([parity.md](parity.md))", head, lines)


def _train(found: Found) -> Iterator[str]:
    ceilings = found.get("ceilings")
    if ceilings:
        told = ", ".join(
            f"{name} {value / 1e12:.1f} TFLOP/s"
            for name, value in ceilings.items()
            if name != "bytes"
        )
        yield f"Matrix products: {told}; copies {ceilings['bytes'] / 1e12:.2f} TB/s.\n"
    for key, rows in found.items():
        if not key.startswith("batch_") or not isinstance(rows, list):
            continue
        size = key.removeprefix("batch_")
        captured = any("CUDA graph" in row["name"] for row in rows)
        title = f"Training steps{', captured or not' if captured else ''}, {size} images"
        head = "way", "images/s", "against the original", "TFLOP/s", "of the ceiling", "memory"
        yield from _table(title, head, [_step(row) for row in rows])


def _step(row: Found) -> list[str]:
    if "not_run" in row or "images_per_second" not in row:
        return [row["name"], "not run", "", "", "", str(row.get("not_run", ""))]
    return [
        row["name"],
        f"{row['images_per_second']:.1f}",
        _ratio(row),
        f"{row['flops'] / 1e12:.1f}",
        f"{100 * row['share_of_ceiling']:.0f} % of {row['ceiling']}",
        f"{row['training_bytes'] / 1e9:.1f} GB",
    ]


def _evaluation(found: Found) -> Iterator[str]:
    head = "way", "images/s", "against the original's loop"
    lines = [_scored(row) for row in found.get("rows", ())]
    yield from _table("Evaluation of images of 1024×2048, one after the other", head, lines)


def _scored(row: Found) -> list[str]:
    if "images_per_second" not in row:
        return [row["name"], "not run", str(row.get("not_run") or row.get("fault"))]
    return [row["name"], f"{row['images_per_second']:.1f}", _ratio(row)]


def _ratio(row: Found) -> str:
    ratio = row["ratio"]
    return f"{ratio['median']:.2f} ({ratio['p10']:.2f} to {ratio['p90']:.2f})"


def _profile(found: Found) -> Iterator[str]:
    for name, of in found.items():
        if not isinstance(of, Mapping) or "by_kind" not in of:
            why = of["not_run"] if isinstance(of, Mapping) else of
            yield f"Profile of {name}: not run ({why}).\n"
            continue
        title = (
            f"A step of {name}: {of['milliseconds']:.0f} ms, {of['kernels']:.0f} kernels, which "
            f"take {100 * of['busy_share']:.0f} % of it"
        )
        kinds = [[kind, f"{100 * share:.1f} %"] for kind, share in of["by_kind"].items()]
        yield from _table(title, ("kind of kernel", "share of their time"), kinds)


def _table(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table under its title; nothing without lines."""
    if lines:
        yield f"{title}:\n"
        yield markdown_table(head, lines) + "\n"


if __name__ == "__main__":
    write_atomically(PAGE, page())

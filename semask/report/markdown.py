"""The table as Markdown, for code hosts and terminals.

A terminal shows about a hundred letters in a line: the columns are in several tables.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prettytable import PrettyTable, TableStyle

from semask.report.cells import (
    BESIDE,
    COLUMNS,
    FIRST,
    MORE,
    NOT_THE_SAME,
    NOTHING_PUBLISHED,
    PUBLISHED,
    RATIOS,
    Line,
    baselines_text,
    cells_of,
    facts_text,
    is_beside_published,
    kept_apart,
    notes,
    origin_text,
    ratio_texts,
    shown_columns,
    together_and_apart,
)

_PROTOCOL = "docs/protocol.md"


def to_markdown(table: Mapping[str, Any], folder: Path) -> str:
    """What `semask.report.table.build_table` gave, as Markdown.

    Args:
        table: the table.
        folder: that the text will be in, for its links.
    """
    together, apart = together_and_apart(table["rows"])
    parts = [
        f"# {table['experiment']}",
        first_rows(table),
        f"*{NOT_THE_SAME}*" if any(row["kind"] == "published" for row in together) else "",
        _notes(table["rows"]),
        _ratios(table["npu_over_gpu"]),
        "## More about the same rows",
        _grid(together, MORE),
        _beside(together),
        baselines_text(table["baselines"]),
        facts_text(table["facts"]),
        _kept_apart(apart),
        _definitions(shown_columns(together), os.path.relpath(_PROTOCOL, folder)),
        _origins(table),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def first_rows(table: Mapping[str, Any]) -> str:
    """The columns that are looked at first, of the rows that are not kept apart."""
    together, _ = together_and_apart(table["rows"])
    return _grid(together, FIRST)


def _grid(rows: Sequence[Line], columns: Sequence[str]) -> str:
    cells = [cells_of(row) for row in rows]
    return markdown_table(columns, ([of[column].text for column in columns] for of in cells))


def markdown_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned for terminals."""
    grid = PrettyTable(list(headings))
    grid.set_style(TableStyle.MARKDOWN)
    grid.align = "l"
    for line in lines:
        grid.add_row([text.replace("|", "\\|") for text in line])
    return str(grid.get_string())


def _notes(rows: Sequence[Line]) -> str:
    return "\n".join(
        f"- **{name}**: {text}." if warning else f"- {name}: {text}."
        for name, text, warning in notes(rows)
    )


def _ratios(pairs: Sequence[Line]) -> str:
    if not pairs:
        return ""
    return f"## NPU against GPU\n\n{markdown_table(RATIOS, map(ratio_texts, pairs))}"


def _beside(rows: Sequence[Line]) -> str:
    if not is_beside_published(rows):
        return NOTHING_PUBLISHED
    measured = [row for row in rows if row["kind"] == "measured"]
    return f"## Beside what others published\n\n{_grid(measured, BESIDE)}"


def _kept_apart(rows: Sequence[Line]) -> str:
    """Rows of other machines that differ in more than the device, and in what."""
    if not rows:
        return ""
    reasons = "\n".join(f"- {kept_apart(row)}" for row in rows)
    return "\n\n".join(
        ["## Kept apart", "These are not compared with any row above.", _grid(rows, FIRST),
         _grid(rows, MORE), reasons]
    )  # fmt: skip


def _definitions(columns: Sequence[str], protocol: str) -> str:
    lines = [f"- **{column}**: {COLUMNS[column]}." for column in columns]
    how = f"How each figure is measured stands in [{_PROTOCOL}]({protocol})."
    return "\n\n".join(["## What the columns mean", "\n".join(lines), how])


def _as_code(path: str) -> str:
    """A path in Markdown's code quotes, whatever is in its name."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", path)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{' '.join(path.split())}{pad}{fence}"


def _origins(table: Mapping[str, Any]) -> str:
    lines = ["## Where the figures come from", ""]
    for path, origin in table["records"].items():
        lines.append(f"- {_as_code(path)}: {origin_text(origin)}")
    for row in table["rows"]:
        if row["kind"] == "published":
            note = f": {row['note']}" if row["note"] else ""
            lines.append(f"- {row['name']}: `{PUBLISHED}`, line {row['line']}{note}")
    return "\n".join(lines)

"""The table as Markdown, for code hosts and terminals.

A terminal shows about a hundred letters in a line: the columns are in several tables.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prettytable import PrettyTable, TableStyle

from semask.report import cells
from semask.report.cells import BESIDE, COLUMNS, FIRST, MORE, PUBLISHED, Line

_PROTOCOL = "docs/protocol.md"

# What Markdown, as code hosts read it, makes something else of than the text that it is. A `_`
# within a word is one; `&` begins an entity, the last three a link that nobody marked as such.
_MARKUP = re.compile(
    r"[\\`*\[\]<>~]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|:(?=//)"
    r"|(?<=\bwww)\.|(?<=[\w.+-])@(?=[\w-]+\.)",
    re.IGNORECASE,
)


def escaped(text: str) -> str:
    """A text as Markdown that shows it as it is, whoever wrote it: no markup, HTML or links."""
    return _MARKUP.sub(lambda found: f"\\{found[0]}", text)


def to_markdown(table: Mapping[str, Any], folder: Path) -> str:
    """What `semask.report.table.build_table` gave, as Markdown, with links from a folder."""
    rows = table["rows"]
    together, apart = cells.together_and_apart(rows)
    parts = [f"# {escaped(table['experiment'])}"]
    for verdict in table["verdicts"]:
        if verdict["grounds"]:
            told = ([of.text for of in line] for line in cells.verdict(verdict))
            parts += [f"**{escaped(verdict['sentence'])}.**", markdown_table(cells.VERDICT, told)]
    plain = [f"{of['sentence']}." for of in table["verdicts"] if not of["grounds"]]
    if plain := [*plain, *table["left_out"]]:
        parts.append("\n".join(f"- {escaped(said)}" for said in plain))
    parts += ["## Rows", first_rows(table)]
    if remark := cells.remark(together):
        parts.append(f"*{remark}*")
    notes = [
        f"- **{name}**: {escaped(text)}." if warning else f"- {name}: {escaped(text)}."
        for name, text, warning in cells.notes(table["rows"])
    ]
    if notes:
        parts.append("\n".join(notes))
    if table["npu_over_gpu"]:
        pairs = map(cells.ratio_texts, table["npu_over_gpu"])
        parts += ["## NPU against GPU", markdown_table(cells.RATIOS, pairs)]
    looks = cells.grounds(table["rows"])
    grounds = markdown_table(cells.GROUNDS, ([of.text for of in line] for line in looks))
    parts += ["## Parity", cells.PARITY, grounds]
    if across := [*cells.across(table["npu_over_gpu"])]:
        parts.append("\n".join(f"- {escaped(line)}" for line in across))
    parts += ["## More about the same rows", _grid(together, MORE)]
    if cells.is_beside_published(together):
        measured = [row for row in together if row["kind"] == "measured"]
        parts += ["## Beside what others published", _grid(measured, BESIDE)]
    else:
        parts.append(cells.NOTHING_PUBLISHED)
    parts += [cells.baselines_text(table["baselines"]), escaped(cells.facts_text(table["facts"]))]
    if apart:
        parts += ["## Kept apart", "These are not compared with any row above."]
        parts += [_grid(apart, FIRST), _grid(apart, MORE)]
        parts.append("\n".join(f"- {escaped(cells.kept_apart(row))}" for row in apart))
    columns = cells.shown_columns(together)
    protocol = os.path.relpath(_PROTOCOL, folder)
    parts += [
        "## What the columns mean",
        "\n".join(f"- **{column}**: {COLUMNS[column]}." for column in columns),
        f"How each figure is measured stands in [{_PROTOCOL}]({protocol}).",
        "## Where the figures come from",
        "\n".join(_origins(table)),
    ]
    return "\n\n".join(parts) + "\n"


def first_rows(table: Mapping[str, Any]) -> str:
    """The columns that are looked at first, of the rows that are not kept apart."""
    together, _ = cells.together_and_apart(table["rows"])
    return _grid(together, FIRST)


def _grid(rows: Sequence[Line], columns: Sequence[str]) -> str:
    found = [cells.cells_of(row) for row in rows]
    return markdown_table(columns, ([of[column].text for column in columns] for of in found))


def markdown_table(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned for terminals; what the cells say is escaped."""
    grid = PrettyTable(list(headings))
    grid.set_style(TableStyle.MARKDOWN)
    grid.align = "l"
    for line in lines:
        grid.add_row([escaped(text).replace("|", "\\|") for text in line])
    return str(grid.get_string())


def as_code(path: str) -> str:
    """A path in Markdown's code quotes, whatever is in its name."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", path)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{' '.join(path.split())}{pad}{fence}"


def _origins(table: Mapping[str, Any]) -> Iterator[str]:
    for path, origin in table["records"].items():
        yield f"- {as_code(path)}: {escaped(cells.origin_text(origin))}"
    for row in table["rows"]:
        if row["kind"] == "published":
            note = f": {escaped(row['note'])}" if row["note"] else ""
            yield f"- {row['name']}: `{PUBLISHED}`, line {row['line']}{note}"

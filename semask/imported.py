"""Rows that were measured on another machine and came in a bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semask.bundle import KINDS, MANIFEST, read_manifest
from semask.comparison import (
    Record,
    hosts_and_day,
    measured_row,
    records_of,
    row_name,
)
from semask.ratios import code_differences, differing_records
from semask.records import read_record


class Imported(NamedTuple):
    """What a bundle brought: who made it, and its records by path."""

    manifest: Mapping[str, Any]
    trained: Mapping[str, Record]
    evaluated: Mapping[str, Record]


def read_imported(folder: Path) -> Imported:
    """Read the records of a bundle from the folder that it was unpacked into.

    Raises:
        InputError: one of them is missing, or was edited since.
    """
    manifest = read_manifest(folder / MANIFEST)
    found: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS.values()}
    for name in manifest["files"]:
        kind = KINDS.get(Path(name).name)
        if kind is not None:
            found[kind][str(folder / name)] = read_record(folder / name, kind)
    return Imported(manifest, found["train"], found["evaluate"])


def imported_rows(
    imported: Imported,
    trained: Mapping[str, Record],
    published: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The rows of a bundle, as `semask.comparison.measured_row` gives those of this machine.

    Args:
        imported: a bundle's records.
        trained: this machine's training records by path, which those of the bundle are held
            against.
        published: published rows.

    Returns:
        Rows whose `source` names the machine and the day, and whose `apart` names what differs from
        this machine's records: recipe keys, data, version of torch, code. Such a row is shown, and
        compared with nothing.
    """
    rows = {row_name(record["row"]): record["row"] for record in imported.trained.values()}
    lines = []
    for row in rows.values():
        own, scored = (records_of(row, r) for r in (imported.trained, imported.evaluated))
        line = measured_row(row, own, scored, published)
        differing = {
            key
            for record in own.values()
            for other in trained.values()
            if record["mode"] == other["mode"]
            for key in (*differing_records(record, other), *code_differences(record, other))
        }
        source = f"measured on {hosts_and_day(own, scored)}"
        lines.append({**line, "source": source, "apart": sorted(differing)})
    return lines

"""Rows that were measured on another machine and came in a bundle."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from semask.base.errors import InputError
from semask.base.files import sha256
from semask.base.records import read_record
from semask.base.row_names import row_name
from semask.comparison.bundle import MANIFEST, read_manifest, read_signer
from semask.comparison.bundled import check_contents, kind_of
from semask.comparison.ratios import code_differences, unexplained
from semask.comparison.rows import Record, hosts_and_day, measured_row, of_kind, records_of
from semask.fetching.signatures import Signer


class Imported(NamedTuple):
    """What a bundle brought: who made and signed it, and its records by path."""

    folder: Path  # that it was unpacked into
    records: Mapping[str, Record]  # of the kinds that `semask.report.table.build_table` is given
    signer: Signer | None = None


def read_imported(folder: Path) -> Imported:
    """Read the records of a bundle from the folder that it was unpacked into.

    Raises:
        InputError: a file is missing, or was edited or exchanged since, or a figure does not follow
            from what it is made of.
    """
    remedy = f"delete {folder} and run snakemake again to unpack the bundle anew"
    records: dict[str, Record] = {}
    try:
        manifest, signer = read_manifest(folder / MANIFEST), read_signer(folder)
        for name, known in manifest["files"].items():
            kind = kind_of(name)
            if kind is not None:
                records[str(folder / name)] = read_record(folder / name, kind)
            # the table reads no weights, which take long
            if Path(name).suffix != ".safetensors" and sha256(folder / name) != known["sha256"]:
                raise InputError(f"{folder / name}: is not the file that was unpacked")
        check_contents(Path(), records, (str(folder / name) for name in manifest["files"]))
    except OSError as fault:
        why = f"cannot be read ({fault.strerror})"
        raise InputError(f"{fault.filename}: {why}; {remedy}") from None
    except InputError as fault:
        # a record's own advice is to measure again, which cannot be done here
        raise InputError(f"{str(fault).rpartition('; ')[0] or fault}; {remedy}") from None
    shown = {path: record for path, record in records.items() if record["kind"] != "agreement"}
    return Imported(folder, shown, signer)


def check_once(records: Mapping[str, Record], imported: Sequence[Imported]) -> None:
    """Check that no training, of this machine or a bundle, stands twice, as if it were repeated.

    Raises:
        InputError: a record is in two bundles, or is this machine's own.
    """
    seen: dict[str, str] = {}
    for of in (records, *(bundle.records for bundle in imported)):
        for path, record in of_kind("train", of).items():
            other = seen.setdefault(record["digest"], path)
            if other != path:
                raise InputError(
                    f"{path}: is the same record as {other}: one measurement is no two; take one "
                    "of their bundles out of imports, or have it packed without that row"
                )


def imported_rows(
    imported: Imported, records: Mapping[str, Record], published: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows of a bundle, as `semask.comparison.rows.measured_row` gives those of this machine.

    `source` names the machine and the day, `bundle` the folder that it was unpacked into,
    `signed_by` has name and key of who signed, if that was verified, and `apart` what differs from
    this machine's `records`, by path: recipe keys, data, version of torch, code. Such a row is
    shown, and not compared with this machine's rows. What must differ between modes and between
    numbers of processes does not count.
    """
    trained = of_kind("train", imported.records)
    rows = {row_name(record["row"]): record["row"] for record in trained.values()}
    lines = []
    for row in rows.values():
        own = records_of(row, imported.records)
        differing = {
            key
            for kind in ("train", "evaluate")
            for record in of_kind(kind, own).values()
            for other in of_kind(kind, records).values()
            for key in (*unexplained(record, other), *code_differences(record, other))
        }
        of_bundle = {
            "source": f"measured on {hosts_and_day(own)}",
            "bundle": str(imported.folder),
            "signed_by": imported.signer and imported.signer._asdict(),
            "apart": sorted(differing),
        }
        lines.append(measured_row(row, own, published) | of_bundle)
    return lines

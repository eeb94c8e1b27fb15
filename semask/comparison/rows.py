"""Rows of the table, from records and published figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from semask.base.errors import InputError
from semask.base.records import SAME_RUN
from semask.comparison.beside_published import beside_published

Record = Mapping[str, Any]


def row_name(row: Mapping[str, Any]) -> str:
    """NAME of a row, as the seed's table writes it: GPU-8P."""
    return f"{row['device'].upper()}-{row['processes']}P"


def _over_seeds(values: Sequence[float]) -> dict[str, Any]:
    return {
        "value": mean(values),
        "sd": stdev(values) if len(values) > 1 else None,
        "seeds": len(values),
    }


def _measured(values: Sequence[float], records: Sequence[str]) -> dict[str, Any]:
    if not values:
        return {"value": None, "state": "not measured"}
    return {**_over_seeds(values), "state": "measured", "from": list(records)}


def measured_row(
    row: Mapping[str, Any],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    published: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """One row of the table, measured here.

    Args:
        row: device, processes, threads.
        trained: the row's training records by path, of both modes and all seeds.
        evaluated: its evaluation records by path.
        published: published rows, of which those of the same name and experiment stand beside it.

    Returns:
        name; source; apart (what keeps it from being compared, see `semask.comparison.imported`);
        the cells acc1, last_miou, multi_scale_miou (percent), fps, fps_p10, fps_p90, fps_log_window
        (images/s), data_wait_share, pytorch, device (the names by which the hardware calls itself),
        each with value, state and the records it is from; skipped_steps and cpu_fallbacks (numbers,
        operators); published (acc1, multi_scale_miou, fps, differing, line, source) and difference
        (in points, fps as a ratio), None where the experiments are not the same; `differing` says
        of a figure that is not shown what makes it another one.
    """
    speed = {path: r for path, r in trained.items() if r["mode"] == "performance"}
    figures = [record["figures"]["speed"] for record in speed.values()]
    windows = [f["fps_log_window"] for f in figures if f["fps_log_window"] is not None]
    line: dict[str, Any] = {
        "name": row_name(row),
        "kind": "measured",
        "source": f"measured here ({hosts_and_day(trained, evaluated)})",
        "apart": [],
        "acc1": _measured([r["figures"]["best"]["miou"] for r in evaluated.values()], [*evaluated]),
        "last_miou": _measured(
            [r["figures"]["last"]["miou"] for r in evaluated.values()], [*evaluated]
        ),
        "multi_scale_miou": _multi_scale(evaluated),
        "fps_log_window": _measured(windows, [*speed]),
        "pytorch": {
            "value": ", ".join(sorted({r["device"]["torch"] for r in trained.values()})),
            "state": "measured",
            "from": [*trained],
        },
    }
    line["device"] = {
        "value": ", ".join(sorted({r["device"]["name"] for r in trained.values()})),
        "state": "measured",
        "from": [*trained],
    }
    for key in ("fps", "fps_p10", "fps_p90", "data_wait_share"):
        line[key] = _measured([f[key] for f in figures], [*speed])
    line["skipped_steps"] = sum(
        record["figures"].get("precision", {}).get("skipped_steps", 0)
        for record in trained.values()
    )
    fell_back = [
        record["figures"].get("cpu_fallbacks") or []
        for record in (*trained.values(), *evaluated.values())
    ]
    line["cpu_fallbacks"] = sorted({operator for found in fell_back for operator in found})
    line["warnings"] = [said for record in trained.values() for said in _warnings(record)]
    return {**line, **beside_published(line, trained, evaluated, published)}


def _warnings(record: Record) -> list[str]:
    """What is to be said of a training run: of its losses, and of tries that were not alike."""
    run = f"{record['mode']} run, seed {record['seed']}"
    said = [f"{run}: {warning}" for warning in record["figures"].get("warnings", ())]
    tries = record["figures"].get("tries", ())
    for key, word in (
        ("code_digest", "code"),
        ("device", "devices"),
        ("torch", "versions of torch"),
    ):
        if len({each[key] for each in tries}) > 1:
            starts = ", ".join(str(each["from"]) for each in tries)
            said.append(f"{run}: interrupted, and continued with other {word} (from {starts})")
    return said


def _multi_scale(evaluated: Mapping[str, Record]) -> dict[str, Any]:
    figures = {
        path: record["figures"]["best_multi_scale"]["miou"]
        for path, record in evaluated.items()
        if "best_multi_scale" in record["figures"]
    }
    return _measured([*figures.values()], [*figures])


def hosts_and_day(*records: Mapping[str, Record]) -> str:
    """Where and when the last of some records was made, in words: "a, b, 2026-01-02"."""
    runs = [record["run"] for group in records for record in group.values()]
    hosts = sorted({run["host"] for run in runs})
    return f"{', '.join(hosts)}, {max(run['ended'] for run in runs)[:10]}"


def check_same_runs(
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    baselines: Record,
    baselines_path: Path,
) -> None:
    """Checks that records which make up one table belong together.

    Args:
        trained: training records by path.
        evaluated: evaluation records by path.
        baselines: the baselines' record.
        baselines_path: its file, for the message.

    Raises:
        InputError: an evaluation's training is not among them, or the baselines are of other
            images than an evaluation.
    """
    remedy = "run snakemake again to make it anew"
    runs = [{key: record[key] for key in SAME_RUN} for record in trained.values()]
    for path, record in evaluated.items():
        if {key: record[key] for key in SAME_RUN} not in runs:
            raise InputError(f"{path}: no training record given is of the same run; {remedy}")
        if record["data_fingerprint"] != baselines["data_fingerprint"]:
            raise InputError(f"{baselines_path}: of other data than {path}; {remedy}")


def records_of(row: Mapping[str, Any], records: Mapping[str, Record]) -> dict[str, Record]:
    """Those of some records that are of a row."""
    return {p: record for p, record in records.items() if row_name(record["row"]) == row_name(row)}


def measured_rows(
    rows: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    published: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The rows that were measured here, in the config's order.

    Raises:
        InputError: a row has no training record.
    """
    for row in rows:
        if not records_of(row, trained):
            raise InputError(
                f"rows: {row['device']}-{row['processes']}p: no training record of it is given; "
                "give one, or take the row out"
            )
    return [
        measured_row(row, records_of(row, trained), records_of(row, evaluated), published)
        for row in rows
    ]

"""Rows of the table, from records and published figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from semask.errors import InputError
from semask.published import (
    same_experiment,
    schedule_differences,
    scoring_differences,
    speed_differences,
)
from semask.records import SAME_RUN

Record = Mapping[str, Any]

# what two published rows must share to be compared
_EXPERIMENT = ("source", "dataset", "variant", "crop", "iterations", "batch")


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
        name; source; apart (what keeps it from being compared, see `semask.imported`); the cells
        acc1, last_miou, multi_scale_miou (percent), fps, fps_p10, fps_p90, fps_log_window
        (images/s), data_wait_share, pytorch, device (the names by which the hardware calls itself),
        each with value, state and the records it is from;
        skipped_steps and cpu_fallbacks (numbers, operators); published (acc1, multi_scale_miou,
        fps, differing, line, source) and difference (in points, fps as a ratio), None where the
        experiments are not the same; `differing` says of a figure that is not shown what makes it
        another one.
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
    return {**line, **_beside_published(line, trained, evaluated, published)}


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


def _beside_published(
    line: Mapping[str, Any],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    published: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    recipes = [record["recipe"] for record in trained.values()]
    # a row of this name before one that is published without naming devices
    same = [
        other
        for name in (line["name"], None)
        for other in published
        if other["row"] == name and all(same_experiment(other, recipe) for recipe in recipes)
    ]
    if not same:
        return {"published": None, "difference": None}
    other = same[0]
    differing = _differing_from_published(other, trained, evaluated)
    acc1, several = _published_accuracy(other)
    said = {"acc1": acc1, "multi_scale_miou": several, "fps": other["fps"]}
    shown = {key: None if differing[key] else value for key, value in said.items()}
    fps = line["fps_log_window"]["value"]
    return {
        "published": {
            **shown,
            # of figures that are published, but not of the same
            "differing": {key: differing[key] for key in said if said[key] is not None},
            "source": other["source"],
            "line": other["line"],
        },
        "difference": {
            "acc1": points(line["acc1"]["value"], shown["acc1"]),
            "multi_scale_miou": points(
                line["multi_scale_miou"]["value"], shown["multi_scale_miou"]
            ),
            "fps": fps / shown["fps"] if None not in (fps, shown["fps"]) else None,
        },
    }


def _differing_from_published(
    other: Mapping[str, Any], trained: Mapping[str, Record], evaluated: Mapping[str, Record]
) -> dict[str, list[str]]:
    """By figure, what makes it another one than the published row's."""
    speed = [k for r in trained.values() for k in speed_differences(r["recipe"])]
    full = [record["recipe"] for record in trained.values() if record["mode"] == "full"]
    single = [key for recipe in full for key in schedule_differences(other, recipe)]
    several = list(single)
    for record in evaluated.values():
        evaluation = {
            **record["recipe"]["evaluation"],
            "multi_scale": record.get("evaluation", {}).get("multi_scale"),
        }
        found = scoring_differences(other, evaluation, record["figures"]["images"])
        single += found[0]
        several += found[1]
    return {
        "acc1": sorted(set(single)),
        "multi_scale_miou": sorted(set(several)),
        "fps": sorted(set(speed)),
    }


def _published_accuracy(other: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Single-scale and multi-scale mIoU, under whichever name the source gives the former."""
    single = other["miou_single_scale"] if other["acc_at_1"] is None else other["acc_at_1"]
    return single, other["miou_multi_scale_flip"]


def points(mine: float | None, theirs: float | None) -> float | None:
    """Difference of two figures, if there are both."""
    return None if mine is None or theirs is None else mine - theirs


def published_row(other: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the table that only repeats what others published."""

    def cell(value: object) -> dict[str, Any]:
        if value is None:
            return {"value": None, "state": "not published"}
        return {"value": value, "state": "published", "from": [f"line {other['line']}"]}

    nothing = cell(None)
    return {
        "name": other["row"],
        "kind": "published",
        "line": other["line"],
        "source": f"published by {other['source']}: {other['dataset']}, {other['variant']}",
        "acc1": cell(other["acc_at_1"]),
        "last_miou": nothing,
        "multi_scale_miou": nothing,
        "fps": cell(other["fps"]),
        "fps_p10": nothing,
        "fps_p90": nothing,
        # the seed's figure is by its own definition, whichever column it stands in
        "fps_log_window": cell(other["fps"]),
        "data_wait_share": nothing,
        "skipped_steps": None,
        "cpu_fallbacks": None,
        "warnings": [],
        "apart": [],
        "pytorch": cell(other["pytorch"]),
        "device": nothing,
        "published": None,
        "difference": None,
        "note": other["note"],
        "experiment": {key: other[key] for key in _EXPERIMENT},
    }


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


def published_rows(
    measured: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The published rows that are on lines of their own.

    A published row that stands beside a measured one is not repeated; nor is one that is published
    without naming devices.
    """
    shown = {
        line["published"]["line"]
        for line in measured
        # a figure that is withheld there is still to be seen
        if line["published"] and not any(line["published"]["differing"].values())
    }
    return [
        published_row(other)
        for other in published
        if other["row"] is not None and other["line"] not in shown
    ]

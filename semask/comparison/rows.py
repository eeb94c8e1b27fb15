"""Rows of the table, from records and published figures."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from semask.base.errors import InputError
from semask.base.records import SAME_RUN
from semask.base.row_names import row_folder, row_name
from semask.comparison.beside_published import beside_published
from semask.comparison.parities import grounds, tries_of
from semask.devices.disturbances import disturbances

Record = Mapping[str, Any]
# what a training may have been continued with another one of, by its key in `device`
_RAN = {
    "name": "devices", "torch": "versions of torch", "torch_npu": "versions of torch_npu",
    "cann": "versions of CANN", "cuda": "versions of CUDA", "driver": "drivers",
}  # fmt: skip


def _measured(values: Sequence[float], records: Iterable[str]) -> dict[str, Any]:
    """A cell: the mean over seeds, and the records that it is from."""
    if not values:
        return {"value": None, "state": "not measured"}
    return {
        "value": mean(values),
        "sd": stdev(values) if len(values) > 1 else None,
        "seeds": len(values),
        "state": "measured",
        "from": [*records],
    }


def measured_row(
    row: Mapping[str, Any], records: Mapping[str, Record], published: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """One row of the table, measured here: `row` is device, processes, threads, planted_fault.

    Its `records`, by path, are those of training and evaluation, of both modes and all seeds, and
    of parity, if there is one. Published rows of its name and experiment stand beside it.

    Returns:
        name; source; bundle, signed_by and apart (None, None and empty for rows of this machine,
        see `semask.comparison.imported`); the cells acc1, last_miou, multi_scale_miou (percent),
        fps, fps_p10, fps_p90, fps_log_window (images/s), data_wait_share, pytorch, device (the
        names by which the hardware calls itself), each with value, state and the records it is
        from; disturbed (whether its fps says little, as the warnings have it); skipped_steps and
        cpu_fallbacks (numbers, operators); parity (see `semask.comparison.parities.grounds`);
        published (acc1, multi_scale_miou, fps, differing, line, source) and difference (in points,
        fps as a ratio), None where the experiments are not the same; `differing` says of a figure
        that is not shown what makes it another one.
    """
    trained, evaluated = (of_kind(kind, records) for kind in ("train", "evaluate"))
    timed = {path: r for path, r in trained.items() if r["mode"] == "performance"}
    speeds = [record["figures"]["speed"] for record in timed.values()]

    def accuracy(weights: str) -> dict[str, Any]:
        scored = {path: r["figures"] for path, r in evaluated.items() if weights in r["figures"]}
        return _measured([figures[weights]["miou"] for figures in scored.values()], scored)

    def speed(key: str) -> dict[str, Any]:
        return _measured([each[key] for each in speeds if each[key] is not None], timed)

    def said_of_device(key: str) -> dict[str, Any]:
        names = sorted({record["device"][key] for record in trained.values()})
        return {"value": ", ".join(names), "state": "measured", "from": [*trained]}

    figures = [record["figures"] for record in records.values()]
    line = {
        "name": row_name(row),
        "kind": "measured",
        "source": f"measured here ({hosts_and_day(records)})",
        "bundle": None,
        "signed_by": None,
        "apart": [],
        "acc1": accuracy("best"),
        "last_miou": accuracy("last"),
        "multi_scale_miou": accuracy("best_multi_scale"),
        "fps_log_window": speed("fps_log_window"),
        "pytorch": said_of_device("torch"),
        "device": said_of_device("name"),
        **{key: speed(key) for key in ("fps", "fps_p10", "fps_p90", "data_wait_share")},
        "skipped_steps": sum(of.get("precision", {}).get("skipped_steps", 0) for of in figures),
        "cpu_fallbacks": sorted({name for of in figures for name in of.get("cpu_fallbacks") or ()}),
        "disturbed": any(map(disturbances_of, timed.values())),
        "warnings": [said for record in trained.values() for said in _warnings(record)],
        "parity": grounds(of_kind("parity", records), trained),
    }
    return {**line, **beside_published(line, {**trained, **evaluated}, published)}


def _warnings(record: Record) -> list[str]:
    """What is to be said of a training run: of its losses, and of tries that were not alike."""
    run = f"{record['mode']} run, seed {record['seed']}"
    said = [f"{run}: {warning}" for warning in record["figures"].get("warnings", ())]
    tries = record["figures"].get("tries", ())
    starts = ", ".join(str(each["from"]) for each in tries)
    ran = [
        {"code": each["code_digest"], **{word: of["device"].get(key) for key, word in _RAN.items()},
         **{f"execution.{key}": on for key, on in of["execution"].items() if key != "prepared"}}
        for each, of in zip(tries, tries_of(record), strict=False)
    ]  # fmt: skip
    for what in ran[0] if ran else ():
        if len({of.get(what) for of in ran}) > 1:
            said.append(f"{run}: interrupted, and continued with other {what} (from {starts})")
    return [*said, *(f"{run}: {why}, so its FPS says little" for why in disturbances_of(record))]


def disturbances_of(record: Record) -> list[str]:
    """What made a run's speed say little, in words."""
    conditions = record["figures"]["speed"].get("conditions", ())
    return disturbances(conditions, record["row"]["device"])


def hosts_and_day(records: Mapping[str, Record]) -> str:
    """Where and when the last of some records was made, in words: "a, b, 2026-01-02"."""
    runs = [record["run"] for record in records.values()]
    hosts = sorted({run["host"] for run in runs})
    return f"{', '.join(hosts)}, {max(run['ended'] for run in runs)[:10]}"


def check_same_runs(
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    baselines: Record,
    baselines_path: Path,
) -> None:
    """Checks that records of one table belong together; `baselines_path` is for messages.

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


def training_of(record: Record, trained: Mapping[str, Record]) -> Record:
    """The training among some that a record is of the same run as; there is one."""
    return next(of for of in trained.values() if all(of[key] == record[key] for key in SAME_RUN))


def paths_of(line: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the records of training and evaluation that a measured row's figures are from."""
    return (*line["pytorch"]["from"], *line["acc1"].get("from", ()))


def of_kind(kind: str, records: Mapping[str, Record]) -> dict[str, Record]:
    """Those of some records that are of a kind."""
    return {path: record for path, record in records.items() if record["kind"] == kind}


def records_of(row: Mapping[str, Any], records: Mapping[str, Record]) -> dict[str, Record]:
    """Those of some records that are of a row."""
    return {p: record for p, record in records.items() if row_name(record["row"]) == row_name(row)}


def measured_rows(
    rows: Sequence[Mapping[str, Any]],
    records: Mapping[str, Record],
    published: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The rows that were measured here, in the config's order.

    Raises:
        InputError: a row has no training record.
    """
    lines = []
    for row in rows:
        own = records_of(row, records)
        if not of_kind("train", own):
            raise InputError(
                f"rows: {row_folder(row)}: no training record of it is given; "
                "give one, or take the row out"
            )
        lines.append(measured_row(row, own, published))
    return lines

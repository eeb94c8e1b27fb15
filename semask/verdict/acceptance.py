"""The field's acceptance figures of a pair of rows, beside the grounds of its verdict."""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from semask.comparison.rows import Record, of_kind
from semask.verdict.field import LOSS_LIMIT, MFU_LIMIT, loss_difference, utilisation

Line = Mapping[str, Any]
Logs = Callable[[str], Sequence[Mapping[str, Any]]]

SEES = {
    "loss curves": "faults, and chaos and chance, which can outweigh them: a faulty port may be "
    "accepted, a healthy one refused; the first ten iterations have little of chaos in them, and "
    "none of chance where both rows draw the same",
    "operators": "single elements, most of all those beside zeros, which honest rounding puts off; "
    "no gradients",
    "MFU": "how well the device is used; nothing of what is computed",
}
"""The figures, and what each one sees."""


def of_pair(
    port: Line, original: Line, records: Mapping[str, Record], logs: Logs
) -> list[dict[str, Any]]:
    """What others accept a port by, as far as it was measured.

    `records` are by path; `logs` gives the lines of a run's log by that of its training's record.

    Returns:
        figure (a key of SEES), said, limit, accepted (None where it is not judged), from (paths of
        records).
    """
    found = [*_losses(port, original, records, logs), *_operators(port, records)]
    return [*found, *_utilisation(port, original, records)]


def _losses(
    port: Line, original: Line, records: Mapping[str, Record], logs: Logs
) -> list[dict[str, Any]]:
    mine, theirs = (
        {_run(records[p]): p for p in line["pytorch"]["from"]} for line in (port, original)
    )
    paths = [(mine[run], theirs[run]) for run in mine if run in theirs and run[0] == "full"]
    if not paths:
        return []
    each = [loss_difference(logs(a), logs(b)) for a, b in paths]
    whole, first = mean(x.mean for x in each), mean(x.mean_of_first for x in each)
    said = (
        f"mean difference {100 * whole:.2f} % over {each[0].iterations} iterations, "
        f"{100 * first:.3f} % over the first ten"
    )
    return [
        {"figure": "loss curves", "said": said, "limit": f"below {100 * LOSS_LIMIT:g} %",
         "accepted": whole < LOSS_LIMIT, "from": [path for pair in paths for path in pair]}
    ]  # fmt: skip


def _run(record: Record) -> tuple[str, int]:
    return record["mode"], record["seed"]


def _operators(port: Line, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    found = []
    for path in port["parity"]["from"]:
        for look, finding in records[path]["figures"]["looks"].items():
            if "modules" not in finding:
                continue
            passed = [x["operator"] for x in finding["modules"] if x["operator"] is not None]
            failed = passed.count(False)
            kind = look.partition(":")[0]
            said = f"{failed} of {len(passed)} modules have an output that fails, {kind}"
            found.append(
                {"figure": "operators", "said": said, "limit": "none fails",
                 "accepted": not failed, "from": [path]}
            )  # fmt: skip
    return found


def _utilisation(port: Line, original: Line, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    shares, origins = [], []
    for line in (port, original):
        for path in line["parity"]["from"]:
            if line["fps"]["value"] is not None:
                record, best = records[path], _best_peak(records[path], records)
                if best is None:
                    continue
                fps = line["fps"]["value"] / record["row"]["processes"]
                work, peak = record["figures"]["work"], records[best]["figures"]["work"]["peak"]
                shares.append((line["name"], utilisation(work["gmac"], fps, peak)))
                origins += [*line["fps"]["from"], *dict.fromkeys((path, best))]
    if not shares or shares[0][0] != port["name"]:
        return []
    said = ", ".join(f"{name} {100 * share:.1f} %" for name, share in shares)
    said += " of what its matrix products reach"
    accepted: bool | None = shares[0][1] >= MFU_LIMIT
    if max(share for _, share in shares) > 1:
        accepted = None
        said += "; nothing does more than that, so the peak was measured beside other work"
    return [
        {"figure": "MFU", "said": said, "limit": f"at least {100 * MFU_LIMIT:g} %",
         "accepted": accepted, "from": origins}
    ]  # fmt: skip


def _best_peak(record: Record, records: Mapping[str, Record]) -> str | None:
    """Path of the look that measured the highest peak on a device as this look's; None if none did.

    Other work can only lower a peak, so that the highest one is nearest to what the device can do.
    """
    peaks = {
        path: of["figures"]["work"]["peak"]
        for path, of in of_kind("parity", records).items()
        if _peak_of(of) == _peak_of(record) and of["figures"]["work"]["peak"] is not None
    }
    return max(peaks, key=peaks.__getitem__, default=None)


def _peak_of(record: Record) -> tuple[Any, ...]:
    """What a peak is the peak of: a device, and how it multiplies."""
    row, recipe = record["row"], record["recipe"]
    return (
        row["device"],
        record["device"]["name"],
        row["threads"],
        recipe["training"]["precision"],
        recipe["numerics"]["reduced_matmul"],
    )

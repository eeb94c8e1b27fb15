"""The field's own acceptance figures, shown beside the grounds of a verdict, never in their place.

None of them tells a fault from chance or rounding: docs/verdict.md has what they acquit and accuse.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from semask.comparison import FORWARDS_PER_STEP
from semask.comparison.rows import Record, of_kind
from semask.devices.data_sheets import peaks_of
from semask.parity.operators import by_operators, described

Line = Mapping[str, Any]
Log = Sequence[Mapping[str, Any]]

LOSS_LIMIT = 0.02
"""Mean relative difference of losses below which verl (#332) and OpenRLHF (#605) accept a port."""
FIRST = 10
"""Iterations in which chance and rounding have not yet taken over."""
MFU_LIMIT = 0.24
"""Model FLOPs utilisation that VeOmni (#1031) asks of a port."""
_FLOP_PER_MAC = 2

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
    port: Line, original: Line, records: Mapping[str, Record], logs: Callable[[str], Log]
) -> list[dict[str, Any]]:
    """What others accept a port by, as far as it was measured.

    `records` are by path; `logs` gives the lines of a run's log by that of its training's record.

    Returns:
        figure (a key of SEES), said, limit, accepted (None where it is not judged), from (paths of
        records).
    """
    return [
        *_losses(port, original, records, logs),
        *_operators(port, records),
        *_utilisation(port, original, records),
    ]


class LossDifference(NamedTuple):
    """Mean of |La − Lb| / Lb over iterations, and how many these are."""

    mean: float
    iterations: int
    mean_of_first: float  # over the first ten of them


def loss_difference(mine: Log, theirs: Log) -> LossDifference:
    """How far two loss curves are apart, over the iterations that both logs have, at least one.

    Logs are lines as `semask.training.log_file.read_log` gives them; differences are divided by the
    loss of `theirs`.
    """
    a, b = ({x["iteration"]: x["loss"] for x in log if "loss" in x} for log in (mine, theirs))
    common = sorted(a.keys() & b.keys())
    losses = np.array([[of[n] for n in common] for of in (a, b)], float)
    differences = np.abs(losses[0] - losses[1]) / losses[1]
    first = differences[:FIRST]
    return LossDifference(float(differences.mean()), len(common), float(first.mean()))


def _losses(
    port: Line, original: Line, records: Mapping[str, Record], logs: Callable[[str], Log]
) -> list[dict[str, Any]]:
    mine, theirs = (
        {(records[p]["mode"], records[p]["seed"]): p for p in line["pytorch"]["from"]}
        for line in (port, original)
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


def _operators(port: Line, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    found = []
    for path in port["parity"]["from"]:
        for look, finding in records[path]["figures"]["looks"].items():
            errors = by_operators(finding) if "modules" in finding else {}
            if errors:
                said = f"{look.partition(':')[0]}: {described(errors)}"
                accepted = all(of.accepted for of in errors.values())
                found.append(
                    {"figure": "operators", "said": said, "limit": "none fails",
                     "accepted": accepted, "from": [path]}
                )  # fmt: skip
    return found


def utilisation(gmac: float, fps: float, peak: float) -> float:
    """Model FLOPs utilisation (MFU) of training: the share of a device's peak that the model needs.

    A step's products are three times those of the forward pass. What is computed anew
    (checkpointing) does not count, nor does what is no product. `gmac` are 10⁹
    multiply-accumulates, 2 FLOP each, of one image forward, as `semask.comparison.cost.gmac_of`
    counts them, `fps` the training images per second of one device (of a row: FPS / processes),
    `peak` its FLOP per second, above 0, in the precision that was trained in.
    """
    return FORWARDS_PER_STEP * gmac * 1e9 * _FLOP_PER_MAC * fps / peak


def _utilisation(port: Line, original: Line, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    """MFU by the peak that was measured, and by the data sheet's."""
    found = []
    for peak_of, by, above in (
        (_best_peak, "what its matrix products reach", "the peak was measured beside other work"),
        (_data_sheets_peak, "its data sheet's peak", "the device is not the data sheet's"),
    ):
        shares, origins = [], []
        for line in (port, original):
            for path in line["parity"]["from"]:
                record = records[path]
                peak = peak_of(record, records)
                if peak is None or line["fps"]["value"] is None:
                    continue
                fps = line["fps"]["value"] / record["row"]["processes"]
                share = utilisation(record["figures"]["work"]["gmac"], fps, peak.flops)
                shares.append((line["name"], share, peak.source))
                origins += [*line["fps"]["from"], *dict.fromkeys((path, *peak.origins))]
        if not shares or shares[0][0] != port["name"]:
            continue
        said = ", ".join(f"{name} {100 * share:.1f} %" for name, share, _ in shares) + f" of {by}"
        sources = dict.fromkeys(source for *_, source in shares if source)
        said += f" ({'; '.join(sources)})" if sources else ""
        accepted: bool | None = shares[0][1] >= MFU_LIMIT
        if max(share for _, share, _ in shares) > 1:
            accepted = None
            said += f"; nothing does more than that, so {above}"
        found.append(
            {"figure": "MFU", "said": said, "limit": f"at least {100 * MFU_LIMIT:g} %",
             "accepted": accepted, "from": origins}
        )  # fmt: skip
    return found


class _Peak(NamedTuple):
    flops: float  # per second
    origins: Sequence[str] = ()  # paths of records
    source: str = ""


def _best_peak(record: Record, records: Mapping[str, Record]) -> _Peak | None:
    """The highest peak that was measured on a device as this look's; None if none was.

    Other work can only lower a peak, so that the highest one is nearest to what the device can do.
    """
    peaks = [
        _Peak(of["figures"]["work"]["peak"], [path])
        for path, of in of_kind("parity", records).items()
        if _measured_on(of) == _measured_on(record) and of["figures"]["work"]["peak"] is not None
    ]
    return max(peaks, key=lambda peak: peak.flops, default=None)


def _measured_on(record: Record) -> tuple[Any, ...]:
    """What a peak is the peak of: a device, and how it multiplies."""
    row = record["row"]
    return row["device"], record["device"]["name"], row["threads"], _multiplied_in(record)


def _multiplied_in(record: Record) -> str:
    recipe = record["recipe"]
    precision = str(recipe["training"]["precision"])
    reduced = precision == "fp32" and recipe["numerics"]["reduced_matmul"]
    return "reduced" if reduced else precision


def _data_sheets_peak(record: Record, records: Mapping[str, Record]) -> _Peak | None:
    known = peaks_of(record["device"]["name"])
    if known is None or _multiplied_in(record) not in known.tflops:
        return None
    return _Peak(1e12 * known.tflops[_multiplied_in(record)], (), known.source)

"""What looks at devices found, beside the rows and beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semask.config.recipe import differing_keys
from semask.parity.verdict import NOT_RUN, Answer, answers, number, ratio_of

Record = Mapping[str, Any]

# to which norms of two machines' references agree: other orders of summation in float64
_AGREEMENT = 1e-9
MODULES_SHOWN = 10  # of each look, the worst ones; records and tables have all
# what brings a device's kernels, by its key in a record, and how it is called
_KERNELS = {
    "name": "", "torch": "torch ", "torch_npu": "torch_npu ", "cann": "CANN ", "cuda": "CUDA ",
}  # fmt: skip
# of a recipe: a look makes up its weights, and is of no training's length
_OF_TRAINING = {"model.pretrained", "training.iterations", "training.evaluate_every"}


def grounds(looked: Mapping[str, Record], trained: Mapping[str, Record]) -> dict[str, Any]:
    """What the looks at a row's device show, of the row's records of parity by path, one or none.

    What was looked at must be what trained, by the row's training records: the same kernels, told
    to run alike, by one recipe, in every try that a training was continued by.

    Returns:
        from (paths); grounds: ground, answer (shown, refuted, undecided, not run) and why of each
        look, one line that says *not run* where there was none.
    """
    found = {"parity": Answer(NOT_RUN, "nobody has looked at this row's device")}
    for record in looked.values():
        reasons = (_not_what_trained(record, of) for of in trained.values())
        if why := next(filter(None, reasons), ""):
            found = {"parity": Answer(NOT_RUN, why)}
        else:
            found = answers(record["figures"]["looks"]) or found
    told = [{"ground": name, **answer._asdict()} for name, answer in found.items()]
    return {"from": [*looked], "grounds": told}


def kernels(record: Record) -> tuple[str | None, ...]:
    """What a record's device computed with: its name and the versions of its libraries."""
    return tuple(record["device"].get(key) for key in _KERNELS)


def tries_of(trained: Record) -> list[Record]:
    """What each try of a training ran on and how: `device` and `execution`, as in its record.

    A record has those of the last try. What older ones do not say of a try is taken from there.
    """
    last = {key: trained[key] for key in ("device", "execution")}
    return [
        {
            "device": {**last["device"], **of, "name": of["device"]},
            "execution": of.get("execution", last["execution"]),
        }
        for of in trained["figures"].get("tries", ())
    ] or [last]


def _not_what_trained(looked: Record, trained: Record) -> str:
    """Why a look says nothing of a training; empty if it does."""
    keys = [k for k in differing_keys(looked["recipe"], trained["recipe"]) if k not in _OF_TRAINING]
    for of in tries_of(trained):
        for word, was, other in zip(_KERNELS.values(), kernels(looked), kernels(of), strict=True):
            if was != other:
                return f"looked at {word}{was or 'none'}, and {word}{other or 'none'} trained"
        told = {key: of["execution"].get(key) for key in looked["execution"]}
        keys += differing_keys(looked["execution"], told)
    said = ", ".join(dict.fromkeys(keys))
    return f"looked at with other settings than trained: {said}" if keys else ""


def worst_modules(finding: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The modules of the largest ratios that a look found, worst first."""
    return sorted(finding["modules"], key=ratio_of, reverse=True)[:MODULES_SHOWN]


def across(npu: Record, gpu: Record) -> dict[str, dict[str, Any]]:
    """Two devices' looks at modules, held against each other.

    Returns:
        By look that both have: `differing` (what their references differ in; then nothing is
        compared) and `modules` (all that both looked at, worst first: name, npu and gpu, their
        ratios, and over, the one by the other). Ratios below 1, which are within honest rounding,
        count as 1 in `over`.
    """
    found = {}
    for look, mine in npu["figures"]["looks"].items():
        theirs = gpu["figures"]["looks"].get(look, {})
        if "modules" in mine and "modules" in theirs:
            differing = differing_references(mine["reference"], theirs["reference"])
            over = [] if differing else _over(mine["modules"], theirs["modules"])
            found[look] = {"differing": differing, "modules": over}
    return found


def _over(
    npu: Sequence[Mapping[str, Any]], gpu: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    mine, theirs = ({module["name"]: ratio_of(module) for module in of} for of in (npu, gpu))
    over = [
        {"name": name, "npu": _finite(a), "gpu": _finite(b), "over": _finite(max(a, 1) / max(b, 1))}
        for name, a in mine.items()
        # one of the looks may have been ended half-way
        if (b := theirs.get(name)) is not None
    ]
    return sorted(over, key=lambda one: number(one["over"]), reverse=True)


def _finite(x: float) -> float | None:
    return x if np.isfinite(x) else None


def differing_batches(a: Record, b: Record) -> str | None:
    """What two machines have loaded otherwise first, as in *labels of batch 3*; empty if nothing.

    None where that is not known: one of them did not look, or had other batches to load.
    """
    looks = [record["figures"]["looks"].get("data", {}).get("batches") for record in (a, b)]
    seeds = [record["figures"]["asked"]["seed"] for record in (a, b)]
    sizes = [record["recipe"]["training"]["global_batch"] for record in (a, b)]
    if not all(looks) or seeds[0] != seeds[1] or sizes[0] != sizes[1]:
        return None
    for n, (mine, theirs) in enumerate(zip(*looks, strict=False), start=1):
        if other := [part for part in ("images", "labels") if mine[part] != theirs[part]]:
            return f"{' and '.join(other)} of batch {n}"
    return ""


def differing_references(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What two of `semask.parity.reference.fingerprint` differ in; nothing if of one reference."""
    found = [key for key in ("weights_sha256", "inputs_sha256") if a[key] != b[key]]
    if not _agree(a["loss"], b["loss"]):
        found.append("loss")
    if {*a["norms"]} != {*b["norms"]}:
        return [*found, "modules"]
    both = ((name, of, b["norms"][name]) for name, of in a["norms"].items())
    return found + [f"norms of {name}" for name, x, y in both if not _agree(x, y)]


def _agree(a: Any, b: Any) -> bool:
    return bool(np.allclose(a, b, rtol=_AGREEMENT, atol=0))

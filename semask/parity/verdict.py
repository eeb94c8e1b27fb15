"""What the looks at a device show: an answer for each ground, and why."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

SHOWN, REFUTED, UNDECIDED, NOT_RUN = "shown", "refuted", "undecided", "not run"
PASSED, LOOKED_AT = 4.0, 10.0
"""Ratios: up to the first a quantity passes, up to the second it is to be looked at."""

# of a step's quantities: what is off in one is off in most that come after it, and often by more
_AS_COMPUTED = (
    "loss", "gradients", "first moments", "second moments", "decayed weights", "spared weights",
    "update", "buffers",
)  # fmt: skip
_WORST_FIRST = (REFUTED, NOT_RUN, UNDECIDED, SHOWN)


class Answer(NamedTuple):
    """`answer` is shown, refuted, undecided or not run."""

    answer: str
    why: str


def number(value: float | None) -> float:
    """A number of a finding, infinite where it was not finite: there a record has null."""
    return float(value) if value is not None and isfinite(value) else float("inf")


def status_of(ratio: float) -> str:
    """passed, looked at or failed; what is not a number fails."""
    if ratio <= PASSED:
        return "passed"
    return "looked at" if ratio <= LOOKED_AT else "failed"


def answers(found: Mapping[str, Any]) -> dict[str, Answer]:
    """The answers of findings, by the names under which `semask.parity.looks.part` kept them."""
    return {name: answer(finding) for name, finding in found.items()}


def answer(finding: Mapping[str, Any]) -> Answer:
    """The answer of one look."""
    if "not_run" in finding:
        return Answer(NOT_RUN, finding["not_run"])
    if "modules" in finding:
        return _of_modules(finding)
    if "medians" in finding:
        return _of_steps(finding)
    faults = finding["faults"]
    if faults:
        return Answer(REFUTED, faults[0])
    if "painted" in finding:
        return _of_data(finding)
    if not finding["sites"]:
        return Answer(SHOWN, "nothing is drawn at random")
    return Answer(SHOWN, f"{len(finding['sites'])} sites drop as often as they are asked to")


def whole(of: Mapping[str, Answer]) -> str:
    """The answer to all of them: the worst one."""
    given = {each.answer for each in of.values()}
    return next((answer for answer in _WORST_FIRST if answer in given), NOT_RUN)


def _of_modules(finding: Mapping[str, Any]) -> Answer:
    by_name = {each["name"]: each for each in finding["modules"]}
    if finding["failed"]:
        name = finding["guilty"] or finding["failed"][0]
        more = f", and {n} more" if (n := len(finding["failed"]) - 1) else ""
        return Answer(REFUTED, f"{described(by_name[name])}{more}")
    if "stopped" in finding:
        return Answer(NOT_RUN, finding["stopped"])
    looked_at = [each for each in by_name.values() if each["status"] == "looked at"]
    if looked_at:
        said = described(max(looked_at, key=ratio_of))
        return Answer(UNDECIDED, f"to be looked at: {said}")
    compared = (each for each in by_name.values() if each["worst"])
    worst = max(compared, key=ratio_of, default=None)
    if worst is None:
        return Answer(NOT_RUN, "no module computes anything that can be compared")
    said = f"the largest ratio is {worst['worst']['ratio']:.2f} ({worst['name']})"
    return Answer(SHOWN, f"{len(by_name)} modules, {said}")


def ratio_of(module: Mapping[str, Any]) -> float:
    """A module's largest ratio: infinite where its calls differ, 0 where nothing was compared."""
    if module["fault"]:
        return float("inf")
    return number(module["worst"]["ratio"]) if module["worst"] else 0.0


def described(module: Mapping[str, Any]) -> str:
    """A module, where it is written, and its worst quantity, in words."""
    name = f"{module['name']} ({module['source']})"
    if module["fault"]:
        return f"{name}: {module['fault']}"
    worst = module["worst"]
    if float("inf") in (number(worst["error"]), number(worst["ratio"])):
        return f"{name}: {worst['name']} is not finite, or not zero where it should be"
    against = f"{worst['yardstick']:.2g} of" if worst["yardstick"] else "less than the floor of"
    return (
        f"{name}: {worst['name']} is {worst['error']:.2g} off, where {against} honest "
        f"computations, {worst['ratio']:.3g} times too much"
    )


def _of_data(finding: Mapping[str, Any]) -> Answer:
    said = f"{finding['painted']['samples']} painted samples arrive as their labels have them"
    if of := finding["batches"]:
        images, labels = (of[0][part][:12] for part in ("images", "labels"))
        said += f"; of the first {len(of)} batches, the first one's images have digest {images}"
        said += f" and its labels {labels}"
    return Answer(SHOWN, said)


def _of_steps(finding: Mapping[str, Any]) -> Answer:
    if finding["rates"]:
        iteration, (is_, ought) = next(iter(finding["rates"].items()))
        told = "not finite" if number(is_) == float("inf") else f"{is_:g}"
        return Answer(REFUTED, f"the learning rate of step {iteration} is {told}, not {ought:g}")
    ratios = {name: number(ratio) for name, ratio in finding["medians"].items()}
    name, ratio = max(ratios.items(), key=lambda item: item[1])
    said = f"{len(finding['quantities'])} steps, the largest median ratio is {ratio:.3g} ({name})"
    failed = (of for of in _AS_COMPUTED if status_of(ratios.get(of, 0.0)) == "failed")
    first = next(failed, name)
    if first != name:
        said = f"{first} by a median ratio of {ratios[first]:.3g}, the first to fail of {said}"
    return Answer({"passed": SHOWN, "looked at": UNDECIDED}.get(finding["status"], REFUTED), said)

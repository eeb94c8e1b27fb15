"""Same weights, two devices: whether both predict the same, pixel by pixel.

The limits come from measurements, which docs/verdict.md has: what honest kernels differ by, and
what faulty ones do.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, UNDECIDED, Answer
from semask.verdict.answer import worst_of

FLIPS = {"fp32": 1e-5, "reduced": 5e-4, "fp16": 5e-4, "bf16": 2e-3}
"""Shares of the labelled pixels below which flips are rounding, by what is computed with.

`reduced` is fp32 with products of fewer bits, TF32 or HF32, which have as many as fp16.
"""
MOST_FLIPS = 1e-2
"""Above it no rounding explains them."""
WITHIN = 0.05
"""Points of mIoU within which the interval of the difference must lie to show anything."""


def answer(record: Mapping[str, Any], margin: float = 0.5) -> Answer:
    """What a record of kind `cross` shows.

    `margin` is `equivalence.margin` of the config: points of mIoU by which rows may differ and
    still be as accurate.
    """
    figures = record["figures"]
    flips, difference = figures["flips"], figures["difference"]
    low, high = difference["interval"]
    share = f" ({flips['share']:.1e})" if flips["pixels"] else ""
    why = (
        f"{flips['pixels']:,} of {figures['labelled_pixels']:,} labelled pixels get another class"
        f"{share}; mIoU {difference['miou']:+.3f} points, "
        f"{100 * figures['bootstrap']['level']:.0f} % interval {low:+.3f} to {high:+.3f}"
    )
    if flips["share"] > MOST_FLIPS:
        return Answer(REFUTED, f"{why}: no rounding makes more than {MOST_FLIPS:.0e} of them flip")
    if low > margin or high < -margin:
        return Answer(REFUTED, f"{why}, beyond ±{margin:g}")
    computed = computed_with(record["recipe"])
    few, narrow = flips["share"] < FLIPS[computed], max(-low, high) < WITHIN
    if few and narrow:
        return Answer(SHOWN, f"{why}, within ±{WITHIN:g}")
    doubts = []
    if not few:
        doubts.append(
            f"rounding in {computed} makes less than {FLIPS[computed]:.0e} flip, so look at the "
            "device's modules (semantics)"
        )
    if not narrow:
        doubts.append(f"the interval is not within ±{WITHIN:g}, which more images would narrow")
    return Answer(UNDECIDED, f"{why}; {'; '.join(doubts)}")


def across_seeds(records: Iterable[Mapping[str, Any]], margin: float) -> Answer:
    """The worst of the answers of some seeds' weights; not run without any."""
    answers = {str(n): answer(record, margin) for n, record in enumerate(records)}
    if not answers:
        return Answer(NOT_RUN, "the original's weights were not scored on the port's device")
    return worst_of(answers)


def computed_with(recipe: Mapping[str, Any]) -> str:
    """What predictions of a recipe are computed with: a key of `FLIPS`."""
    precision, numerics = str(recipe["training"]["precision"]), recipe["numerics"]
    if precision == "fp32" and (numerics["reduced_matmul"] or numerics["reduced_convolution"]):
        return "reduced"
    return precision

"""The look at chance: does a device's own generator drop what it is asked to, as often as asked?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor, nn

from semask.devices.shared_chance import Counted
from semask.parity.calls import buffers_kept

# probability that an honest generator is accused, over all sites and questions
FALSE_ALARM = 1e-6
DRAWS = 8


@dataclass(frozen=True)
class Site:
    """One use of a random function in the forward pass."""

    function: str  # of torch
    kept: float  # the probability to be kept that it is asked for
    seen: float  # how often elements were kept
    drawn: int  # how many there were
    fault: str | None  # what is wrong


Drawn = list[tuple[str, float, Tensor]]


@torch.no_grad()
def draw(model: nn.Module, run: Callable[[nn.Module], Any], times: int = DRAWS) -> list[Drawn]:
    """What the sites of a model in training mode draw in passes; buffers are left as they were.

    Returns:
        By pass, then by site: the function, the probability to be kept, and what was kept: bool
        (samples, elements).
    """
    passes: list[Drawn] = []
    with buffers_kept(model):
        for _ in range(times):
            found: Drawn = []
            with Counted(found):
                run(model)
            passes.append(found)
    return passes


def look(expected: Drawn, passes: Sequence[Drawn]) -> list[Site]:
    """Compare passes of a device, of one process after the other, with one of the reference."""
    asked = [(name, round(kept, 9)) for name, kept, _ in expected]
    for found in passes:
        sites = [(name, round(kept, 9)) for name, kept, _ in found]
        if sites != asked:
            first = next(
                (i for i, (a, b) in enumerate(zip(sites, asked, strict=False)) if a != b),
                min(len(sites), len(asked)),
            )
            is_, ought = (
                f"{x[first][0]} that keeps {x[first][1]:g}" if first < len(x) else "nothing"
                for x in (sites, asked)
            )
            return [Site(ought.split()[0], 0.0, 0.0, 0, f"site {first + 1}: {is_}, not {ought}")]
    return [
        _site(name, kept, torch.stack([found[i][2] for found in passes]), len(asked))
        for i, (name, kept, _) in enumerate(expected)
    ]


def _site(name: str, kept: float, seen: Tensor, sites: int) -> Site:
    """Judges draws (passes, samples, elements) of one site."""
    # of as many as are kept, rightly or not
    often = float(seen.float().mean())
    differing = 2 * often * (1 - often)
    samples = seen[:, : seen.shape[1] // 2 * 2]
    passes = seen[: seen.shape[0] // 2 * 2]
    questions = {
        "is not independent between samples": (samples[:, ::2] != samples[:, 1::2], differing),
        "is not independent between passes": (passes[::2] != passes[1::2], differing),
        # last: draws that are alike are not as many as they seem
        "is dropped more or less often": (seen, kept),
    }
    fault = None
    for complaint, (outcome, probability) in questions.items():
        if outcome.numel() and not _usual(
            int(outcome.sum()), outcome.numel(), probability, sites * len(questions)
        ):
            fault = fault or complaint
    return Site(name, kept, often, seen.numel(), fault)


def _usual(hits: int, trials: int, probability: float, questions: int) -> bool:
    """Whether a count is one that happens; by Chernoff's bound, which errs on the side of yes."""
    share = hits / trials
    divergence = sum(
        x * log(x / p) if p > 0 else float("inf")
        for x, p in ((share, probability), (1 - share, 1 - probability))
        if x > 0
    )
    return trials * divergence < log(2 * questions / FALSE_ALARM)

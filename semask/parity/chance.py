"""The look at chance: does a device's own generator drop what it is asked to, as often as asked?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log
from typing import Any, NamedTuple

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

    number: int  # in the order of the pass, from 1
    function: str  # of torch
    module: str  # path of the innermost one that was running
    kept: float  # the probability to be kept that it is asked for
    seen: float  # how often elements were kept
    drawn: int  # how many there were
    fault: str | None  # what is wrong


class Draw(NamedTuple):
    """What one site drew in one pass."""

    function: str  # of torch
    kept: float  # the probability to be kept that it is asked for
    seen: Tensor  # what was kept: bool (samples, elements)
    module: str  # path of the innermost one that was running


Drawn = list[Draw]


@torch.no_grad()
def draw(model: nn.Module, run: Callable[[nn.Module], Any], times: int = DRAWS) -> list[Drawn]:
    """What the sites of a model in training mode draw in passes; buffers are left as they were.

    Returns:
        By pass, then by site.
    """
    passes: list[Drawn] = []
    with buffers_kept(model):
        for _ in range(times):
            found: list[tuple[str, float, Tensor]] = []
            with _placed(model, found) as places, Counted(found):
                run(model)
            passes.append([Draw(*of, places.get(i, "(whole)")) for i, of in enumerate(found)])
    return passes


@contextmanager
def _placed(model: nn.Module, found: Sequence[Any]) -> Iterator[dict[int, str]]:
    """Notes by number of what is appended to `found` which module was running."""
    places: dict[int, str] = {}
    begun: list[int] = []

    def end(name: str) -> None:
        for i in range(begun.pop(), len(found)):
            # the innermost module ends first
            places.setdefault(i, name)

    hooks = []
    for name, module in model.named_modules():
        begin = module.register_forward_pre_hook(lambda *_: begun.append(len(found)))
        ended = module.register_forward_hook(lambda *_, of=name: end(of or "(whole)"))
        hooks += [begin, ended]
    try:
        yield places
    finally:
        for hook in hooks:
            hook.remove()


def look(expected: Drawn, passes: Sequence[Drawn]) -> list[Site]:
    """Compare passes of a device, of one process after the other, with one of the reference."""
    asked = [(site.function, round(site.kept, 9)) for site in expected]
    for found in passes:
        sites = [(site.function, round(site.kept, 9)) for site in found]
        if sites != asked:
            first = next(
                (i for i, (a, b) in enumerate(zip(sites, asked, strict=False)) if a != b),
                min(len(sites), len(asked)),
            )
            is_, ought = (
                f"{x[first][0]} that keeps {x[first][1]:g}" if first < len(x) else "nothing"
                for x in (sites, asked)
            )
            where = next((x[first].module for x in (expected, found) if first < len(x)), "")
            fault = f"is {is_}, not {ought}"
            return [Site(first + 1, ought.split()[0], where, 0.0, 0.0, 0, fault)]
    return [
        _site(i + 1, site, torch.stack([found[i].seen for found in passes]), len(asked))
        for i, site in enumerate(expected)
    ]


def _site(number: int, asked: Draw, seen: Tensor, sites: int) -> Site:
    """Judges draws (passes, samples, elements) of one site."""
    kept = asked.kept
    # of as many as are kept, rightly or not
    often = float(seen.float().mean())
    differing = 2 * often * (1 - often)
    samples = seen[:, : seen.shape[1] // 2 * 2]
    passes = seen[: seen.shape[0] // 2 * 2]
    questions = {
        "is not independent between samples": (samples[:, ::2] != samples[:, 1::2], differing),
        "is not independent between passes": (passes[::2] != passes[1::2], differing),
        # last: draws that are alike are not as many as they seem
        f"keeps {often:.2%}, where {kept:.2%} are asked for": (seen, kept),
    }
    fault = None
    for complaint, (outcome, probability) in questions.items():
        if outcome.numel() and not _usual(
            int(outcome.sum()), outcome.numel(), probability, sites * len(questions)
        ):
            fault = fault or complaint
    return Site(number, asked.function, asked.module, kept, often, seen.numel(), fault)


def _usual(hits: int, trials: int, probability: float, questions: int) -> bool:
    """Whether a count is one that happens; by Chernoff's bound, which errs on the side of yes."""
    share = hits / trials
    divergence = sum(
        x * log(x / p) if p > 0 else float("inf")
        for x, p in ((share, probability), (1 - share, 1 - probability))
        if x > 0
    )
    return trials * divergence < log(2 * questions / FALSE_ALARM)

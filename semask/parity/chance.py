"""The look at chance: does a device drop what it is asked to, as often as asked?

And do the processes of a row draw other masks than each other, as training has them do: each has a
stream of its own, or with shared chance the masks of its samples of the batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
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
def draw(
    model: nn.Module,
    run: Callable[[nn.Module], Any],
    times: int = DRAWS,
    within: Callable[[int], AbstractContextManager[Any]] = lambda iteration: nullcontext(),
) -> list[Drawn]:
    """What the sites of a model in training mode draw in passes; buffers are left as they were.

    `within` is the context of a pass, counted from 1, which may decide what is drawn.

    Returns:
        By pass, then by site.
    """
    passes: list[Drawn] = []
    with buffers_kept(model):
        for iteration in range(1, times + 1):
            found: list[tuple[str, float, Tensor]] = []
            with _placed(model, found) as places, within(iteration), Counted(found):
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

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            begin = module.register_forward_pre_hook(lambda *_: begun.append(len(found)))
            hooks.enter_context(begin)
            ended = module.register_forward_hook(lambda *_, of=name: end(of or "(whole)"))
            hooks.enter_context(ended)
        yield places


def look(expected: Drawn, *processes: Sequence[Drawn], defined: Sequence[Drawn] = ()) -> list[Site]:
    """Compare what each process of a row drew, pass by pass, with one pass of the reference.

    Args:
        expected: the reference's sites.
        processes: as many passes of each, each of equally many samples.
        defined: what each process's first pass has to draw, with shared chance.
    """
    asked = _sites(expected)
    for process, passes in enumerate(processes, start=1):
        for found in passes:
            if _sites(found) != asked:
                where = f" in process {process}" if len(processes) > 1 else ""
                return [_otherwise(expected, found, where)]
    sites = []
    for i, site in enumerate(expected):
        seen = torch.stack([torch.stack([found[i].seen for found in of]) for of in processes])
        sites.append(_site(i + 1, site, seen, [of[i].seen for of in defined], len(asked)))
    return sites


def _sites(found: Drawn) -> list[tuple[str, float]]:
    return [(site.function, round(site.kept, 9)) for site in found]


def _otherwise(expected: Drawn, found: Drawn, where: str) -> Site:
    """The first site in which a pass differs from the reference's."""
    sites, asked = _sites(found), _sites(expected)
    first = next(
        (i for i, (a, b) in enumerate(zip(sites, asked, strict=False)) if a != b),
        min(len(sites), len(asked)),
    )
    is_, ought = (
        f"{x[first][0]} that keeps {x[first][1]:g}" if first < len(x) else "nothing"
        for x in (sites, asked)
    )
    module = next((x[first].module for x in (expected, found) if first < len(x)), "")
    fault = f"is {is_}{where}, not {ought}"
    return Site(first + 1, ought.split()[0], module, 0.0, 0.0, 0, fault)


def _site(number: int, asked: Draw, seen: Tensor, defined: Sequence[Tensor], sites: int) -> Site:
    """Judges draws (processes, passes, samples, elements) of one site."""
    kept = asked.kept
    # of as many as are kept, rightly or not
    often = int(seen.sum()) / seen.numel() if seen.numel() else kept
    differing = 2 * often * (1 - often)
    samples = seen[:, :, : seen.shape[2] // 2 * 2]
    passes = seen[:, : seen.shape[1] // 2 * 2]
    questions = {
        "is not independent between samples": (
            samples[:, :, ::2] != samples[:, :, 1::2],
            differing,
        ),
        "is not independent between passes": (passes[:, ::2] != passes[:, 1::2], differing),
    }
    for a, b in _neighbours(len(seen)):
        equal = torch.equal(seen[a], seen[b])
        said = "draws the same masks in" if equal else "is not independent between"
        questions[f"{said} processes {a + 1} and {b + 1}"] = seen[a] != seen[b], differing
    # last: draws that are alike are not as many as they seem
    questions[f"keeps {often:.2%}, where {kept:.2%} are asked for"] = seen, kept
    fault = None
    for complaint, (outcome, probability) in questions.items():
        if outcome.numel() and not _usual(
            int(outcome.sum()), outcome.numel(), probability, sites * len(questions)
        ):
            fault = fault or complaint
    for process, masks in enumerate(defined):
        if not torch.equal(seen[process, 0], masks):
            other = f"draws other masks in process {process + 1} than shared chance defines"
            fault = fault or other
    return Site(number, asked.function, asked.module, kept, often, seen.numel(), fault)


def _neighbours(processes: int) -> list[tuple[int, int]]:
    """Pairs that are compared: each process with the first one and with the one before."""
    return sorted({(a, b) for b in range(1, processes) for a in (0, b - 1)})


def _usual(hits: int, trials: int, probability: float, questions: int) -> bool:
    """Whether a count is one that happens; by Chernoff's bound, which errs on the side of yes."""
    share = hits / trials
    divergence = sum(
        x * log(x / p) if p > 0 else float("inf")
        for x, p in ((share, probability), (1 - share, 1 - probability))
        if x > 0
    )
    return trials * divergence < log(2 * questions / FALSE_ALARM)

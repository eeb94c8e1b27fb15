"""The answer for a port beside its original: a sentence, and the grounds that it stands on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, UNDECIDED, Answer, whole

GROUNDS = {
    "semantics": "in float32 the port's modules and steps compute what the model defines",
    "precision": "likewise in the recipe's precision, as well as honest arithmetic can",
    "chance": "the port drops as often as it is asked to",
    "data": "both rows saw the same images and labels",
    "same weights": "the original's weights score the same on the port's device",
    "seeds": "over several seeds both rows score the same",
    "speed": "the port trains as many images per second",
}
"""The grounds, with what each one says if it is shown."""

_OF_ACCURACY = tuple(name for name in GROUNDS if name != "speed")
_MUST_BE_SHOWN = ("semantics", "same weights")
"""Without them nothing is claimed; of the others, that nothing speaks against it suffices."""
_OF_BOTH = ("semantics", "precision")
"""Shown by modules and steps together."""


class Verdict(NamedTuple):
    """What is to be read of a pair of rows."""

    sentence: str  # without the full stop
    accurate: str  # shown, refuted, undecided or not run
    fast: str  # likewise


def judge(port: str, original: str, grounds: Mapping[str, Answer]) -> Verdict:
    """The verdict on a port beside its original, by an answer for each of GROUNDS.

    "As accurate" is claimed only where semantics and same weights are shown, and every other ground
    of accuracy was run and is not refuted.
    """
    accurate, fast = _accurate(grounds), grounds["speed"].answer
    beginning = {
        SHOWN: f"{port} is as accurate as {original}",
        REFUTED: f"{port} does not match {original} in accuracy",
        UNDECIDED: f"whether {port} matches {original} in accuracy is undecided",
        NOT_RUN: f"whether {port} matches {original} in accuracy was not looked at whole",
    }[accurate]
    if lacking := _reasons(grounds, accurate):
        beginning += f" ({lacking})"
    end = {
        SHOWN: "it is as fast",
        REFUTED: f"it is slower ({_brief(grounds['speed'])})",
        UNDECIDED: "whether it is as fast is undecided",
        NOT_RUN: "its speed was not measured beside the other's",
    }[fast]
    both = accurate == fast == SHOWN
    sentence = f"{beginning}, and as fast" if both else f"{beginning}; {end}"
    return Verdict(sentence[0].upper() + sentence[1:], accurate, fast)


def _accurate(grounds: Mapping[str, Answer]) -> str:
    answers = {name: grounds[name].answer for name in _OF_ACCURACY}
    for decisive in (REFUTED, NOT_RUN):
        if decisive in answers.values():
            return decisive
    return SHOWN if all(answers[name] == SHOWN for name in _MUST_BE_SHOWN) else UNDECIDED


def _reasons(grounds: Mapping[str, Answer], accurate: str) -> str:
    """Which grounds keep a port from being as accurate; of refuted ones the first one's reason."""
    if accurate == SHOWN:
        return ""
    names = [name for name in _OF_ACCURACY if grounds[name].answer == accurate]
    if accurate == REFUTED:
        return f"{names[0]} refuted: {_brief(grounds[names[0]])}"
    if accurate == UNDECIDED:
        names = [name for name in names if name in _MUST_BE_SHOWN]
    return f"{accurate}: {', '.join(names)}"


def _brief(answer: Answer) -> str:
    """A reason without what follows from it."""
    return answer.why.partition(";")[0]


def of_looks(looks: Sequence[Mapping[str, str]], kind: str) -> Answer:
    """The answer of a row's looks of a kind (semantics, …): the worst of them, with its reason.

    Where a kind is of modules and of steps, both have to be there.
    """
    of_kind = {
        look["ground"]: Answer(look["answer"], look["why"])
        for look in looks
        if look["ground"].partition(":")[0] == kind
    }
    if not of_kind:
        reasons = [look["why"] for look in looks if look["ground"] == "parity"]
        return Answer(NOT_RUN, reasons[0] if reasons else "this look was not asked for")
    if kind in _OF_BOTH:
        for part in ("modules", "steps"):
            if f"{kind}: {part}" not in of_kind:
                of_kind[part] = Answer(NOT_RUN, f"no {part} were looked at")
    worst = worst_of(of_kind)
    if worst.answer == SHOWN:
        return worst
    said = next(name for name, of in of_kind.items() if of == worst).partition(": ")[2]
    return worst._replace(why=f"{said}: {worst.why}") if said else worst


def worst_of(answers: Mapping[str, Answer]) -> Answer:
    """Answers to one question in several ways: shown if all are, else the worst one."""
    worst = whole(answers)
    if worst == SHOWN:
        return Answer(SHOWN, "; ".join(answer.why for answer in answers.values()))
    return next(answer for answer in answers.values() if answer.answer == worst)

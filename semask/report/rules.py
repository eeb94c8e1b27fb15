"""Which rule accepts which port: one table of parity and the figures that others go by."""

from collections.abc import Sequence

from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, Answer, whole
from semask.report.cells import BY_IT, Cell, Line
from semask.verdict.field import LOSS_LIMIT, MFU_LIMIT, SEES

HEAD = (
    "Pair",
    "Parity",
    f"Loss curves, below {100 * LOSS_LIMIT:g} %",
    "Operators, none fails",
    f"MFU, at least {100 * MFU_LIMIT:g} %",
)
CAPTION = "Which rule accepts which port: parity, and what others accept a port by"
_PARITY = ("semantics", "precision", "chance")
_BY_PARITY = {SHOWN: BY_IT[True], REFUTED: BY_IT[False]}


def lines(verdicts: Sequence[Line]) -> list[tuple[Cell, ...]]:
    """What each rule says of each judged pair's port, under the headings of HEAD.

    accepted, refused, or in other words why neither. Pairs with none of the field's figures are
    left out.
    """
    return [
        (
            Cell(f"{of['port']} against {of['original']}"),
            _by_parity([x for x in of["grounds"] if x["ground"] in _PARITY]),
            *(_by_figure([x for x in of["field"] if x["figure"] == figure]) for figure in SEES),
        )
        for of in verdicts
        if of["field"]
    ]


def _by_parity(grounds: Sequence[Line]) -> Cell:
    worst = whole({x["ground"]: Answer(x["answer"], x["why"]) for x in grounds})
    return _cell(_BY_PARITY.get(worst, worst), [] if worst == NOT_RUN else grounds)


def _by_figure(figures: Sequence[Line]) -> Cell:
    """The worst of a figure's values: there is one of each look at operators."""
    given = {x["accepted"] for x in figures}
    worst = next((BY_IT[x] for x in (False, None, True) if x in given), "not measured")
    return _cell(worst, figures)


def _cell(text: str, of: Sequence[Line]) -> Cell:
    return Cell(text, tuple(dict.fromkeys(path for x in of for path in x["from"])))

"""What is claimed of a port, over all that its grounds can say."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, UNDECIDED, Answer
from semask.verdict.answer import GROUNDS, judge, of_looks

STATES = (SHOWN, REFUTED, UNDECIDED, NOT_RUN)
CLAIM = " is as accurate as "
OF_ACCURACY = [name for name in GROUNDS if name != "speed"]


def test_as_accurate_is_never_claimed_where_a_ground_was_refuted_or_not_run() -> None:
    """Every combination of states: 4 to the power of 7."""
    claimed = 0
    for states in product(STATES, repeat=len(GROUNDS)):
        of = dict(zip(GROUNDS, states, strict=True))
        verdict = judge("NPU-8P", "GPU-8P", {name: Answer(x, "why") for name, x in of.items()})
        accuracy = {of[name] for name in OF_ACCURACY}
        shown = of["semantics"] == of["same weights"] == SHOWN
        may = shown and not accuracy & {REFUTED, NOT_RUN}
        assert (CLAIM in verdict.sentence) == may == (verdict.accurate == SHOWN)
        assert ("as fast" in verdict.sentence and "whether" not in verdict.sentence.lower()) <= (
            of["speed"] == SHOWN
        )
        if REFUTED in accuracy:
            assert verdict.accurate == REFUTED
            assert "does not match" in verdict.sentence
        claimed += may
    # seeds and others may be undecided: 2 to the power of 4, times 4 states of speed
    assert claimed == 2 ** (len(OF_ACCURACY) - 2) * len(STATES)


def test_the_sentence_names_what_is_refuted_first() -> None:
    grounds = {name: Answer(SHOWN, "fine") for name in GROUNDS}
    grounds["semantics"] = Answer(REFUTED, "modules: act (GELU, x.py:7): off; and more")
    grounds["speed"] = Answer(REFUTED, "0.86 of the other row's FPS; at least 0.95 is asked for")
    assert judge("NPU-1P", "GPU-1P", grounds).sentence == (
        "NPU-1P does not match GPU-1P in accuracy (semantics refuted: modules: act (GELU, x.py:7): "
        "off); it is slower (0.86 of the other row's FPS)"
    )


def test_all_shown() -> None:
    grounds = {name: Answer(SHOWN, "fine") for name in GROUNDS}
    sentence = judge("NPU-1P", "GPU-1P", grounds).sentence
    assert sentence == "NPU-1P is as accurate as GPU-1P, and as fast"


def look(name: str, answer: str) -> dict[str, str]:
    return {"ground": name, "answer": answer, "why": f"of {name}"}


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([look("semantics: modules", SHOWN), look("semantics: steps", SHOWN)],
         (SHOWN, "of semantics: modules; of semantics: steps")),
        ([look("semantics: modules", SHOWN), look("semantics: steps", REFUTED)],
         (REFUTED, "steps: of semantics: steps")),
        ([look("semantics: modules", NOT_RUN), look("semantics: steps", UNDECIDED)],
         (NOT_RUN, "modules: of semantics: modules")),
        ([look("semantics: modules", SHOWN)], (NOT_RUN, "no steps were looked at")),
        ([look("semantics: steps", UNDECIDED)], (NOT_RUN, "no modules were looked at")),
        ([look("semantics: modules", REFUTED)], (REFUTED, "modules: of semantics: modules")),
        ([look("semantics: modules", NOT_RUN)], (NOT_RUN, "modules: of semantics: modules")),
        ([look("chance", SHOWN)], (NOT_RUN, "this look was not asked for")),
        ([look("parity", NOT_RUN)], (NOT_RUN, "of parity")),
    ],
)  # fmt: skip
def test_looks_of_a_kind_are_one_ground(
    looks: list[dict[str, str]], expected: tuple[str, str]
) -> None:
    assert of_looks(looks, "semantics") == expected
    of_precision = [
        {**each, "ground": each["ground"].replace("semantics", "precision")} for each in looks
    ]
    assert of_looks(of_precision, "precision").answer == expected[0]


@given(st.lists(st.sampled_from(STATES), min_size=2, max_size=4))
def test_a_ground_is_shown_only_if_all_its_looks_are(states: list[str]) -> None:
    names = ("modules", "steps", "more", "yet more")
    looks = [look(f"semantics: {name}", state) for name, state in zip(names, states, strict=False)]
    assert (of_looks(looks, "semantics").answer == SHOWN) == ({*states} == {SHOWN})

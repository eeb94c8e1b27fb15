"""Records of parity whose answers do not follow from what they found: one line each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from semask.base.errors import InputError
from semask.base.records import read_record, write_record
from semask.comparison.recomputed import check_parity
from semask.parity.verdict import answers

from ..conftest import looked_at

MODULES, STEPS = "semantics: modules", "semantics: steps"


def error(ratio: float | None) -> dict[str, Any]:
    return {"error": None if ratio is None else 1e-6 * ratio, "yardstick": 1e-6, "ratio": ratio}


def site(fault: str | None = None) -> dict[str, Any]:
    return {"number": 1, "function": "bernoulli_", "module": "layers.1", "kept": 0.9,
            "seen": 0.9, "drawn": 800, "fault": fault}  # fmt: skip


def looks() -> dict[str, Any]:
    """Of every kind one, that find faults and what is not finite."""
    return {
        MODULES: looked_at({"norm": 0.5, "act": 40.0, "head": None}),
        STEPS: {
            "status": "failed",
            "rates": {"31": [None, 0.1]},
            "quantities": [
                {"gradients": error(2.0), "buffers": error(None)},
                {"gradients": error(3.0), "buffers": error(None)},
            ],
            "medians": {"gradients": 2.0, "buffers": None},
        },
        "data": {
            "painted": {"samples": 16, "pixels": 100, "wrong": 3},
            "batches": [],
            "faults": ["3 of 100 pixels"],
        },
        "chance": {"sites": [site(), site("keeps 100%")], "faults": ["site 1: b keeps 100%"]},
    }


def checked(folder: Path, make_record: Any, found: dict[str, Any]) -> dict[str, Any]:
    """Findings as they are read, written without a look at them."""
    path = folder / "parity.json"
    content = make_record("parity")
    content["figures"]["looks"] = found
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonschema.exceptions, "best_match", lambda _: None)
        write_record(path, "parity", **content)
    record = read_record(path, "parity")
    check_parity(path, record)
    of: dict[str, Any] = record["figures"]["looks"]
    return of


def test_what_follows_from_what_was_found_passes(tmp_path: Path, make_record: Any) -> None:
    given = answers(checked(tmp_path, make_record, looks()))
    assert {answer.answer for answer in given.values()} == {"refuted"}
    assert given[STEPS].why == "the learning rate of step 31 is not finite, not 0.1"


def steps(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found[STEPS].update(changes)


def one_quantity_less(found: dict[str, Any]) -> None:
    del found[STEPS]["quantities"][1]["gradients"]


def worst(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        of = found[MODULES]["modules"][0]["worst"]
        of[name] = value
        if value is ...:
            del of[name]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (steps(quantities=[], medians={}, status="passed", rates={}), "steps.medians: {} "),
        (steps(quantities=[{}], medians={}, status="passed", rates={}), "quantities.0: {} "),
        (steps(rates={"31": 5}), "rates.31: 5 is not"),
        (steps(rates={"31": [0.1]}), "rates.31: [0.1] is too short"),
        (steps(rates={"31": ["a", 0.1]}), "rates.31.0: 'a' is not"),
        (steps(status="sound"), "status: 'sound' is not"),
        (one_quantity_less, "medians does not follow from its list of steps, each of"),
        (steps(medians={"gradients": 2.0}), "medians does not follow from its list of steps, each"),
        (worst("yardstick", ...), "worst: "),
        (worst("error", None), "status is 'passed' but 'failed' follows from its ratio"),
        (lambda of: of[MODULES].update(guilty="gone"), "guilty does not follow from its list of m"),
        (lambda of: of[MODULES].update(guilty=None), "guilty does not follow from its list of m"),
        (lambda of: of[MODULES]["reference"].pop("norms"), "reference: 'norms' is a required"),
        (lambda of: of["data"].update(faults=[]), "faults does not follow from its painted"),
        (lambda of: of["data"]["painted"].update(pixels=1), "faults does not follow from its pai"),
        (lambda of: of["chance"].update(faults=[]), "faults does not follow from its sites"),
        (lambda of: of["chance"]["sites"][0].pop("seen"), "sites.0: 'seen' is a required"),
    ],
)
def test_what_does_not_is_refused(
    change: Callable[[dict[str, Any]], Any], said: str, tmp_path: Path, make_record: Any
) -> None:
    found = looks()
    change(found)
    with pytest.raises(InputError) as raised:
        checked(tmp_path, make_record, found)
    [line] = str(raised.value).splitlines()
    assert said in line

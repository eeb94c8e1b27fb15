"""Looks at devices, beside the rows and beside each other."""

import json
from typing import Any

import pytest

from semask.comparison.parities import across, grounds
from semask.comparison.rows import measured_row
from semask.report import cells, parity_section

from ..conftest import looked_at, recipe


def of(looks: dict[str, Any], make_record: Any, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = make_record("parity", **changes)
    return {**made, "figures": {**made["figures"], "looks": looks}}


@pytest.fixture
def trained(make_record: Any) -> dict[str, Any]:
    return {mode: make_record("train", mode=mode) for mode in ("full", "performance")}


def test_each_look_is_a_ground(make_record: Any, trained: dict[str, Any]) -> None:
    looks = {
        "semantics: modules": looked_at({"norm": 0.5, "act": 40.0, "head": None}),
        "precision: modules": {"not_run": "OutOfMemoryError: too large"},
        "chance": {"sites": [], "faults": []},
    }
    found = grounds({"p": of(looks, make_record)}, trained)
    assert found["from"] == ["p"]
    answers = {each["ground"]: (each["answer"], each["why"]) for each in found["grounds"]}
    answer, why = answers["semantics: modules"]
    assert answer == "refuted"
    assert why.startswith("act (Norm, torch/norm.py:7): output 0 is 8e-06 off")
    assert why.endswith("40 times too much, and 1 more")
    assert answers["precision: modules"] == ("not run", "OutOfMemoryError: too large")
    assert answers["chance"] == ("shown", "nothing is drawn at random")


def test_nothing_is_shown_of_a_device_that_nobody_looked_at(trained: dict[str, Any]) -> None:
    assert [each["answer"] for each in grounds({}, trained)["grounds"]] == ["not run"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"device": {"name": "another"}}, "looked at another, and a processor trained"),
        ({"device": {"torch": "2.12.0"}}, "looked at torch 2.12.0, and torch 2.13.0 trained"),
        ({"device": {"cann": "8.0"}}, "looked at CANN 8.0, and CANN none trained"),
        ({"recipe": recipe(precision="bf16")}, "other settings than trained: training.precision"),
        ({"execution": {"compile": True}}, "looked at with other settings than trained: compile"),
        # it makes its weights up, and knows no number of images
        ({"recipe": recipe(iterations=80000, evaluate_every=None)}, ""),
    ],
)
def test_what_was_looked_at_is_what_trained(
    make_record: Any, trained: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    """A ground of another device, version or recipe is none."""
    look = of({"chance": {"sites": [], "faults": []}}, make_record)
    changed = {key: {**look[key], **value} for key, value in changes.items()}
    (ground,) = grounds({"p": {**look, **changed}}, trained)["grounds"]
    assert ground["answer"] == ("not run" if said else "shown")
    assert said in ground["why"]


@pytest.mark.parametrize(
    ("before", "said", "warning"),
    [
        ({"cann": "8.0"}, "looked at CANN none, and CANN 8.0 trained", "versions of CANN"),
        ({"torch_npu": "2.12.0"}, "and torch_npu 2.12.0 trained", "versions of torch_npu"),
        ({"execution": {"compile": True}}, "than trained: compile", "execution.compile"),
        # a look says as much by another driver
        ({"driver": "25.0"}, "", "drivers"),
        ({}, "", None),
    ],
)
def test_every_try_of_a_training_counts(
    make_record: Any, before: dict[str, Any], said: str, warning: str | None
) -> None:
    """New kernels that went on from a checkpoint did not make what it held."""
    trained = {"kind": "train", **make_record("train")}
    # as older records have them, which say no more
    own = {"code_digest": "0" * 64, "device": "a processor", "torch": "2.13.0"}
    first = {**own, "from": 0, **before}
    if "execution" in before:
        first["execution"] = {**trained["execution"], **before["execution"]}
    trained["figures"]["tries"] = [first, {**own, "from": 300}]
    look = of({"chance": {"sites": [], "faults": []}}, make_record)
    (ground,) = grounds({"p": look}, {"t": trained})["grounds"]
    assert ground["answer"] == ("not run" if said else "shown")
    assert said in ground["why"]
    row = {"device": "cpu", "processes": 1, "threads": 1}
    begin = "full run, seed 0: interrupted, and continued with other"
    expected = [f"{begin} {warning} (from 0, 300)"] if warning else []
    assert measured_row(row, {"t": trained}, [])["warnings"] == expected


def test_a_look_that_was_ended_half_way_is_compared_as_far_as_it_went(
    make_record: Any, trained: dict[str, Any]
) -> None:
    npu = of({"x": looked_at({"a": 6.0, "b": 6.0})}, make_record)
    gpu = of({"x": {**looked_at({"a": 2.0}), "stopped": "OutOfMemoryError: …"}}, make_record)
    npu["figures"]["looks"]["x"]["reference"] = gpu["figures"]["looks"]["x"]["reference"]
    for a, b in ((npu, gpu), (gpu, npu)):
        assert [each["name"] for each in across(a, b)["x"]["modules"]] == ["a"]
    assert [each["answer"] for each in grounds({"p": gpu}, trained)["grounds"]] == ["not run"]


def test_ratios_are_held_against_each_other_worst_first(make_record: Any) -> None:
    npu = of({"x": looked_at({"a": 0.9, "b": 6.0, "c": None})}, make_record)
    gpu = of({"x": looked_at({"a": 0.1, "b": 2.0, "c": 1.0})}, make_record)
    found = across(npu, gpu)["x"]
    assert found["differing"] == []
    assert [(each["name"], each["over"]) for each in found["modules"]] == [
        ("c", None),  # not finite
        ("b", 3.0),
        ("a", 1.0),  # both within honest rounding
    ]


def test_every_module_is_kept_and_the_report_shows_the_ten_worst(make_record: Any) -> None:
    names = [f"network.backbone.layers.2.blocks.{n}.mlp.act" for n in range(474)]
    npu, gpu = (
        of({"x": looked_at(dict.fromkeys(names, 1.0) | changed)}, make_record)
        for changed in ({names[n]: 2.0 + n for n in range(12)}, {})
    )
    found = across(npu, gpu)
    modules = found["x"]["modules"]
    assert {each["name"] for each in modules} == {*names}
    assert [each["name"] for each in modules[:12]] == names[:12][::-1]
    assert len(json.dumps(found, indent=1)) < 100_000  # SeMask-S in table.json
    [shown] = parity_section.across([{"npu": "NPU-1P", "gpu": "GPU-1P", "parity": found}])
    assert [line[0] for line in shown["lines"]] == names[2:12][::-1]


def test_other_references_are_not_compared(make_record: Any) -> None:
    npu = of({"x": looked_at({"a": 1.0}), "y": looked_at({"a": 1.0})}, make_record)
    gpu = of({"x": looked_at({"a": 1.0}, loss=1.5000001), "z": {}}, make_record)
    assert across(npu, gpu) == {"x": {"differing": ["loss"], "modules": []}}
    gpu = of({"x": looked_at({"b": 1.0})}, make_record)
    assert across(npu, gpu)["x"]["differing"] == ["modules"]
    # another order of summation in float64 makes no other reference
    gpu = of({"x": looked_at({"a": 1.0}, loss=1.5 * (1 + 1e-11))}, make_record)
    assert across(npu, gpu)["x"]["differing"] == []


def test_what_is_not_compared_says_why(make_record: Any) -> None:
    """Made by another version, or ended before anything was looked at: one line each."""
    gpu = of({"x": looked_at({"a": 1.0})}, make_record)
    other = of({"x": looked_at({"a": 1.0, "b": 1.0})}, make_record)
    other["figures"]["looks"]["x"]["reference"]["weights_sha256"] = "3" * 64
    nothing = of({"x": {**looked_at({"a": 1.0}), "modules": []}}, make_record)
    said = [
        [*cells.across([{"npu": "NPU-1P", "gpu": "GPU-1P", "parity": across(npu, gpu)}])]
        for npu in (other, nothing)
    ]
    begin = "NPU-1P against GPU-1P, x: not compared, "
    assert said == [
        [f"{begin}the references differ in weights_sha256 and 1 more"],
        [f"{begin}no module was looked at on both"],
    ]

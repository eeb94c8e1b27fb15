"""Devices that compute what they ought to: all looks pass."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from semask.devices import progress
from semask.model.compiling import compile_parts
from semask.parity.operators import by_operators
from semask.parity.verdict import NOT_RUN, REFUTED, SHOWN, answers, whole

from ..training.conftest import CONFIG
from ..warm import warm_scripts
from .conftest import PLAIN, Found, Look, ratios, statuses, untouched
from .test_planted_faults import setting

MODULES, STEPS = "semantics: modules", "semantics: steps"


def passed(found: Found) -> bool:
    """Nothing failed, or is to be looked at."""
    given = answers(found)
    return {each.answer for each in given.values()} == {SHOWN} and whole(given) == SHOWN


@pytest.mark.usefixtures("shallow")
def test_float32(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    marked: list[int] = []
    monkeypatch.setattr(progress, "mark", lambda phase, part: marked.append(part))
    found = look()[MODULES]
    assert marked == [*range(1, 171)]
    assert passed({MODULES: found})
    assert len(found["modules"]) == 170
    assert all(each["bitwise"] for each in found["modules"])
    assert max(ratios(found).values()) <= 4
    # by the standard some fail, beside zeros, and none by the mean
    standard = by_operators(found)
    assert len(standard) == 170
    assert 0 < sum(not of.accepted for of in standard.values()) < 170
    assert all(0 <= of.mean < of.limit == 2**-13 for of in standard.values())
    assert all(of.mean <= of.largest for of in standard.values())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.usefixtures("shallow")
def test_half_precision(look: Look, precision: str) -> None:
    found = look(precision=precision, only="precision", steps=1)
    assert {*found} == {"precision: modules", "precision: steps"}
    assert passed(found)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_of_the_whole_model(look: Look, precision: str) -> None:
    found = look(precision=precision, only="precision", steps=4, size=(112, 112))
    assert passed(found)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_fused_attention(look: Look, precision: str) -> None:
    """It calls no softmax; its module is compared as one."""
    only = "semantics" if precision == "fp32" else "precision"
    found = look(
        execution=replace(PLAIN, fused_attention=True), precision=precision, only=only, steps=1
    )
    assert passed(found)
    names = ratios(found[f"{only}: modules"])
    attention = "network.backbone.layers.0.blocks.1.attn"
    assert attention in names


@pytest.mark.usefixtures("shallow")
def test_a_fault_of_fused_attention(look: Look) -> None:
    attention = "network.backbone.layers.0.blocks.1.attn"

    def plant(model: nn.Module) -> None:
        table = model.get_submodule(attention).relative_position_bias_table
        table.data = table.data.flip(0)

    found = look(plant, execution=replace(PLAIN, fused_attention=True))[MODULES]
    assert statuses(found) == {attention: "failed"}


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("format_", [torch.channels_last, torch.contiguous_format])
def test_memory_formats(look: Look, format_: torch.memory_format) -> None:
    def convert(model: Any) -> None:
        model.to(memory_format=format_)

    assert passed(look(convert))


@pytest.mark.slow
@pytest.mark.usefixtures("shallow")
def test_compiled(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """As rows on GPUs compile their parts, each of which is compared as one, and so accused.

    Into graphs whose operators are torch's: this machine's compiler takes minutes for its own.
    """
    block = "network.backbone.layers.0.blocks.1"
    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", partialmethod(compile_, backend="aot_eager"))

    def compiled(fault: Callable[[nn.Module], None]) -> Callable[[Any], None]:
        def plant(model: Any) -> None:
            fault(model.get_submodule(f"{block}.mlp.act"))
            compile_parts(model.network)

        return plant

    clean = look(compiled(untouched))[MODULES]
    assert passed({MODULES: clean})
    names = {each["name"] for each in clean["modules"]}
    assert block in names
    assert f"{block}.mlp.act" not in names
    faulty = look(compiled(setting("approximate", "tanh")))[MODULES]
    assert statuses(faulty) == {block: "failed"}


@pytest.mark.usefixtures("shallow")
def test_checkpointing(look: Look) -> None:
    assert passed(look(execution=replace(PLAIN, checkpointing=True), steps=1))


@pytest.mark.usefixtures("shallow")
def test_a_forward_at_a_module_itself(look: Look) -> None:
    """It is still there when its caller was looked at, in which it is given."""
    path = "network.decode_head.conv_seg"
    planted: list[nn.Module] = []

    def plant(model: nn.Module) -> None:
        module = model.get_submodule(path)
        usual = module.forward
        object.__setattr__(module, "forward", lambda x: usual(x) * 1.01)
        planted.append(module)

    found = look(plant)[MODULES]
    assert statuses(found) == {path: "failed"}
    assert "forward" in vars(planted[0])


Script = Callable[..., Found]


@pytest.fixture
def script(tmp_path: Path, simulated_npu: Callable[..., dict[str, str]]) -> Script:
    """Runs the command on simulated NPUs and reads its record."""

    def run(processes: int, *options: str, **knobs: str) -> Found:
        row = {"device": "npu", "processes": processes, "threads": 1}
        done = warm_scripts().run(
            "workflow_scripts.parity",
            [
                *("--config", json.dumps(CONFIG), "--row", json.dumps(row)),
                *("--record", "record.json", "--size", "32", "32", "--steps", "1", *options),
            ],
            tmp_path,
            environment=simulated_npu(**knobs),
            timeout=1500,
            together=True,
        )
        assert done.status == 0, done.stdout
        made: Found = json.loads((tmp_path / "record.json").read_text("utf-8"))["figures"]["looks"]
        return made

    return run


@pytest.mark.slow
def test_a_simulated_npu(script: Script) -> None:
    found = script(1)
    assert {*found} == {MODULES, STEPS, "chance", "data"}
    assert passed(found)
    assert len(found[MODULES]["modules"]) == 218


@pytest.mark.slow
def test_two_simulated_npus(script: Script) -> None:
    found = script(2, "--looks", "semantics")
    assert {*found} == {MODULES, STEPS}
    assert passed(found)


@pytest.mark.slow
def test_an_operator_that_is_off_by_a_thousandth(script: Script) -> None:
    """It is named, and all else that a simulated NPU computes passes."""
    knobs = {"SIMULATED_NPU_PERTURB": "aten::gelu.out=1e-3,aten::gelu=1e-3"}
    found = script(1, "--looks", "semantics", "--steps", "0", **knobs)
    assert whole(answers(found)) == REFUTED
    names = statuses(found[MODULES])
    assert {*names.values()} == {"failed"}
    assert len(names) == 8
    assert all(name.endswith("mlp.act") for name in names)


@pytest.mark.slow
def test_too_little_memory(script: Script) -> None:
    """Enough for the modules, and not for the optimiser's moments: what was found is kept."""
    found = script(1, "--looks", "semantics", SIMULATED_NPU_MEMORY="75000000")
    given = answers(found)
    assert given[MODULES].answer == SHOWN
    assert given[STEPS].answer == NOT_RUN
    assert given[STEPS].why.startswith("OutOfMemoryError: NPU out of memory. Tried to allocate ")

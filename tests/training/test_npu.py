"""The trainer on simulated NPUs: what it computes, and what it says where it cannot."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from semask.devices.variables import changes_figures

from .conftest import WITH_LOADERS, Trainer
from .test_processes import EQUAL

Make = Callable[[str], Trainer]
Environment = Callable[..., dict[str, str]]

SHORT: dict[str, Any] = {"iterations": 2, "evaluate_every": 2}


def losses(made: Trainer) -> list[float]:
    return [line["loss"] for line in made.lines() if "loss" in line]


@pytest.fixture(scope="module")
def on_cpu(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    made = Trainer(data, tmp_path_factory.mktemp("on a cpu") / "run")
    made.run()
    return made


@pytest.fixture(scope="module")
def on_npu(
    data: Path, tmp_path_factory: pytest.TempPathFactory, simulated_npu: Environment
) -> Trainer:
    made = Trainer(data, tmp_path_factory.mktemp("on an npu") / "run")
    made.run(device="npu", environment=simulated_npu())
    return made


def test_losses_and_scores_equal_those_of_a_cpu(on_cpu: Trainer, on_npu: Trainer) -> None:
    """With dropout, since the simulated device draws from the host's generator."""
    assert losses(on_npu) == pytest.approx(losses(on_cpu), rel=2e-6)
    scores = [
        [line["evaluation"]["miou"] for line in made.lines() if "evaluation" in line]
        for made in (on_cpu, on_npu)
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.2)
    assert on_npu.record()["recipe_digest"] == on_cpu.record()["recipe_digest"]


def test_the_record_says_where_it_was(on_npu: Trainer) -> None:
    record = on_npu.record()
    assert record["row"]["device"] == "npu"
    device = record["device"]
    assert device["name"] == "Simulated NPU"
    assert (device["cann"], device["driver"]) == ("simulated", "simulated")
    assert device["torch_npu"] == f"{device['torch'].split('+')[0]}+simulated"
    assert device["ids"] == "0"
    assert device["environment"]["TORCH_NPU_USE_COMPATIBLE_IMPL"] == "1"
    # what is set here makes no row another one than those without
    ours = [name for name in device["environment"] if name.startswith("TORCH_NPU_")]
    assert len(ours) >= 3
    assert not [name for name in ours if changes_figures(name)]
    assert record["figures"]["cpu_fallbacks"] == []
    # two batches of 4 images of 32x32 and a model of 5 million parameters with AdamW's state
    assert 6e7 < record["figures"]["peak_memory_bytes"] < 6e8


def test_a_cpu_has_no_fallbacks_to_count(on_cpu: Trainer) -> None:
    assert on_cpu.record()["figures"]["cpu_fallbacks"] is None
    assert on_cpu.record()["device"]["torch_npu"] is None


def test_two_npus_train_as_two_cpus_do(trainer: Make, simulated_npu: Environment) -> None:
    cpus, npus = trainer("cpus"), trainer("npus")
    cpus.run(processes=2, **EQUAL)
    npus.run(processes=2, device="npu", environment=simulated_npu(), **EQUAL)
    assert losses(npus) == pytest.approx(losses(cpus), rel=1e-5)
    assert npus.record()["device"]["ids"] == "0,1"


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions(
    trainer: Make, simulated_npu: Environment, on_cpu: Trainer, precision: str
) -> None:
    made = trainer(precision)
    made.run(device="npu", environment=simulated_npu(), precision=precision, **SHORT)
    assert losses(made)[0] == pytest.approx(losses(on_cpu)[0], rel=0.01)


def test_a_device_without_bfloat16(trainer: Make, simulated_npu: Environment) -> None:
    made = trainer("run")
    environment = simulated_npu(SIMULATED_NPU_NO_BF16="1")
    printed = made.run(ok=False, device="npu", environment=environment, precision="bf16", **SHORT)
    [line] = printed.splitlines()
    assert line.startswith("error: training.precision: bf16: Simulated NPU has no bfloat16; use")


@pytest.mark.parametrize(
    ("first", "then"), [("npu", "cpu"), pytest.param("cpu", "npu", marks=pytest.mark.slow)]
)
def test_a_run_goes_on_on_its_own_device_only(
    trainer: Make, simulated_npu: Environment, first: str, then: str
) -> None:
    """The row is part of what a run is, so no other device takes over its checkpoint."""
    made = trainer("run")
    made.killed_after(2, device=first, environment=simulated_npu())
    printed = made.run(ok=False, device=then, environment=simulated_npu())
    assert "holds an unfinished run that differs in row.device" in printed


def test_an_interrupted_run_goes_on(
    trainer: Make, simulated_npu: Environment, on_npu: Trainer
) -> None:
    made = trainer("run")
    made.killed_after(2, device="npu", environment=simulated_npu())
    made.run(device="npu", environment=simulated_npu())
    assert made.curve() == on_npu.curve()
    ours, whole = (load_file(x.folder / "last.safetensors") for x in (made, on_npu))
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def settings_made(path: Path) -> dict[str, Any]:
    return {
        k: v
        for line in path.read_text(encoding="utf-8").splitlines()
        for k, v in json.loads(line).items()
    }


@pytest.mark.parametrize("reduced", [True, False])
def test_numerics_reach_the_device(
    trainer: Make, simulated_npu: Environment, tmp_path: Path, reduced: bool
) -> None:
    numerics = {"reduced_matmul": reduced, "reduced_convolution": reduced}
    path = tmp_path / "settings"
    environment = simulated_npu(SIMULATED_NPU_SETTINGS=str(path))
    made = trainer("run")
    printed = made.run(device="npu", environment=environment, parts={"numerics": numerics}, **SHORT)
    assert "arning" not in printed
    way = "hf32" if reduced else "ieee"
    assert made.record()["ran"]["precision"] == {
        "matmul": way, "convolution": way, "deterministic": False
    }  # fmt: skip
    assert settings_made(path) == {
        "matmul.allow_hf32": reduced,
        "conv.allow_hf32": reduced,
        "jit_compile": False,
        "config.allow_internal_format": False,
    }


def test_operators_that_fall_back_are_in_the_record(
    trainer: Make, simulated_npu: Environment, on_npu: Trainer
) -> None:
    made = trainer("run")
    lacking = "aten::upsample_bilinear2d,aten::upsample_bilinear2d.out,aten::topk"
    environment = simulated_npu(SIMULATED_NPU_UNSUPPORTED=lacking)
    printed = made.run(device="npu", processes=2, environment=environment, **SHORT)
    assert made.record()["figures"]["cpu_fallbacks"] == ["aten::upsample_bilinear2d.out"]
    assert "will fall back to run on the CPU" in printed


@pytest.mark.parametrize("knobs", [{}, {"SIMULATED_NPU_HAS_NO_SWITCH": "1"}])
def test_fallbacks_can_be_forbidden(
    trainer: Make, simulated_npu: Environment, knobs: Mapping[str, str]
) -> None:
    """By torch_npu 2.13 itself; with 2.12, which has no such switch, by us."""
    made = trainer("run")
    environment = simulated_npu(SIMULATED_NPU_UNSUPPORTED="aten::upsample_bilinear2d.out", **knobs)
    # with what users export for less noise
    environment |= {"TORCH_NPU_DISABLED_WARNING": "1", "TORCH_NPU_WARNING_DISABLE": "1"}
    printed = made.run(
        ok=False, device="npu", environment=environment, forbid_fallbacks=True, **SHORT
    )
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        "error: npu.forbid_fallbacks: the NPU lacks aten::upsample_bilinear2d.out, "
    )
    assert not (made.folder / "train.json").exists()
    assert not (made.folder / "last.safetensors").exists()
    fine = trainer("fine")
    environment = simulated_npu(**knobs)
    fine.run(device="npu", environment=environment, forbid_fallbacks=True, **SHORT)
    assert fine.record()["figures"]["cpu_fallbacks"] == []


def test_an_operator_that_is_off_by_a_thousandth_is_seen(
    trainer: Make, simulated_npu: Environment, on_cpu: Trainer
) -> None:
    """What the comparison of losses is worth: it finds one wrong operator."""
    made = trainer("run")
    environment = simulated_npu(SIMULATED_NPU_PERTURB="aten::gelu.out=1e-3,aten::gelu=1e-3")
    made.run(device="npu", environment=environment)
    assert losses(made) != pytest.approx(losses(on_cpu), rel=1e-5)


@pytest.mark.parametrize(
    ("knobs", "processes", "expected"),
    [
        (
            {"SIMULATED_NPU_NO_CANN": "1"},
            1,
            "cannot be loaded (libhccl.so: cannot open shared object file: No such file or "
            "directory); source CANN's set_env.sh",
        ),
        ({"SIMULATED_NPU_DEVICES": "0"}, 1, "is loaded and finds no NPU; npu-smi info shows"),
        (
            {"ASCEND_RT_VISIBLE_DEVICES": ""},
            1,
            "finds no NPU with ASCEND_RT_VISIBLE_DEVICES=''; npu-smi",
        ),
        ({"SIMULATED_NPU_DEVICES": "4"}, 8, "asks for 8 npu devices and 4 are here"),
    ],
)
def test_devices_that_are_not_there(
    trainer: Make, simulated_npu: Environment, knobs: Any, processes: int, expected: str
) -> None:
    made = trainer("run")
    batch = {"size": 8, "per": "run", "micro_batch": None}
    printed = made.run(
        ok=False, device="npu", processes=processes, environment=simulated_npu(**knobs),
        batch=batch,
    )  # fmt: skip
    [line] = printed.splitlines()
    assert line.startswith(f"error: rows: npu-{processes}p: ")
    assert expected in line
    assert not (made.folder / "work").exists()


def test_visible_devices_are_respected(trainer: Make, simulated_npu: Environment) -> None:
    made = trainer("run")
    # torch_npu takes neither blanks nor another order
    environment = simulated_npu(ASCEND_RT_VISIBLE_DEVICES="7, 5,6")
    made.run(device="npu", processes=2, environment=environment, **SHORT)
    record = made.record()
    assert record["device"]["ids"] == "5,6"
    # HCCL's own limit is longer than any wait that is told of here
    assert record["device"]["environment"]["HCCL_EXEC_TIMEOUT"] == "7200"
    assert [process["id"] for process in record["ran"]["processes"]] == ["5", "6"]


def test_too_little_memory(trainer: Make, simulated_npu: Environment) -> None:
    made = trainer("run")
    printed = made.run(
        ok=False,
        device="npu",
        environment=simulated_npu(SIMULATED_NPU_MEMORY="30000000"),
        parts=WITH_LOADERS,  # which hold standard error open while it fails
    )
    assert "NPU out of memory" in printed
    assert not (made.folder / "train.json").exists()

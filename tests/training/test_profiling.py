"""Profiles: where a step's time goes, by part of the model and by kind of operator."""

import gzip
import itertools
import json
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from semask.base.errors import InputError
from semask.config.recipe import Execution, resolve
from semask.model import decoder
from semask.training.profiling import (
    ELEMENTWISE,
    IDLE,
    _operators_of_npu,
    kernels_of,
    kind_of,
    profile_row,
)
from semask.training.stepping import Stepper

from .conftest import CONFIG

CPU = torch.device("cpu")
ROW = {"device": "cpu", "processes": 1, "threads": 1}
PLAIN = Execution(compile=False, fused_attention=False, checkpointing=False)


def profiled(trace: Path | None = None, steps: int = 2, **changes: Any) -> dict[str, Any]:
    recipe = resolve(CONFIG, mode="full", processes=1, training_images=1000)
    augmentation = replace(recipe.training.augmentation, crop=(32, 32))
    changes = {"augmentation": augmentation, "warmup_iterations": 3, **changes}
    training = replace(recipe.training, **changes)
    return profile_row(replace(recipe, training=training), PLAIN, ROW, CPU, steps, trace)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.set_num_threads(1)
    trace = tmp_path_factory.mktemp("profile") / "trace.json.gz"
    made = profiled(trace)
    with gzip.open(trace, "rt", encoding="utf-8") as text:
        made["trace"] = json.load(text)
    return made


def test_parts_make_up_a_step(found: dict[str, Any]) -> None:
    parts = found["parts"]
    assert {"decoder", "loss", "optimiser", "stage 1: attention", "stage 4: MLP"} <= {*parts}
    assert all(milliseconds >= 0 for milliseconds in parts.values())
    whole = found["watched_milliseconds"]
    assert sum(parts.values()) == pytest.approx(whole, rel=0.05)
    assert found["milliseconds"] > 0


def test_kinds_make_up_a_step(found: dict[str, Any]) -> None:
    kinds = found["kinds"]
    assert {"matrix products", "convolutions", "softmax", "normalisation", IDLE} <= {*kinds}
    assert kinds["matrix products"] > kinds["softmax"] > 0
    assert {event["name"] for event in found["trace"]["traceEvents"]} > {"aten::addmm"}
    assert found["operators"][0]["milliseconds"] >= found["operators"][-1]["milliseconds"]


def test_no_step_climbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A performance run may be shorter than the warm-up; beyond its end rates are negative."""
    rates = []
    step = Stepper.step

    def noting(self: Stepper, *arguments: Any) -> Any:
        taken = step(self, *arguments)
        rates.append(taken.rate)
        return taken

    monkeypatch.setattr(Stepper, "step", noting)
    profiled(steps=1, iterations=2)
    assert len(rates) == 6
    assert min(rates) > 0


def test_what_takes_longer_is_seen_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = decoder.FPNHead.forward
    clock = itertools.count()
    late = 0.0

    def slow(self: Any, *args: Any) -> Any:
        nonlocal late
        late += 0.3
        return forward(self, *args)

    monkeypatch.setattr(decoder.FPNHead, "forward", slow)
    # a microsecond at each look, however busy the machine is
    monkeypatch.setattr(time, "perf_counter", lambda: late + 1e-6 * next(clock))
    parts = profiled(steps=1)["parts"]
    assert parts.pop("decoder") > 300
    assert max(parts.values()) < 3


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::addmm", "matrix products"),
        ("aten::upsample_bilinear2d_backward", "resizing"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32", "matrix products"),
        ("ncclDevKernel_AllReduce_Sum_f32", "collectives"),
        ("aten::convolution_backward", "convolutions"),
        ("aten::native_layer_norm", "normalisation"),
        ("aten::_fused_adamw_", "optimiser"),
        ("TransData", "copies and layout"),
        ("aten::gelu", ELEMENTWISE),
        ("triton_poi_fused_add_0", "compiled (Triton)"),
    ],
)
def test_kinds_are_told_by_names(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_an_npus_kernels_are_read_from_its_profilers_list(tmp_path: Path) -> None:
    folder = tmp_path / "host_1_ascend_pt" / "ASCEND_PROFILER_OUTPUT"
    folder.mkdir(parents=True)
    lines = "Name,Type,Accelerator Core,Start Time(us),Duration(us)\n"
    lines += "a,MatMulV2,AI_CORE,1.0,1500.0\nb,MatMulV2,AI_CORE,2.0,500.0\nc,Cast,AI_VECTOR,3,10\n"
    (folder / "kernel_details.csv").write_text(lines, encoding="utf-8")
    assert kernels_of(tmp_path) == {"MatMulV2": (2.0, 2), "Cast": (0.01, 1)}


def test_a_profiler_that_writes_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """torch_npu's prints why it failed, and goes on."""
    silent = SimpleNamespace(
        ProfilerActivity=SimpleNamespace(CPU=0, NPU=1),
        profile=lambda **_: nullcontext(),
        tensorboard_trace_handler=lambda folder: None,
    )
    monkeypatch.setitem(sys.modules, "torch_npu", SimpleNamespace(profiler=silent))
    with pytest.raises(InputError, match="torch_npu's profiler wrote no kernels"):
        _operators_of_npu(lambda: None, tmp_path / "trace.json.gz")

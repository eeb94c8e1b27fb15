"""Honest devices that compute with other kernels than the yardstick's: all pass."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.parity import isolated, modules
from semask.parity.calls import Call
from semask.parity.places import Setting

from ..conftest import REPOSITORY
from ..training.conftest import CONFIG
from .conftest import SHALLOW, Found, Look, ratios, statuses

KERNELS = [
    {"ATEN_CPU_CAPABILITY": "default"},
    {"ATEN_CPU_CAPABILITY": "avx2"},
    {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    {"MKL_CBWR": "COMPATIBLE"},
]


def computed_elsewhere(
    folder: Path, kernels: dict[str, str], narrow: Any, size: tuple[int, int]
) -> dict[str, dict[str, Tensor]]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    script = Path(__file__).with_name("quantities_process.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder / "found.pt"), json.dumps(CONFIG),
         json.dumps(narrow), json.dumps(size)],
        env={**os.environ, "PYTHONPATH": path, **kernels},
        stderr=subprocess.PIPE, encoding="utf-8", check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = torch.load(folder / "found.pt")
    if "ATEN_CPU_CAPABILITY" in kernels:
        assert made["capability"] == kernels["ATEN_CPU_CAPABILITY"].upper()
    quantities: dict[str, dict[str, Tensor]] = made["quantities"]
    return quantities


def look_at(
    quantities: dict[str, dict[str, Tensor]],
    look: Look,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
) -> Found:
    """The look, where what the device computes was computed by another process."""
    devices: list[nn.Module] = []
    here = isolated.run

    def run(call: Call, setting: Setting) -> dict[str, Tensor]:
        return quantities[call.name] if setting.place.model in devices else here(call, setting)

    monkeypatch.setattr(modules, "run", run)
    found: Found = look(devices.append, size=size)["semantics: modules"]
    return found


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("kernels", KERNELS[:1], ids=str)
def test_kernels(
    look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernels: dict[str, str]
) -> None:
    quantities = computed_elsewhere(tmp_path, kernels, SHALLOW, (64, 64))
    found = look_at(quantities, look, monkeypatch, (64, 64))
    assert statuses(found) == {}
    assert max(ratios(found).values()) != 1.0  # they are other numbers than the yardstick's


@pytest.mark.slow
@pytest.mark.parametrize("kernels", KERNELS, ids=str)
def test_kernels_of_the_whole_model(
    look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kernels: dict[str, str]
) -> None:
    quantities = computed_elsewhere(tmp_path, kernels, None, (112, 112))
    found = look_at(quantities, look, monkeypatch, (112, 112))
    assert statuses(found) == {}


# Lavin and Gray (2016), F(4x4, 3x3)
_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float32,
)
_KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float32,
)
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float32,
)


class Winograd(nn.Conv2d):
    """A 3x3 convolution as GPUs' libraries compute it: 36 products for 16 outputs."""

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        x = F.pad(x, (1, 1 + -width % 4, 1, 1 + -height % 4))
        tiles = x.unfold(2, 6, 4).unfold(3, 6, 4)  # (B, C, rows, columns, 6, 6)
        there = _INPUT @ tiles @ _INPUT.T
        kernel = _KERNEL @ self.weight @ _KERNEL.T
        product = torch.einsum("bcijkl,ockl->boijkl", there, kernel)
        y = _OUTPUT @ product @ _OUTPUT.T
        return y.permute(0, 1, 2, 4, 3, 5).flatten(4).flatten(2, 3)[:, :, :height, :width]


@pytest.mark.usefixtures("shallow")
def test_winograd(look: Look) -> None:
    changed = []

    def convert(model: nn.Module) -> None:
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.__class__ = Winograd
                changed.append(name)

    found = look(convert)["semantics: modules"]
    assert len(changed) == 7
    assert statuses(found) == {}
    worst = {each["name"]: each["worst"] for each in found["modules"]}
    # by far not what a direct one is off
    assert max(worst[name]["error"] for name in changed) > 5e-7


class _Spread(torch.autograd.Function):
    """A bias for every row, whose gradient adds one row after the other, as compilers write it."""

    @staticmethod
    def forward(ctx: Any, bias: Tensor, like: Tensor) -> Tensor:
        return bias.expand_as(like).clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = torch.zeros_like(gradients[0].flatten(0, -2)[0])
        for row in gradients[0].flatten(0, -2):
            total = total + row
        return total, None


class RowByRow(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight)
        return y if self.bias is None else y + _Spread.apply(self.bias, y.detach())


@pytest.mark.usefixtures("shallow")
def test_sums_of_one_row_after_the_other(look: Look) -> None:
    def convert(model: nn.Module) -> None:
        for module in model.modules():
            if type(module) is nn.Linear:
                module.__class__ = RowByRow

    found = look(convert)["semantics: modules"]
    assert statuses(found) == {}
    # far above the floor
    assert max(each["worst"]["error"] for each in found["modules"]) > 10 * modules.FLOORS["fp32"]

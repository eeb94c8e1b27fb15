"""The command that looks at somebody's own model: what it prints, and its status."""

import re
from pathlib import Path

import pytest

from ..conftest import REPOSITORY
from ..warm import run_script

MODELS = """
import threading

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 5)

    def forward(self, x):
        return {"out": self.layer(x).relu()}


class Chancy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 5)

    def forward(self, x):
        return self.layer(x) * torch.rand_like(x[:, :5])


def words():
    class Words(Net):
        def forward(self, x):
            return "words"

    return Words()


def abstract():
    return nn.Linear(8, 5, device="meta")


def locked():
    model = Net()
    model.lock = threading.Lock()
    return model


class Ends(Net):
    def forward(self, x):
        raise SystemExit(0)


def number():
    return 3


def leaves():
    raise SystemExit(3)


def unknown():
    return nn.LazyLinear(5)


class Waves(Net):
    def __init__(self):
        super().__init__()
        self.phase = nn.Parameter(torch.ones(2, dtype=torch.complex64))


class Infinite(Net):
    def forward(self, x):
        return self.layer(x) / 0


def no_loss(outputs):
    return "none"


def fails(outputs):
    raise KeyError("out")
"""

ROW = '{"device":"cpu","processes":1,"threads":1}'


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ("--model mynet:Net --input 2x8", 0, "mynet:Net on cpu: shown"),
        ("--model mynet:Chancy --input 2x8", 2, "draws at random by itself"),
        (f"--model mynet:Net --input 2x8 --row {ROW}", 1, "--model: looks at a model by itself"),
        ("--model mynet:Net --input 2x9", 1, "error: --input 2x9: the model cannot take it"),
        ("--model mynet:Net --input 99999999999999x8", 1, "more than this machine's memory"),
        ("--model .mynet:Net --input 2x8", 1, ".mynet has no Net; give package.module:function"),
        ("--model mynet:torch --input 2x8", 1, "--model mynet:torch: module, no function"),
        ("--model broken:Net --input 2x8", 1, "broken cannot be imported: SyntaxError: "),
        ("--model mynet:leaves --input 2x8", 1, "--model mynet:leaves: SystemExit: 3"),
        ("--model mynet:abstract --input 2x8", 1, "no copy of it can be made: NotImplementedError"),
        ("--model mynet:locked --input 2x8", 1, "no copy of it can be made: TypeError: cannot"),
        (
            "--model mynet:Ends --input 2x8",
            1,
            "the model cannot take it, in float64 on the CPU (Sy",
        ),
        ("--model mynet:unknown --input 2x8", 1, "weight is without values until a first call"),
        ("--model mynet:Waves --input 2x8", 1, "phase is complex; give a model of real"),
        ("--model mynet:Infinite --input 2x8", 1, "--model: the loss is "),
        ("--model mynet:Net --input 2x8 --loss mynet:no_loss", 1, "--loss: it returned no single"),
        (
            "--model mynet:Net --input 2x8 --loss mynet:fails",
            1,
            "the model or the loss cannot take",
        ),
        ("--model mynet:number --input 2x8", 1, "returned int, not a torch.nn.Module"),
        ("--model mynet:nothing --input 2x8", 1, "mynet has no nothing"),
        ("--model nowhere:Net --input 2x8", 1, "No module named 'nowhere'"),
        ("--model mynet:words --input 2x8", 1, "returned no tensor"),
        ("--model mynet:Net --input 2y8", 1, "not a shape"),
        ("--model mynet:Net", 1, "give --input, too"),
        ("--seed 1", 1, "give --model and --input, or --config, --row and --record"),
        ("--model mynet:Net --input 2x8 --device npu", 1, "device npu is not present"),
    ],
)
def test_somebodys_model(tmp_path: Path, options: str, status: int, said: str) -> None:
    (tmp_path / "mynet.py").write_text(MODELS, encoding="utf-8")
    (tmp_path / "broken.py").write_text("def", encoding="utf-8")
    done = run_script("parity", *options.split(), folder=tmp_path)
    printed = done.stdout + done.stderr
    assert said in printed
    assert done.status == status, printed
    assert "Traceback" not in printed


def test_the_example_of_the_documentation(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/parity.md").read_text(encoding="utf-8")
    (options,) = re.findall(r"^ +\.venv/bin/python -m workflow_scripts\.parity (.*)$", page, re.M)
    done = run_script("parity", *options.split(), folder=tmp_path)
    assert done.stdout.splitlines()[-1] == "timm.models.resnet:resnet18 on cpu: shown"
    assert done.status == 0

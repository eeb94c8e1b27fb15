"""The simulated NPU itself: that tests on it would see what a real device refuses."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

from ..simulated_npu import build as building
from ..simulated_npu.build import CannotBuildError, build
from ..warm import warm_scripts

ROOT = building.HERE.parents[1]
Environment = Callable[..., dict[str, str]]

START = """
import io
import torch
import torch_npu
from semask.devices import computing, setup

npu = torch.device("npu", 0)

def refused(action, words, kind=RuntimeError):
    try:
        action()
    except kind as fault:
        assert words in str(fault), fault
    else:
        raise AssertionError(f"nothing was refused: {words}")
"""


def run(environment: dict[str, str], program: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(START + program, encoding="utf-8")
        done = warm_scripts().run(
            "program", [], Path(folder), environment={**os.environ, **environment}, timeout=120
        )
    assert done.status == 0, done.stderr


def test_what_a_device_does_and_refuses(simulated_npu: Environment) -> None:
    program = """
x, y = torch.randn(3, 4), torch.randn(4, 5)
a = x.to(npu)
assert torch.equal((a @ y.to(npu)).cpu(), x @ y)
assert a.is_npu and str(a.device) == "npu:0"

# tensors of two devices do not mix, numbers and indices of the host do
refused(lambda: a + x, "at least two devices")
refused(lambda: torch.cat([a, x]), "at least two devices")
assert torch.equal((a * torch.tensor(2.0)).cpu(), x * 2)
assert torch.equal(a[torch.tensor([2, 0])].cpu(), x[[2, 0]])

# views share memory, also through operators of the host
view = a.t()[1:3]
view.add_(1)
assert torch.equal(a.cpu()[:, 1:3], x[:, 1:3] + 1)
out = torch.empty(0, device=npu)
torch.mm(a, y.to(npu), out=out)
assert out.shape == (3, 5)

refused(lambda: torch.randn(1, 2, 3, 4, device=npu).to(memory_format=torch.channels_last),
        "memory format")
refused(lambda: torch.zeros(1, device="npu:8"), "Invalid NPU device 8 of 8")

# files and pinned memory
file = io.BytesIO()
torch.save({"a": a}, file)
file.seek(0)
assert torch.equal(torch.load(file, map_location="cpu", weights_only=True)["a"], a.cpu())
file.seek(0)
assert torch.load(file, map_location="npu:0", weights_only=True)["a"].device == npu
assert torch.equal(x.pin_memory().to(npu, non_blocking=True).cpu(), x)

# random numbers go on from a saved state
setup.seed_everything(5)
state = setup.generator_state(npu)
first = torch.rand(4, device=npu)
setup.restore_generator_state(npu, state)
assert torch.equal(torch.rand(4, device=npu), first)

# memory is given back, and counted while it is held
before = torch.npu.memory_allocated()
held = torch.empty(1000, device=npu) + 1
assert torch.npu.memory_allocated() - before == 4000
del held
assert torch.npu.memory_allocated() == before
assert computing.peak_memory(npu) > before
"""
    run(simulated_npu(), program)


def test_a_step_has_no_operator_that_is_slow_there(simulated_npu: Environment) -> None:
    """`index_fill` by numbers of rows waits for the device, or is badly written, in CANN."""
    program = """
from torch.utils._python_dispatch import TorchDispatchMode
from semask.model import build, segmentation_losses
from semask.training.optimization import build_optimizer

class Noting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.called = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.called.add(function.name())
        return function(*arguments, **(keywords or {}))

def step(device):
    torch.manual_seed(0)
    model = build("nano", 5, drop_path=0.0, dropout=0.0, semantic_dropout=0.0).to(device)
    optimizer = build_optimizer(
        model, learning_rate=1e-3, weight_decay=0.01, fused=computing.has_fused_optimizer(device)
    )
    # whose maps fill no whole number of windows
    images = torch.linspace(-1, 1, 3 * 72 * 88).view(1, 3, 72, 88).to(device)
    labels = (torch.arange(72 * 88) % 5).view(1, 72, 88).to(device)
    segmentation_losses(*model(images), labels).total.backward()
    optimizer.step()
    return [x.grad.cpu() for x in model.parameters()]

with Noting() as noting:
    found = step(npu)
assert not [name for name in noting.called if "index_fill" in name], noting.called
assert [name for name in noting.called if "_foreach_" in name or "_fused_adamw" in name]
for own, other in zip(found, step(torch.device("cpu"))):
    torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-5)
"""
    run(simulated_npu(), program)


@pytest.mark.parametrize(("first", "then"), [("npu", "cpu"), ("cpu", "npu")])
def test_checkpoints_move_between_devices(
    simulated_npu: Environment, tmp_path: Path, first: str, then: str
) -> None:
    program = f"""
from pathlib import Path
from types import SimpleNamespace
from semask.training.keeping import Keeper
from semask.model import build, segmentation_losses
from semask.training.run_log import Position
import hashlib

def start(kind):
    device = torch.device(kind, 0) if kind == "npu" else torch.device("cpu")
    model = build("nano", 4, drop_path=0.0, dropout=0.0, semantic_dropout=0.0).to(device)
    return device, {{"model": model, "optimizer": torch.optim.AdamW(model.parameters()),
                    "scaler": computing.grad_scaler(device, "fp16")}}

def step(device, parts):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 3, 32, 32, generator=g), torch.randint(0, 4, (2, 32, 32), generator=g)
    loss = segmentation_losses(*parts["model"](x.to(device)), y.to(device)).total
    parts["optimizer"].zero_grad()
    parts["scaler"].scale(loss).backward()
    parts["scaler"].step(parts["optimizer"])
    parts["scaler"].update()
    return loss.item()

setup.seed_everything(0)
run = SimpleNamespace(
    work=Path({str(tmp_path)!r}), mode="full", device="cpu", name="run",
    fault_tolerance=SimpleNamespace(keep_checkpoints=1), executed=dict(),
)
device, parts = start({first!r})
step(device, parts)
keeper = Keeper(run, device, **parts)
keeper.fallbacks = ["aten::x"]
keeper.checkpoint(1, Position(0, hashlib.sha256().hexdigest()))
(run.work / "log.jsonl").touch()
expected = step(device, parts)

device, parts = start({then!r})
keeper = Keeper(run, device, **parts)
keeper.restore()
assert (keeper.iteration, keeper.best, keeper.fallbacks) == (1, None, ["aten::x"])
assert {{p.device.type for p in parts["model"].parameters()}} == {{{then!r}}}
assert {{s["exp_avg"].device.type for s in parts["optimizer"].state.values()}} == {{{then!r}}}
found = step(device, parts)
assert abs(found - expected) < 1e-5 * expected, (found, expected)
"""
    run(simulated_npu(), program)


def test_without_a_compiler_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-compiler")
    with pytest.raises(CannotBuildError, match="no-compiler is not installed"):
        build.__wrapped__()


@pytest.mark.slow
def test_it_is_built_in_folders_with_odd_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The checkout, torch in its virtual environment, and the folder for temporary files."""
    odd = tmp_path / """a "check out's" 100%"""
    temporary = odd / "temporary"
    temporary.mkdir(parents=True)
    (odd / "torch").symlink_to(Path(torch.__file__).parent)
    (odd / "simulated_npu").symlink_to(building.HERE)
    monkeypatch.setattr(building, "HERE", odd / "simulated_npu")
    monkeypatch.setattr(building, "FOLDER", temporary)
    include = odd / "torch/include"
    monkeypatch.setattr(
        cpp_extension,
        "include_paths",
        lambda: [str(include), str(include / "torch/csrc/api/include")],
    )
    monkeypatch.setattr(cpp_extension, "library_paths", lambda: [str(odd / "torch/lib")])
    library = build.__wrapped__()
    assert library.is_relative_to(temporary)
    run(
        {"SIMULATED_NPU_LIBRARY": str(library), "PYTHONPATH": f"{building.HERE}:{ROOT}"},
        "assert torch.ones(2, device=npu).sum().item() == 2",
    )


def test_knobs(simulated_npu: Environment) -> None:
    run(
        simulated_npu(SIMULATED_NPU_MEMORY="1000"),
        """
refused(lambda: torch.empty(1000, device=npu), "out of memory", torch.OutOfMemoryError)
""",
    )
    run(
        simulated_npu(SIMULATED_NPU_DEVICES="0"),
        """
assert not torch.accelerator.is_available()
refused(lambda: torch.empty(1, device="npu"), "ERR00009")
""",
    )
    run(
        simulated_npu(SIMULATED_NPU_PERTURB="aten::mm.out=0.5", ASCEND_RT_VISIBLE_DEVICES="3,4"),
        """
assert torch.accelerator.device_count() == 2
x = torch.eye(2)
assert torch.equal((x.to(npu) @ x.to(npu)).cpu(), 1.5 * x)
assert torch.equal((x.to(npu) * x.to(npu)).cpu(), x)
""",
    )

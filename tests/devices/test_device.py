import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from semask.base.errors import InputError
from semask.config.recipe import Numerics
from semask.devices import computing, cpu_fallbacks, description, distributed, presence, setup
from semask.devices.presence import AbsentError
from semask.devices.timeline import Timeline

from ..warm import run_script

PLAIN = Numerics(
    gelu="exact",
    reduced_matmul=False,
    reduced_convolution=False,
    deterministic=False,
    shared_chance=False,
)


def test_the_cpu_is_always_there_and_may_be_shared() -> None:
    presence.require("cpu", 1000, "rows: cpu-1000p")


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("gpu", "npu"):
        monkeypatch.setattr(presence, "counted", _none_because("of a reason"))
        with pytest.raises(InputError) as caught:
            presence.require(device, 1, f"rows: {device}-1p")
        assert str(caught.value) == (
            f"rows: {device}-1p: device {device} is not present on this machine: of a reason; or "
            "run this where the device is"
        )


def _none_because(reason: str) -> object:
    def count(device: str) -> int:
        raise AbsentError(reason)

    return count


@pytest.mark.skipif(torch.version.cuda is not None, reason="this torch has CUDA")
def test_a_torch_without_cuda() -> None:
    with pytest.raises(InputError, match="is built without CUDA; install"):
        presence.require("gpu", 1, "released")


def test_a_torch_with_cuda_and_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(InputError) as caught:
        presence.require("gpu", 1, "rows: gpu-1p")
    assert (
        "torch is built for CUDA 13.0 but finds no usable driver or device with "
        "CUDA_VISIBLE_DEVICES='': Found no NVIDIA driver on your system." in str(caught.value)
    )
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    importlib.util.find_spec("torch_npu") is not None, reason="this machine has torch_npu"
)
def test_no_torch_npu() -> None:
    with pytest.raises(InputError, match=r"device npu .* torch_npu is not installed"):
        presence.require("npu", 8, "rows: npu-8p")


def test_more_processes_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "counted", lambda device: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    presence.require("gpu", 4, "rows: gpu-4p")
    with pytest.raises(InputError) as caught:
        presence.require("gpu", 8, "rows: gpu-8p")
    assert str(caught.value) == (
        "rows: gpu-8p: asks for 8 gpu devices and 4 are here with "
        "CUDA_VISIBLE_DEVICES='0,1,2,3'; lower `processes`, or run this where they are"
    )


@pytest.mark.parametrize(("listed", "taken"), [(None, "0,1"), ("5, 7,GPU-a", "5,7"), ("", None)])
def test_devices_are_taken_from_those_that_are_visible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: str | None, taken: str | None
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(presence, "counted", lambda device: 0 if listed == "" else 3)
    # restored, with what reserve makes of it
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed or "")
    if listed is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    if taken is None:
        with pytest.raises(InputError):
            presence.reserve("gpu", 2, "rows: gpu-2p")
    else:
        presence.reserve("gpu", 2, "rows: gpu-2p")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == taken


@pytest.mark.parametrize(
    ("device", "listed", "given", "taken"),
    [
        ("npu", None, ["4", "5"], "4,5"),
        ("npu", "5", ["4", "5"], "5"),  # fewer by choice
        ("npu", "0,1", ["4", "5"], "4,5"),  # from the shell that the job was sent from
        ("npu", "0,1", None, "0,1"),  # the node is the job's, or the site's prolog says so
        ("gpu", "0,1", ["4", "5"], "0,1"),  # Slurm's own, in numbers of the job
        ("gpu", None, ["4", "5"], "4,5"),
    ],
)
def test_devices_are_those_that_slurm_gave(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    device: str,
    listed: str | None,
    given: list[str] | None,
    taken: str,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(presence, "counted", lambda device: 8)
    variable = {"gpu": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}[device]
    # restored, with what reserve makes of it
    monkeypatch.setenv(variable, listed or "")

    def own(device: str) -> list[str]:
        if given is None:
            raise InputError("Slurm job 12: was given no npu")
        return given

    monkeypatch.setattr("semask.devices.slurm.own_devices", own)
    presence.reserve(device, len(taken.split(",")), "rows: of a test")
    assert os.environ[variable] == taken


def test_a_torch_npu_that_cannot_be_loaded(tmp_path: Path) -> None:
    """As where CANN is not set up; CPU stages go on, and torch never tries on its own."""
    package = tmp_path / "torch_npu"
    package.mkdir()
    fault = "libhccl.so: cannot open shared object file: No such file or directory"
    (package / "__init__.py").write_text(f"raise ImportError({fault!r})", encoding="utf-8")
    information = tmp_path / "torch_npu-2.13.0.dist-info"
    information.mkdir()
    metadata = "Metadata-Version: 2.1\nName: torch_npu\nVersion: 2.13.0"
    (information / "METADATA").write_text(metadata, encoding="utf-8")
    (information / "entry_points.txt").write_text(
        "[torch.backends]\ntorch_npu = torch_npu:_start\n", encoding="utf-8"
    )
    program = (
        "from semask.config.recipe import Numerics\n"
        "from semask.devices import presence, setup\n"
        "setup.set_up('cpu', 1, Numerics('exact', False, False, False, False))\n"
        "from semask.base.errors import InputError\n"
        "try: presence.require('npu', 1, 'rows: npu-1p')\n"
        "except InputError as fault: print(fault)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], encoding="utf-8", capture_output=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"},
    )  # fmt: skip
    assert done.stdout == (
        "rows: npu-1p: device npu is not present on this machine: torch_npu 2.13.0 is installed "
        f"but cannot be loaded ({fault}); source CANN's set_env.sh; or run this where the device "
        "is\n"
    ), done.stderr


# as torch_npu prints them, past Python
WARNINGS = (
    "[W compiler_depend.ts:51] Warning: CAUTION: The operator 'aten::linalg_lstsq.out' is not "
    "currently supported on the NPU backend and will fall back to run on the CPU. This may have "
    "performance implications. (function npu_cpu_fallback)\n",
    "Warning: CAUTION: The operator aten::unfold_backward is currently not supported on the NPU "
    "backend. Now this operator will fallback to run on the CPU\n",
    "something else\n",
)


def test_operators_that_fall_back_are_noted(capfd: pytest.CaptureFixture[str]) -> None:
    npu: Any = SimpleNamespace(type="npu")
    with cpu_fallbacks.noted_fallbacks(npu) as operators:
        for warning in WARNINGS:
            os.write(2, warning.encode())
        print("from Python", file=sys.stderr)
    assert operators() == ["aten::linalg_lstsq.out", "aten::unfold_backward"]
    shown = capfd.readouterr().err
    assert all(text in shown for text in (*WARNINGS, "from Python\n"))
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_who_holds_standard_error_is_not_waited_for(capfd: pytest.CaptureFixture[str]) -> None:
    """As workers that load data do, which a failure leaves behind for a while."""
    npu: Any = SimpleNamespace(type="npu")
    many = WARNINGS[0] * 2000
    with cpu_fallbacks.noted_fallbacks(npu) as operators:
        holding = subprocess.Popen(["sleep", "60"])
        os.write(2, many.encode())
    assert holding.poll() is None
    holding.kill()
    holding.wait()
    assert operators() == ["aten::linalg_lstsq.out"]
    assert capfd.readouterr().err == many


def test_nothing_falls_back_elsewhere() -> None:
    with cpu_fallbacks.noted_fallbacks(torch.device("cpu")) as operators:
        os.write(2, WARNINGS[0].encode())
    assert operators() == []


def test_the_description_names_what_changes_results(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("HCCL_DETERMINISTIC", "true")
    monkeypatch.setenv("A_TOKEN", "secret")
    found = description.describe("cpu")
    assert found["name"]
    assert found["torch"] == torch.__version__
    assert found["driver"] is None
    assert found["ids"] is None
    assert found["environment"]["OMP_NUM_THREADS"] == "3"
    assert found["environment"]["HCCL_DETERMINISTIC"] == "true"
    assert "A_TOKEN" not in found["environment"]


def test_what_is_here_is_said_of_every_device() -> None:
    done = run_script("devices")
    assert done.status == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["cpu", "gpu", "npu"]
    assert torch.__version__ in lines[0]


def test_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    device = setup.set_up("cpu", 1, PLAIN)
    x = torch.ones(2, 2)
    for precision, dtype in (
        ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)
    ):  # fmt: skip
        with computing.autocast(device, precision):
            assert (x @ x).dtype == dtype
        assert computing.grad_scaler(device, precision).is_enabled() == (precision == "fp16")


def test_the_timeline_leaves_out_what_comes_before_a_restart() -> None:
    timeline = Timeline(torch.device("cpu"))
    timeline.mark()
    timeline.mark()
    timeline.mark()
    first = timeline.intervals()
    assert len(first) == 2
    assert min(first) >= 0
    timeline.mark()
    assert len(timeline.intervals()) == 1
    timeline.restart()
    assert timeline.intervals() == []


def test_counts_survive_the_sum_over_one_process() -> None:
    counts = torch.tensor([[2**40, 3], [0, 2**24]])
    assert torch.equal(distributed.all_reduce_counts(counts, torch.device("cpu")), counts)


def test_generators_go_on_from_their_saved_state() -> None:
    device = torch.device("cpu")
    setup.seed_everything(3)
    state = setup.generator_state(device)
    first = torch.rand(4)
    setup.restore_generator_state(device, state)
    assert torch.equal(torch.rand(4), first)


def test_reduced_products_are_known_to_what_asks_for_them_by_their_old_name() -> None:
    """torch.compile does; with the new names alone it is refused an answer."""
    for reduced, name in ((True, "high"), (False, "highest")):
        setup.apply_numerics(replace(PLAIN, reduced_matmul=reduced), "gpu")
        assert torch.get_float32_matmul_precision() == name
        assert torch.backends.cuda.matmul.allow_tf32 is reduced

import pytest
import torch

from semask import device as devices
from semask.errors import InputError


def test_the_cpu_is_always_there_and_may_be_shared() -> None:
    devices.require("cpu", 1000)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"gpu is not present on this machine .*CUDA") as caught:
        devices.require("gpu", 1)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(hasattr(torch, "npu"), reason="this machine has torch_npu")
def test_an_npu_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"npu is not present .*torch_npu is not installed"):
        devices.require("npu", 8)


def test_more_processes_than_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "count", lambda device: 4)
    devices.require("gpu", 4)
    with pytest.raises(InputError, match="gpu-8p asks for 8 gpu devices and 4 are here"):
        devices.require("gpu", 8)


def test_the_timeline_leaves_out_what_comes_before_a_restart() -> None:
    timeline = devices.Timeline(torch.device("cpu"))
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
    assert torch.equal(devices.all_reduce_counts(counts, torch.device("cpu")), counts)


def test_generators_go_on_from_their_saved_state() -> None:
    device = torch.device("cpu")
    devices.seed_everything(3)
    state = devices.generator_state(device)
    first = torch.rand(4)
    devices.restore_generator_state(device, state)
    assert torch.equal(torch.rand(4), first)


def test_a_device_describes_itself() -> None:
    found = devices.describe("cpu")
    assert found["name"]
    assert found["torch"] == torch.__version__
    assert found["driver"] is None

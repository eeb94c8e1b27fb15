"""Files of weights: what is read, what is refused, and that nothing in them is run."""

import argparse
import io
import os
import pickle
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from semask.base.errors import InputError
from semask.evaluation.weight_files import read_state_dict, write_reference_checkpoint


def refusal(path: Path) -> str:
    """The one line that refuses a file, which it names."""
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def mmcv_checkpoint() -> dict[str, Any]:
    """What mmcv saves, with scores as numpy leaves them."""
    return {
        "meta": {
            "CLASSES": ["road", "sidewalk"],
            "PALETTE": [[128, 64, 128], [244, 35, 232]],
            "config": "norm_cfg = dict(type='SyncBN')\n",
            "hook_msgs": {"best_score": np.float64(0.7902), "iteration": np.int64(80000)},
            "env": (None, True, np.bool_(True), np.float32(0.5), np.dtype(">f8").type(2)),
        },
        "state_dict": OrderedDict(weight=torch.arange(6.0).reshape(2, 3), steps=torch.tensor(7)),
        "optimizer": {
            "state": {0: {"step": 3, "exp_avg": torch.ones(2)}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}],
        },
    }


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before torch 1.6"])
def test_mmcv_checkpoints_are_read(tmp_path: Path, as_zip: bool) -> None:
    path = tmp_path / "small.pth"
    torch.save(mmcv_checkpoint(), path, _use_new_zipfile_serialization=as_zip)

    content = read_state_dict(path)

    assert content["state_dict"]["weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert content["state_dict"]["steps"] == 7
    assert content["meta"] == mmcv_checkpoint()["meta"]
    assert type(content["meta"]["hook_msgs"]["best_score"]) is float
    assert content["optimizer"]["state"][0]["exp_avg"].tolist() == [1, 1]


def test_numpy_1_names_are_read(tmp_path: Path) -> None:
    """Numpy moved its scalars' constructor: published files name the old place."""
    path = tmp_path / "old.pth"
    torch.save({"score": np.float64(0.5)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"numpy._core.multiarray" in data
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))

    assert read_state_dict(path) == {"score": 0.5}


def test_safetensors_are_read(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    save_file({"a": torch.arange(3.0)}, path, {"semask": "{}"})

    assert {name: t.tolist() for name, t in read_state_dict(path).items()} == {"a": [0, 1, 2]}


class CfgNode(dict):
    """As yacs has it: a mapping with a state of its own, by that package's name in a file."""

    def __init__(self, *items: Any) -> None:
        super().__init__(*items)
        self.__dict__["__immutable__"] = True


def trainers_settings() -> dict[str, Any]:
    """What trainers keep beside the tensors; none of it is needed."""
    ages: defaultdict[str, int] = defaultdict(int)
    ages["last"] = 3
    return {
        "args": argparse.Namespace(lr=0.1, milestones=[3, 5], inner=argparse.Namespace(x=None)),
        "more": SimpleNamespace(seed=1),
        "config": CfgNode({"MODEL": CfgNode({"TYPE": "swin"}), "EPOCHS": 300}),
        "ages": ages,
        "lists": defaultdict(list, {"a": [1]}),
        "losses": deque([0.5, 0.25], maxlen=10),
        "counts": Counter("aab"),
        "seen": {1, 2},
    }


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before torch 1.6"])
def test_settings_beside_the_tensors_are_read(
    tmp_path: Path, as_zip: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "swin.pth"
    # the package itself is not there when the file is read
    monkeypatch.setattr(CfgNode, "__module__", "yacs.config")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "yacs", ModuleType("yacs"))
        patch.setitem(sys.modules, "yacs.config", ModuleType("yacs.config"))
        sys.modules["yacs.config"].CfgNode = CfgNode  # type: ignore[attr-defined]
        torch.save(
            {"model": {"a": torch.arange(3.0)}, **trainers_settings()},
            path,
            _use_new_zipfile_serialization=as_zip,
        )

    content = read_state_dict(path)

    assert content["model"]["a"].tolist() == [0, 1, 2]
    assert vars(content["args"])["lr"] == 0.1
    assert vars(content["args"])["milestones"] == [3, 5]
    assert vars(content["args"].inner) == {"x": None}
    assert vars(content["more"]) == {"seed": 1}
    assert content["config"] == {"MODEL": {"TYPE": "swin"}, "EPOCHS": 300}
    assert content["ages"] == {"last": 3}
    assert content["lists"] == {"a": [1]}
    assert content["losses"] == [0.5, 0.25]
    assert content["counts"] == {"a": 2, "b": 1}
    assert content["seen"] == {1, 2}


class HistoryBuffer:
    """As mmengine has it: arrays, and its methods by name in what is pickled of it."""

    def __init__(self, *more: Any) -> None:
        self._max_length, self.more = 1000000, more
        self._log_history = np.array([0.5, 0.25])
        self._count_history = np.array([1, 2])

    def mean(self) -> float:
        return float(self._log_history.mean())

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "statistics_methods": {"mean": HistoryBuffer.mean}}


@pytest.fixture
def save_of_mmengine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Saves tensors with a message hub, whose package is not there when the file is read."""
    name = "mmengine.logging.history_buffer"
    monkeypatch.setattr(HistoryBuffer, "__module__", name)
    monkeypatch.setattr(HistoryBuffer.mean, "__module__", name)

    def save(path: Path, *more: Any, as_zip: bool = True) -> None:
        with monkeypatch.context() as patch:
            for parent in ("mmengine", "mmengine.logging", name):
                patch.setitem(sys.modules, parent, ModuleType(parent))
            sys.modules[name].HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
            hub = {"log_scalars": OrderedDict({"train/loss": HistoryBuffer(*more)})}
            torch.save(
                {"state_dict": {"a": torch.arange(3.0)}, "message_hub": hub},
                path,
                _use_new_zipfile_serialization=as_zip,
            )

    return save


@pytest.mark.parametrize("as_zip", [True, False], ids=["zip", "before torch 1.6"])
def test_a_message_hub_beside_the_tensors_is_left_unread(
    tmp_path: Path, as_zip: bool, save_of_mmengine: Callable[..., None]
) -> None:
    save_of_mmengine(tmp_path / "swin.pth", as_zip=as_zip)

    content = read_state_dict(tmp_path / "swin.pth")

    assert content["state_dict"]["a"].tolist() == [0, 1, 2]
    assert [*content["message_hub"]["log_scalars"]] == ["train/loss"]


def test_a_program_within_a_message_hub_is_refused_unrun(
    tmp_path: Path, save_of_mmengine: Callable[..., None]
) -> None:
    save_of_mmengine(tmp_path / "swin.pth", CreatesAFile(tmp_path / "was here"))

    assert "posix.mkdir" in refusal(tmp_path / "swin.pth")
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("container", ["Namespace", "defaultdict", "factory", "deque"])
def test_a_program_within_settings_is_refused_unrun(tmp_path: Path, container: str) -> None:
    path, trace = tmp_path / "swin.pth", tmp_path / "was here"
    bad = CreatesAFile(trace)
    within = {
        "Namespace": lambda: argparse.Namespace(a=bad),
        "defaultdict": lambda: defaultdict(int, a=bad),
        "factory": lambda: defaultdict(os.getcwd),
        "deque": lambda: deque([bad]),
    }[container]()
    torch.save({"model": {"a": torch.ones(1)}, "args": within}, path)

    message = refusal(path)

    assert not trace.exists()
    assert ("posix.getcwd" if container == "factory" else "posix.mkdir") in message


class CreatesAFile:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "before torch 1.6", "pickle"])
@pytest.mark.parametrize("where", ["value", "state_dict"])
def test_a_pickle_that_runs_a_program_is_refused_unrun(
    tmp_path: Path, form: str, where: str
) -> None:
    path, trace = tmp_path / "small.pth", tmp_path / "was here"
    bad = CreatesAFile(trace)
    content = {"state_dict": {"a": torch.ones(1), "b": bad} if where == "value" else bad}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": bad}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")

    message = refusal(path)

    assert not trace.exists()
    assert "posix.mkdir" in message or form == "pickle"
    # the pickle does what it is meant to do
    pickle.loads(pickle.dumps(bad))
    assert trace.exists()


class PassesToNumpy:
    """A pickle that hands numpy's constructor of scalars what is no number."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __reduce__(self) -> Any:
        scalar = np.float64(1).__reduce__()[0]
        return scalar, (np.dtype(self.kind), b"\x00" * 64)


@pytest.mark.parametrize("kind", ["O", "U4", "V8", "f8,O"])
def test_only_numbers_of_numpy_are_made(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "small.pth"
    torch.save({"state_dict": {}, "meta": PassesToNumpy(kind)}, path)

    refusal(path)


def test_arrays_of_numpy_are_never_made(tmp_path: Path) -> None:
    path = tmp_path / "small.pth"
    torch.save({"state_dict": {"a": np.ones(3)}}, path)
    assert not isinstance(read_state_dict(path)["state_dict"]["a"], np.ndarray)

    torch.save({"state_dict": {"a": np.array([None, {}], dtype=object)}}, path)
    refusal(path)


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), "weights", None])
def test_what_is_no_mapping_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "small.pth"
    torch.save(content, path)

    assert f"holds a {type(content).__name__}, not tensors by name" in refusal(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    assert "no such file" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert "cannot be read" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not weights at all",
        b"\x80\x02",
        b"\x89PNG\r\n\x1a\n" + bytes(2000),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_files_of_another_kind(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert "make or fetch the file again" in refusal(tmp_path / name)


@pytest.mark.parametrize("page", ["<!DOCTYPE html><html>Quota exceeded</html>", "\n<HTML></HTML>"])
def test_a_web_page_is_told(tmp_path: Path, page: str) -> None:
    path = tmp_path / "small.pth"
    path.write_text(page, encoding="utf-8")
    assert "a web page" in refusal(path)


def _saved(as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(mmcv_checkpoint(), buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


_FILES = {"zip": _saved(True), "old": _saved(False)}
_shared_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)


@_shared_folder
@given(form=st.sampled_from([*_FILES]), share=st.floats(0, 0.999))
def test_a_file_cut_short_is_refused(tmp_path: Path, form: str, share: float) -> None:
    data = _FILES[form]
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: int(share * len(data))])
    refusal(path)


@_shared_folder
@given(share=st.floats(0, 0.999))
def test_a_cut_safetensors_file_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "cut.safetensors"
    save_file({"a": torch.zeros(64)}, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refusal(path)


def test_a_flipped_bit_in_a_tensor_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "flipped.pth"
    torch.save({"state_dict": {"a": torch.full((64,), 7.25)}}, path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.full((64,), 7.25).numpy().tobytes()) + 100] ^= 1
    path.write_bytes(data)

    assert "fails its checksum" in refusal(path)


def test_written_checkpoints_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "out" / "semask.pth"
    weights = {"a": torch.arange(8.0)[::2], "n": torch.tensor(3)}

    write_reference_checkpoint(path, weights, {"CLASSES": ("road",), "iter": 400})

    content = read_state_dict(path)
    assert content["meta"] == {"CLASSES": ("road",), "iter": 400}
    assert content["state_dict"]["a"].tolist() == [0, 2, 4, 6]
    assert [file.name for file in path.parent.iterdir()] == ["semask.pth"]


def test_nothing_is_left_of_a_checkpoint_that_cannot_be_read_back(tmp_path: Path) -> None:
    path = tmp_path / "semask.pth"

    with pytest.raises(InputError):
        write_reference_checkpoint(path, {"a": torch.ones(1)}, {"path": tmp_path})

    assert list(tmp_path.iterdir()) == []

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.training.keeping import read_checkpoint, write_checkpoint

STATE = {"iteration": 7, "model": {"a": torch.arange(100.0), "b": torch.tensor(True)}, "best": None}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "7.pt"
    write_checkpoint(path, STATE)
    found = read_checkpoint(path)
    assert found["iteration"] == 7
    assert found["best"] is None
    assert found["model"]["a"].equal(STATE["model"]["a"])  # type: ignore[index]
    assert [file.name for file in path.parent.iterdir()] == ["7.pt"]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damage_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "7.pt"
    write_checkpoint(path, STATE)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"7\.pt: damaged"):
        read_checkpoint(path)


def test_objects_are_not_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "7.pt", {"path": tmp_path})
    with pytest.raises(InputError, match=r"7\.pt"):
        read_checkpoint(tmp_path / "7.pt")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_checkpoint(tmp_path / "7.pt")

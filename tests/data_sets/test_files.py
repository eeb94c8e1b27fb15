import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.base.files import atomically, digest_of, parse_json, read_json, sha256, write_atomically


def test_writes_bytes_and_text_into_new_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b", b"\x00\xff")
    write_atomically(tmp_path / "a" / "c.txt", "ä\n")
    assert (tmp_path / "a" / "b").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a" / "c.txt").read_bytes() == "ä\n".encode()
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b", "c.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    target.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        write_half(target)
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def write_half(target: Path) -> None:
    with atomically(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise KeyboardInterrupt


def test_the_target_appears_only_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "weights.pth"
    with atomically(target) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.suffix == target.suffix
    assert target.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_sha256_of_a_known_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), min_size=2))
def test_digests_ignore_the_order_of_keys(mapping: dict[str, object]) -> None:
    reverse = dict(reversed(mapping.items()))
    assert digest_of(mapping) == digest_of(reverse)
    assert digest_of([{"inner": mapping}]) == digest_of([{"inner": reverse}])


def test_digests_tell_values_apart() -> None:
    assert len({digest_of(x) for x in ([1, 2], [2, 1], [12], {"a": 1}, {"a": 2}, "12", None)}) == 7
    assert digest_of({"a": (1, 2)}) == digest_of({"a": [1, 2]})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(float("nan"))


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1', b"\x89PNG", b"\xff\xfe\x00", b"[1] 2"])
def test_bad_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not valid JSON") as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path)


@given(st.binary() | st.integers(1, 20000).map(lambda depth: b"[" * depth))
def test_nothing_but_input_errors(data: bytes) -> None:
    with suppress(InputError):
        parse_json(data, "x.json")

"""Unpacking: what comes out, what is refused, what a kill and a full disk leave behind."""

import io
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.fetching import archives
from semask.fetching.archives import check_archive, extract

NOISE = random.Random(0).randbytes(300_000)
ADE = {
    "ADEChallengeData2016/": b"",
    "ADEChallengeData2016/images/training/ADE_train_00000001.jpg": NOISE[:5000],
    "ADEChallengeData2016/images/validation/ADE_val_00000001.jpg": NOISE[5000:9000],
    "ADEChallengeData2016/annotations/training/ADE_train_00000001.png": NOISE[:300],
    "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png": NOISE[:200],
    "ADEChallengeData2016/objectInfo150.txt": b"Idx\tRatio\n",
}


def pack(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def pack_one(path: Path, name: str, data: bytes = b"data", **attributes: object) -> Path:
    """An archive with a harmless member before one with attributes of its header set."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("harmless.txt", b"harmless")
        info = zipfile.ZipInfo(name)
        for key, value in attributes.items():
            setattr(info, key, value)
        archive.writestr(info, data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def refused(archive: Path, folder: Path) -> str:
    """The one line with which an archive is refused; nothing may have been written."""
    before = tree(folder.parent)
    with pytest.raises(InputError) as caught:
        extract(archive, folder)
    assert tree(folder.parent) == before
    line = str(caught.value)
    assert "\n" not in line
    assert archive.name in line
    return line


def message_of(archive: Path, folder: Path) -> str:
    """What unpacking complains of, empty where it does not."""
    try:
        extract(archive, folder)
    except InputError as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_in_it_comes_out(tmp_path: Path, method: int) -> None:
    archive = pack(tmp_path / "ADEChallengeData2016.zip", ADE, method)
    whole, stripped = tmp_path / "whole", tmp_path / "stripped"
    assert extract(archive, whole) == 5
    assert tree(whole) == {name: data for name, data in ADE.items() if not name.endswith("/")}
    extract(archive, stripped, strip=True)
    assert tree(stripped) == tree(whole / "ADEChallengeData2016")


def test_archives_without_a_common_folder(tmp_path: Path) -> None:
    # as Cityscapes packs it
    layout = {"gtFine/train/aachen/a_gtFine_labelIds.png": b"1", "README": b"2", "license.txt": b""}
    archive = pack(tmp_path / "gtFine_trainvaltest.zip", layout)
    extract(archive, tmp_path / "root", strip=True)
    assert tree(tmp_path / "root") == layout


@pytest.mark.parametrize(
    ("names", "stripped"),
    [
        (["a/x", "./a//y/z", "a/"], ["x", "y/z"]),
        (["a"], None),
        (["a/x", "b/y"], None),
        (["a/x", ".//a/y"], None),
        (["ab/x"], None),
    ],
)
def test_only_a_folder_of_the_archives_name_is_left_out(
    tmp_path: Path, names: list[str], stripped: list[str] | None
) -> None:
    archive = pack(tmp_path / "a.zip", dict.fromkeys(names, b"data"))
    extract(archive, tmp_path / "root", strip=True)
    whole = [os.path.normpath(name) for name in names]
    assert list(tree(tmp_path / "root")) == (whole if stripped is None else stripped)


def test_again_changes_nothing(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", ADE)
    folder = tmp_path / "root"
    extract(archive, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    (folder / "ADEChallengeData2016/images/training/ADE_train_00000001.jpg").unlink()
    extract(archive, folder)
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert kept.items() <= times.items()
    assert tree(folder)["ADEChallengeData2016/images/training/ADE_train_00000001.jpg"]


def test_files_of_others_are_kept(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"theirs", "b": b"theirs"})
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "own").write_bytes(b"mine")
    (folder / "b").write_bytes(b"mine..")
    with pytest.raises(InputError, match=r"other content than in a\.zip"):
        extract(archive, folder)
    assert tree(folder) == {"a": b"theirs", "b": b"mine..", "own": b"mine"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("/etc/evil", "absolute"),
        ("C:evil", "absolute"),
        ("c:/evil", "absolute"),
        ("../evil", "outside"),
        ("a/../../evil", "outside"),
        ("a/..", "outside"),
        ("..\\evil", "backslash"),
        ("./", "no name"),
        (".archive.zip.unpacking", "a name of ours"),
        ("harmless.txt", "twice"),
        ("./harmless.txt", "twice"),
        ("harmless.txt/", "twice"),
        ("harmless.txt/evil", "both a file and a folder"),
    ],
)
def test_hostile_names(tmp_path: Path, name: str, says: str) -> None:
    if name == "./":
        # a file, in spite of its name, is what the header would have to say
        members = {"harmless.txt": b"harmless", ".": b"data"}
        archive = pack(tmp_path / "archive.zip", members)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            archive = pack_one(tmp_path / "archive.zip", name)
    assert says in refused(archive, tmp_path / "inner" / "root")


def test_a_name_with_nul(tmp_path: Path) -> None:
    archive = pack(tmp_path / "archive.zip", {"harmless.txt": b"", "evil_.txt": b"data"})
    archive.write_bytes(archive.read_bytes().replace(b"evil_.txt", b"evil\0.txt"))
    assert "NUL" in refused(archive, tmp_path / "root")


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        (stat.S_IFLNK | 0o777, "is a link"),
        (stat.S_IFIFO | 0o600, "neither a file nor a folder"),
        (stat.S_IFCHR | 0o600, "neither a file nor a folder"),
        (stat.S_IFSOCK | 0o600, "neither a file nor a folder"),
        (stat.S_IFDIR | 0o755, "a file by its name and a folder by its mode"),
    ],
)
def test_members_that_are_no_files(tmp_path: Path, mode: int, says: str) -> None:
    archive = pack_one(tmp_path / "archive.zip", "evil", b"/etc/passwd", external_attr=mode << 16)
    assert says in refused(archive, tmp_path / "root")


def test_permissions_do_not_come_along(tmp_path: Path) -> None:
    mode = stat.S_IFREG | 0o6777
    archive = pack_one(tmp_path / "archive.zip", "tool", external_attr=mode << 16)
    extract(archive, tmp_path / "root")
    assert (tmp_path / "root/tool").stat().st_mode & 0o7111 == 0


def patched(archive: Path, offset: int, value: bytes) -> Path:
    """Changes a field of the last member's entry in the central directory."""
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"PK\x01\x02") + offset
    data[at : at + len(value)] = value
    archive.write_bytes(data)
    return archive


def test_encrypted_members(tmp_path: Path) -> None:
    archive = patched(pack(tmp_path / "a.zip", {"a": b"x", "b": b"y"}), 8, b"\x01\x00")
    assert "'b' is encrypted" in refused(archive, tmp_path / "root")


def test_unknown_methods(tmp_path: Path) -> None:
    archive = patched(pack(tmp_path / "a.zip", {"a": b"x", "b": b"y"}), 10, b"\x09\x00")
    assert "'b' is packed by method 9" in refused(archive, tmp_path / "root")


@pytest.mark.parametrize("link_to_folder", [True, False])
def test_links_on_the_disk_are_not_followed(tmp_path: Path, link_to_folder: bool) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    folder.mkdir()
    (outside / "file").write_bytes(b"mine")
    if link_to_folder:
        (folder / "a").symlink_to(outside)
    else:
        (folder / "a").mkdir()
        (folder / "a/file").symlink_to(outside / "file")
    archive = pack(tmp_path / "archive.zip", {"harmless": b"", "a/file": b"evil"})
    assert "a link is in the way" in refused(archive, folder)


def test_other_things_in_the_way(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    (folder / "a").mkdir(parents=True)
    (folder / "b").write_bytes(b"")
    assert "has a file here" in refused(pack(tmp_path / "x.zip", {"a": b""}), folder)
    assert "has a folder here" in refused(pack(tmp_path / "y.zip", {"b/c": b""}), folder)
    assert "has a folder here" in refused(pack(tmp_path / "z.zip", {"b/": b""}), folder)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"mine")
    assert "another folder" in refused(pack(tmp_path / "a.zip", {"a": b""}), tmp_path / "root")


def test_too_small_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(".")._replace(free=3 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    archive = pack(tmp_path / "a.zip", {f"{n}": b"x" for n in range(3)})
    extract(archive, tmp_path / "fits")
    # 3 GiB that the header announces
    patched(pack(archive, {"a": NOISE, "b": NOISE}), 24, struct.pack("<I", 0xC0000000))
    monkeypatch.setattr(archives, "MOST_RATIO", 10**9)
    line = refused(archive, tmp_path / "root")
    assert "needs 3.00 GiB" in line
    assert "3.00 GiB are free" in line


def test_what_is_unpacked_already_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "a.zip", {f"{n}": NOISE[:1000] * 40 for n in range(10)})
    extract(archive, tmp_path / "root")
    (tmp_path / "root/9").unlink()  # as a kill leaves it
    usage = shutil.disk_usage(".")._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert extract(archive, tmp_path / "root") == 10
    assert (tmp_path / "root/9").read_bytes() == NOISE[:1000] * 40
    assert "make room" in refused(archive, tmp_path / "elsewhere")


def test_bombs(tmp_path: Path) -> None:
    archive = pack(tmp_path / "bomb.zip", {"zeros": bytes(50_000_000)})
    assert "-fold" in refused(archive, tmp_path / "root")


def test_overlapping_members(tmp_path: Path) -> None:
    """Many entries of the directory that all point at the same bytes."""
    archive = pack(tmp_path / "bomb.zip", {"a": NOISE, "b": NOISE}, zipfile.ZIP_STORED)
    with zipfile.ZipFile(archive) as opened:
        first = opened.getinfo("a")
    data = archive.read_bytes()
    start = data.index(b"PK\x01\x02")
    # the second one's data go, its entry in the directory points at the first one's
    second = data.rindex(b"PK\x03\x04", 0, start)
    data = data[:second] + data[start:]
    at = data.rindex(b"PK\x01\x02")
    data = data[: at + 42] + struct.pack("<I", first.header_offset) + data[at + 46 :]
    end = data.rindex(b"PK\x05\x06")
    data = data[: end + 16] + struct.pack("<I", second) + data[end + 20 :]
    archive.write_bytes(data)
    assert "overlap" in refused(archive, tmp_path / "root")


@pytest.mark.parametrize("size", [10, 299_999, 300_001, 2_000_000])
def test_sizes_that_lie(tmp_path: Path, size: int) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"first", "b": NOISE})
    patched(archive, 24, struct.pack("<I", size))
    with pytest.raises(InputError, match=r"a\.zip: member 'b' is damaged"):
        extract(archive, tmp_path / "root")
    assert tree(tmp_path / "root") == {"a": b"first"}


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"a": b"first", "b/c": NOISE}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[200_000] ^= 1
    archive.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip: member 'b/c' is damaged \(Bad CRC"):
        extract(archive, tmp_path / "root")
    assert tree(tmp_path / "root") == {"a": b"first"}


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>", NOISE])
def test_files_that_are_no_archives(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    assert "not a whole zip archive" in refused(archive, tmp_path / "root")


def test_a_missing_archive(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "a.zip", tmp_path / "root")


PARTS = st.sampled_from(
    ["a", "b", "..", ".", "", "C:", "c:x", "\\", "..\\", "a\0b", "é", "a b", "x" * 300, "~", "-r"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.lists(NAMES, min_size=1, max_size=4), links=st.booleans())
def test_no_name_gets_out(tmp_path_factory: pytest.TempPathFactory, names: list[str],
                          links: bool) -> None:  # fmt: skip
    base = tmp_path_factory.mktemp("names")
    outside, folder = base / "outside", base / "inner" / "root"
    outside.mkdir()
    folder.mkdir(parents=True)
    (outside / "a").write_bytes(b"mine")
    if links:
        (folder / "a").symlink_to(outside)
        (folder / "b").symlink_to(outside / "a")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, b"evil")
    (base / "a.zip").write_bytes(buffer.getvalue())
    assert "\n" not in message_of(base / "a.zip", folder)
    assert sorted(os.listdir(base)) == ["a.zip", "inner", "outside"]
    assert os.listdir(base / "inner") == ["root"]
    assert tree(outside) == {"a": b"mine"}
    assert not list(folder.glob("*.unpacking"))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_never_gives_another_file(tmp_path_factory: pytest.TempPathFactory,
                                         data: st.DataObject) -> None:  # fmt: skip
    base = tmp_path_factory.mktemp("damage")
    members = {"a": NOISE[:500], "b/c": b"text " * 50, "b/d": b""}
    archive = pack(base / "a.zip", members)
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    message = message_of(archive, base / "root")
    assert "\n" not in message
    assert not message or "a.zip" in message
    # names can be damaged, too, contents cannot: each is one of those that were packed
    assert set(tree(base / "root").values()) <= set(members.values())


def test_killed_and_done_again(tmp_path: Path) -> None:
    members = {f"folder/{n:03}": NOISE[n : n + 200_000] for n in range(200)}
    archive = pack(tmp_path / "a.zip", members)
    folder = tmp_path / "root"
    program = "import sys; from pathlib import Path; from semask.fetching.archives import extract; "
    program += "extract(Path(sys.argv[1]), Path(sys.argv[2]))"
    running = subprocess.Popen([sys.executable, "-c", program, str(archive), str(folder)])
    while not list(folder.glob("folder/*")) and running.poll() is None:
        time.sleep(0.001)
    running.kill()
    running.wait()
    there = {name: data for name, data in tree(folder).items() if name.startswith("folder/")}
    # what is under its name is whole
    assert there.items() <= members.items()
    extract(archive, folder)
    assert tree(folder) == members


def test_only_the_wanted_folders(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {"gtFine/a.png": b"1", "README": b"2", "other/b": b"3"})
    assert extract(archive, tmp_path / "out", only=("gtFine",)) == 1
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["a.png"]


def test_an_archive_is_looked_at_to_its_end(tmp_path: Path) -> None:
    archive = pack(tmp_path / "a.zip", {f"{i}.png": bytes([i]) * 5000 for i in range(5)})
    check_archive(archive)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="not a whole zip archive"):
        check_archive(archive)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.png", b"x" * 100)
    data = archive.read_bytes()
    archive.write_bytes(data.replace(b"x" * 100, b"x" * 99 + b"y"))
    with pytest.raises(InputError, match="damaged"):
        check_archive(archive)

"""Unpacking of archives that are not trusted: nothing outside the folder, no file half-written."""

import contextlib
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

from semask.base.errors import InputError
from semask.base.files import GIB, make_folder, require_disk
from semask.base.zip_damage import DAMAGE

MOST_RATIO = 100
"""Archives that claim to grow more than this are refused; images and labels hardly grow."""

_CHUNK = 2**20
_BLOCK = 4096
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def extract(
    archive: Path,
    folder: Path,
    *,
    strip: bool = False,
    only: Collection[str] = (),
    remedy: str = "fetch it again",
) -> int:
    """Unpacks a zip archive below a folder, which is made if need be.

    All members are looked at before the first one is written. A file appears whole or not at all.
    One that is there with the content of the archive is left alone, so that unpacking goes on
    after an interruption. Permissions and owners in the archive count for nothing. With `strip` the
    leading folder is left out of all paths if it has the archive's name and holds every member;
    `only` has the leading folders of what is then wanted, all if empty; `remedy` is what to do
    about an archive that is damaged.
    Gives the number of files that were wanted, all of which are then on the disk.

    Raises:
        InputError: the archive is damaged (names the member), wants to write outside `folder` or
            over a link, holds links, devices or encrypted members, would grow beyond reason or
            beyond the free disk space (in GiB), or a file with other content is in the way.
    """
    make_folder(folder, f"give {archive.name} another folder")
    with _opened(archive, remedy) as opened:
        members = [
            (info, path)
            for info, path in _members(opened, archive, strip)
            if not only or path[0] in only
        ]
        _check_growth(opened, archive)
        # always the same name: what an interrupted run leaves behind, the next one removes
        temporary = folder / f".{archive.name}.unpacking"
        for info, path in members:
            if path == (temporary.name,):
                raise InputError(f"{archive}: refused: member {info.filename!r} has a name of ours")
            _check_way(folder, path, archive, is_dir=info.is_dir())
        files = [(info, path) for info, path in members if not info.is_dir()]
        # what an interrupted run has written is there; a file takes whole blocks
        missing = [info for info, path in files if not folder.joinpath(*path).exists()]
        blocks = sum(-(-info.file_size // _BLOCK) * _BLOCK for info in missing)
        require_disk(folder, blocks, archive)
        try:
            for info, path in files:
                _check_way(folder, path, archive, is_dir=False)
                target = folder.joinpath(*path)
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _write(opened, info, archive, temporary, remedy)
                    os.replace(temporary, target)
                elif not _same(target, info):
                    raise InputError(
                        f"{target}: is there with other content than in {archive.name}; move it "
                        "away, or unpack elsewhere"
                    )
        except OSError as fault:
            raise InputError(
                f"{archive}: unpacking into {folder} failed ({fault.strerror or fault}); set it "
                "right and run again to go on"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    # one for all files: one for each takes minutes for a data set
    os.sync()
    return len(files)


def check_archive(archive: Path) -> None:
    """Reads a zip archive to its end without writing anything.

    Raises:
        InputError: as `extract` for what can be seen without a folder to unpack to.
    """
    with _opened(archive) as opened:
        _members(opened, archive)
        _check_growth(opened, archive)
        try:
            damaged = opened.testzip()
        except DAMAGE as fault:
            raise InputError(f"{archive}: damaged ({fault}); fetch it again") from None
    if damaged is not None:
        raise InputError(f"{archive}: member {damaged!r} is damaged; fetch it again")


def _opened(archive: Path, remedy: str = "fetch it again") -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise InputError(f"{archive}: no such file; fetch it first") from None
    except (*DAMAGE, OSError) as fault:
        raise InputError(f"{archive}: not a whole zip archive ({fault}); {remedy}") from None


def _members(
    opened: zipfile.ZipFile, archive: Path, strip: bool = False
) -> list[tuple[zipfile.ZipInfo, tuple[str, ...]]]:
    """Members with the parts of their paths below the folder, all found harmless."""
    members = []
    kinds: dict[tuple[str, ...], bool] = {}
    top = f"{archive.stem}/"
    below = all(name.removeprefix("./").startswith(top) for name in opened.namelist())
    for info in opened.infolist():
        fault = _fault_of(info)
        if fault:
            raise InputError(f"{archive}: refused: member {info.orig_filename!r} {fault}")
        path = tuple(part for part in info.filename.split("/") if part not in ("", "."))
        if strip and below:
            path = path[1:]
        if not path:
            if info.is_dir():
                continue
            raise InputError(f"{archive}: refused: member {info.orig_filename!r} has no name")
        if kinds.get(path) is not None and not (info.is_dir() and kinds[path]):
            raise InputError(f"{archive}: refused: member {info.filename!r} is in it twice")
        kinds[path] = info.is_dir()
        members.append((info, path))
    for path in kinds:
        for length in range(1, len(path)):
            if kinds.get(path[:length]) is False:
                raise InputError(
                    f"{archive}: refused: {'/'.join(path[:length])!r} is both a file and a folder"
                )
    return members


def _fault_of(info: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member as its header describes it."""
    name = info.orig_filename
    if not info.filename:
        return "has no name"
    if "\0" in name:
        return "has a NUL in its name"
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in name.split("/"):
        return "leads outside the folder"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link" if kind == stat.S_IFLNK else "is neither a file nor a folder"
    if info.is_dir() != (kind == stat.S_IFDIR) and kind:
        return "is a file by its name and a folder by its mode, or the reverse"
    if info.compress_type not in _METHODS:
        return f"is packed by method {info.compress_type}, which is not known here"
    return None


def _check_growth(opened: zipfile.ZipFile, archive: Path) -> None:
    infos = opened.infolist()
    packed = archive.stat().st_size
    total = sum(info.file_size for info in infos)
    if sum(info.compress_size for info in infos) > packed:
        raise InputError(
            f"{archive}: refused: its members overlap, as in archives made to fill a disk"
        )
    if total > MOST_RATIO * packed:
        raise InputError(
            f"{archive}: refused: would grow from {packed / GIB:.2f} to {total / GIB:.2f} GiB, "
            f"more than {MOST_RATIO}-fold, as archives made to fill a disk do"
        )


def _check_way(folder: Path, path: tuple[str, ...], archive: Path, *, is_dir: bool) -> None:
    """Looks for links and for things of the wrong kind on the way to a member."""
    for length in range(1, len(path) + 1):
        place = folder.joinpath(*path[:length])
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            return
        except OSError as fault:
            raise InputError(
                f"{archive}: cannot unpack to {str(place)!r} ({fault.strerror})"
            ) from None
        if stat.S_ISLNK(mode):
            raise InputError(
                f"{place}: a link is in the way of {archive.name}; it is not followed: remove it "
                "or unpack elsewhere"
            )
        wanted = stat.S_ISDIR if length < len(path) or is_dir else stat.S_ISREG
        if not wanted(mode):
            kind = "folder" if wanted is stat.S_ISDIR else "file"
            raise InputError(
                f"{place}: {archive.name} has a {kind} here, but this is something else; move it"
            )


def _write(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, archive: Path, temporary: Path, remedy: str
) -> None:
    temporary.unlink(missing_ok=True)
    try:
        # reads no more than the member says, so that a longer one fails by its checksum
        with opened.open(info) as member, open(temporary, "xb") as file:
            shutil.copyfileobj(member, file, _CHUNK)
        if temporary.stat().st_size != info.file_size:
            raise zipfile.BadZipFile("shorter than it says")
    except DAMAGE as fault:
        raise InputError(
            f"{archive}: member {info.filename!r} is damaged ({fault}); {remedy}"
        ) from None


def _same(target: Path, info: zipfile.ZipInfo) -> bool:
    """Whether a file has the size and the checksum of a member."""
    if target.stat().st_size != info.file_size:
        return False
    checksum = 0
    with open(target, "rb") as file:
        while chunk := file.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum == info.CRC

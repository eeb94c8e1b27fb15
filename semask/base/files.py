"""Writing files so that no reader ever sees half of one, reading JSON, and digests."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from semask.base.errors import InputError

GIB = 2**30


@contextmanager
def atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary name beside `path`; what is written there becomes `path` on success.

    The temporary name keeps the suffix of `path` (writers that choose a format by suffix work) and
    starts with a dot. On success the file is synced and renamed over `path`, and the folder is
    synced; on any exception it is removed and an older `path` stays as it was. The parent folder is
    made if need be. The caller creates the file, so its permissions follow the user's umask. An
    OSError names `path`, also where a library said nothing of it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as fault:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(fault, OSError) and fault.filename in (None, str(temporary), temporary):
            fault.filename = str(path)
        raise


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Context in which an OSError that names no file names `path`."""
    try:
        yield
    except OSError as fault:
        fault.filename = fault.filename or str(path)
        raise


def _sync_folder(folder: Path) -> None:
    """Have a rename in a folder outlast a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as fault:
        if fault.errno != errno.EINVAL:  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def write_atomically(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Writes `data` (str as UTF-8, line ends untouched) to `path`, whole or not at all.

    A name of a file in it need not be text in the user's language.
    """
    if isinstance(data, str):
        data = data.encode(errors="backslashreplace")
    with atomically(path) as temporary:
        temporary.write_bytes(data)


def make_folder(folder: Path, advice: str) -> None:
    """Makes a folder, unless it is there; InputError says why it cannot be, and what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(f"{folder}: {fault.strerror}; {advice}") from None


def require_disk(folder: Path, size: int, name: str | os.PathLike[str]) -> None:
    """Raises InputError, in GiB, unless `size` bytes are free where `folder` is."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{name}: needs {size / GIB:.2f} GiB in {folder}, {free / GIB:.2f} GiB are free; "
            "make room or choose another folder"
        )


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, as 64 hex digits; OSError where it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def looks(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """Size in bytes, time of the last change in ns, and inode: a changed file has others."""
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ino


def digest_of(obj: Any) -> str:
    """SHA-256 (64 hex digits) of a JSON-like value; the order of keys does not matter.

    Tuples count as lists; 1 and 1.0 differ. ValueError where `obj` holds NaN or an infinity,
    TypeError where it holds something else that JSON has no word for.
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_json(data: bytes, path: str | os.PathLike[str]) -> Any:
    """Parses the bytes of a JSON file; `path` is only named in the message.

    InputError where they are not JSON (cut short, empty, another format, nested too deeply).
    """
    try:
        return json.loads(data)
    # ValueError: syntax, encoding, and integers of thousands of digits.
    except (ValueError, RecursionError) as error:
        reason = "the file is empty" if not data.strip() else " ".join(str(error).split())
        raise InputError(
            f"{path}: not valid JSON ({reason}); it may be cut short: make or fetch it again"
        ) from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file; InputError where it is missing, unreadable or not JSON."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that makes it first") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    return parse_json(data, path)


def is_inside(name: str) -> bool:
    """Whether a relative path, with slashes, leads to something below the folder it starts in."""
    path = PurePosixPath(name)
    return (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\\" not in name
        and name.isprintable()
    )

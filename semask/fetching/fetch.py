"""Files from the network: what is known of them, fetched, resumed, checked by digest."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from semask.base.errors import InputError
from semask.base.files import atomically, looks, read_json, sha256, write_atomically
from semask.fetching.pins import pin, read_pins


@dataclass(frozen=True)
class Source:
    """A file that can be fetched.

    The URL `drive:ID` is a file on Google Drive, `cityscapes:PACKAGE` a package of the Cityscapes
    site, which wants a login.
    """

    name: str  # to keep it under
    url: str
    size: int | None = None  # bytes, None where unknown
    digest: str | None = None  # `algorithm:hexadecimal`; one that nobody published is pinned
    digest_from: str | None = None  # who says so
    folders: tuple[str, ...] = ()  # of an archive, the leading ones that are wanted; empty for all


ALGORITHMS = ("md5", "sha1", "sha256", "sha384")
"""Digests that a source may have."""


def fetch(
    source: Source,
    target: Path,
    *,
    lock: Path,
    mirrors: Mapping[str, str],
    check: Callable[[Path], None] | None = None,
) -> str:
    """Fetches a file, unless it is there, checks it, and gives `sha256:` and 64 hexadecimal digits.

    What was fetched lies in a folder beside the target until it is whole and right, so a cut costs
    only the rest. A file that is there is checked, never replaced. Where nobody published a digest,
    that of the first file is pinned in `lock` (JSON, made if need be), and said so on standard
    output. What is pinned there outranks what others published. `mirrors` are starts of URLs → what
    to put in their place. `check` raises InputError for a file that is of no use; it is asked
    before a digest is pinned.

    Raises:
        InputError: the file cannot be had, or is another one than published or pinned: names both
            digests. A wrong file that was fetched is removed, one that was there is not.
    """
    try:
        return _fetch(source, target, lock, mirrors, check)
    except Timeout:
        raise InputError(f"{target}: another process is fetching it; wait for that one") from None
    except OSError as fault:
        raise InputError(
            f"{target}: cannot be fetched to ({fault.strerror}: {fault.filename}); check the "
            "folder and its permissions"
        ) from None


def check_there(
    source: Mapping[str, Any] | None, path: Path, lock: Path, check: Callable[[Path], None]
) -> str | None:
    """Checks a published file before it is used, if it is one: it may have been put there by hand.

    Nothing is fetched. `source` is a `Source` as a mapping; one that nobody published a digest of
    is pinned in the lock file at first, after `check`, as `fetch` does. A file beside it remembers
    what was right: it is not read again while its size, time and inode stay, and what it should be.
    Gives what `fetch` does; None where nobody published it, or it is not there.

    Raises:
        InputError: it is another file than published or pinned.
    """
    if source is None or not path.is_file():
        return None
    known, memory = Source(**source), path.with_name(f".{path.name}.checked.json")
    now = looks(path)
    with suppress(InputError, TypeError, ValueError):
        digest, expected, *before = read_json(memory)
        if expected is not None and [expected, *before] == [_expected(known, lock)[0], *now]:
            return str(digest)
    digest = fetch(known, path, lock=lock, mirrors={}, check=check)
    if looks(path) == now:
        with suppress(OSError):  # then it is read again
            write_atomically(memory, json.dumps([digest, _expected(known, lock)[0], *now]) + "\n")
    return digest


def _fetch(
    source: Source,
    target: Path,
    lock: Path,
    mirrors: Mapping[str, str],
    check: Callable[[Path], None] | None,
) -> str:
    expected, said_by = _expected(source, lock)
    algorithm, by_lock = (expected or "sha256").partition(":")[0], said_by == str(lock)
    is_known = expected is not None

    def checked(path: Path, named: str, advice: str) -> str:
        """SHA-256 of a file, in hexadecimal, after a look at whether it is the right one."""
        size = path.stat().st_size
        if size == 0:
            raise InputError(f"{named}: is empty; {advice}")
        if by_lock:
            advice += f"; if this is the right file, remove its entry in {lock}"
        with open(path, "rb") as file:
            if _looks_like_page(file.read(1024)):
                raise InputError(
                    f"{named}: is a web page in place of the file, perhaps one that asks for a "
                    f"login; {advice}"
                )
        found = _digests(path, {"sha256", algorithm})
        # a pin outranks what others published, their size too
        outranked = expected is not None and by_lock
        if source.size is not None and size != source.size and not outranked:
            raise InputError(
                f"{named}: has {size} bytes, expected {source.size} ({said_by}); {advice}"
            )
        if expected is None:
            if check is not None:
                check(path)
        elif f"{algorithm}:{found[algorithm]}" != expected:
            raise InputError(
                f"{named}: has {algorithm}:{found[algorithm]}, expected {expected} ({said_by}); "
                f"{advice}"
            )
        return found["sha256"]

    if target.exists():
        digest = checked(target, str(target), "move it away, run again")
        if not is_known:
            _pin(source, target, digest, lock)
        return f"sha256:{digest}"
    folder = target.with_name(f".{target.name}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock", timeout=0):
        if target.exists():  # since the look above
            shutil.rmtree(folder, ignore_errors=True)
            return _fetch(source, target, lock, mirrors, check)
        file = folder / "complete"
        vouched = None
        named = f"{source.name} from {source.url}"
        if not file.exists():
            print(f"{source.name}: fetching {source.url}", flush=True)
            file, vouched = _transfer(source, target, folder, is_known, mirrors)
        try:
            digest = checked(file, named, "run again to fetch it anew")
        except InputError as fault:
            if not vouched or by_lock:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            # the file's own site knows better than a third party
            print(f"{str(fault).rpartition('; ')[0]}. {vouched}: taken.", flush=True)
            digest, is_known = sha256(file), False
        if not is_known:
            _pin(source, file, digest, lock)
        with atomically(target) as temporary:
            os.replace(file, temporary)
        shutil.rmtree(folder, ignore_errors=True)
    return f"sha256:{digest}"


def _expected(source: Source, lock: Path) -> tuple[str | None, str]:
    """Digest that a file should have, and who says so."""
    pins = read_pins(lock)
    if source.name in pins:
        return f"sha256:{pins[source.name]['sha256']}", str(lock)
    if source.digest is None:
        return None, str(lock)
    algorithm, _, digits = source.digest.partition(":")
    if algorithm not in ALGORITHMS or len(digits) != 2 * hashlib.new(algorithm).digest_size:
        raise InputError(
            f"{source.name}: {source.digest!r} is no digest; write ALGORITHM:HEXADECIMAL with one "
            f"of {', '.join(ALGORITHMS)}"
        )
    return source.digest.lower(), source.digest_from or "published"


def _transfer(
    source: Source, target: Path, folder: Path, digest_known: bool, mirrors: Mapping[str, str]
) -> tuple[Path, str | None]:
    """Fetched file, and what its own site says of it."""
    # imported here: data sets name their sources without the network libraries
    if source.url.startswith("cityscapes:"):
        from semask.fetching.cityscapes_site import fetch_package

        package = source.url.removeprefix("cityscapes:")
        fetched, md5 = fetch_package(package, folder, mirrors=mirrors)
        return fetched, f"The site's own md5:{md5} agrees with the file"
    from semask.fetching.transfer import transfer

    file = folder / "complete"
    transfer(
        source.url,
        file,
        size=source.size,
        digest_known=digest_known,
        mirrors=mirrors,
        instead=target,
    )
    return file, None


def _looks_like_page(start: bytes) -> bool:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--"))


def _digests(path: Path, algorithms: set[str]) -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            for known in hashes.values():
                known.update(chunk)
    return {name: known.hexdigest() for name, known in hashes.items()}


def _pin(source: Source, path: Path, digest: str, lock: Path) -> None:
    why = "no digest is published; " if source.digest is None else ""
    size = path.stat().st_size
    pin(lock, source.name, url=source.url, size=size, sha256=digest, why=why)

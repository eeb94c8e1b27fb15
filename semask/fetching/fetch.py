"""Files from the network: what is known of them, fetched, resumed, checked by digest."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from semask.base.errors import InputError
from semask.base.files import atomically
from semask.fetching.pins import pin, read_pins


@dataclass(frozen=True)
class Source:
    """A file that can be fetched.

    Attributes:
        name: file name to keep it under.
        url: where it is; `drive:ID` is a file on Google Drive, `cityscapes:PACKAGE` a package of
            the Cityscapes site, which wants a login.
        size: bytes, None where unknown.
        digest: `algorithm:hexadecimal`, None where nobody published one: pinned on first use.
        digest_from: who says so.
        folders: of an archive, the leading folders that are wanted; empty for all of it.
    """

    name: str
    url: str
    size: int | None = None
    digest: str | None = None
    digest_from: str | None = None
    folders: tuple[str, ...] = ()


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
    """Fetches a file, unless it is there, and checks it.

    What was fetched lies in a folder beside the target until it is whole and right, so a cut costs
    only the rest. Where nobody published a digest, that of the first file is pinned in the lock
    file, and said so on standard output. What the lock file has outranks what others published.

    Args:
        source: the file. One of the Cityscapes site needs a login, see
        `semask.fetching.cityscapes_site`.
        target: where to put it. A file that is there is checked, never replaced.
        lock: lock file of pinned digests (JSON), made if need be.
        mirrors: starts of URLs → what to put in their place.
        check: raises InputError for a file that is of no use; asked before a digest is pinned.

    Returns:
        `sha256:` and 64 hexadecimal digits.

    Raises:
        InputError: the file cannot be had, or is another one than published or pinned: names both
            digests. A wrong file that was fetched is removed, one that was there is not.
    """
    try:
        return _fetch(source, target, lock, mirrors, check or _no_check)
    except OSError as fault:
        raise InputError(
            f"{target}: cannot be fetched to ({fault.strerror}: {fault.filename}); check the "
            "folder and its permissions"
        ) from None


def _no_check(path: Path) -> None:
    """Takes any file."""


def _fetch(
    source: Source,
    target: Path,
    lock: Path,
    mirrors: Mapping[str, str],
    check: Callable[[Path], None],
) -> str:
    expected, said_by = _expected(source, lock)
    if target.exists():
        found = _check(
            source, target, str(target), expected, said_by, "move it away, run again", lock
        )
        if expected is None:
            check(target)
        return _pinned(source, target, found, expected, lock)
    folder = target.with_name(f".{target.name}.partial")
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder, target):
        file = folder / "complete"
        vouched = None
        named = f"{source.name} from {source.url}"
        if not file.exists():
            print(f"{source.name}: fetching {source.url}", flush=True)
            file, vouched = _transfer(source, target, folder, expected is not None, mirrors)
        try:
            found = _check(
                source, file, named, expected, said_by, "run again to fetch it anew", lock
            )
            if expected is None:
                check(file)
        except InputError as fault:
            if not vouched or said_by == str(lock):
                shutil.rmtree(folder, ignore_errors=True)
                raise
            # the file's own site knows better than a third party
            print(f"{str(fault).rpartition('; ')[0]}. {vouched}: taken.", flush=True)
            found, expected = _digests(file, {"sha256"}), None
        digest = _pinned(source, file, found, expected, lock)
        with atomically(target) as temporary:
            os.replace(file, temporary)
        shutil.rmtree(folder, ignore_errors=True)
    return digest


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

    fetched = transfer(
        source.url,
        folder / "complete",
        size=source.size,
        digest_known=digest_known,
        mirrors=mirrors,
        instead=target,
    )
    return fetched, None


def _check(
    source: Source,
    path: Path,
    named: str,
    expected: str | None,
    said_by: str,
    advice: str,
    lock: Path,
) -> dict[str, str]:
    """Digests of a file, by algorithm, after a look at whether it is the right one."""
    from semask.fetching.transfer import looks_like_page

    size = path.stat().st_size
    if size == 0:
        raise InputError(f"{named}: is empty; {advice}")
    if said_by == str(lock):
        advice += f"; if this is the right file, remove its entry in {lock}"
    with open(path, "rb") as file:
        if looks_like_page(file.read(1024)):
            raise InputError(
                f"{named}: is a web page in place of the file, perhaps one that asks for a login; "
                f"{advice}"
            )
    found = _digests(path, {"sha256", (expected or "sha256").partition(":")[0]})
    if source.size is not None and size != source.size:
        raise InputError(f"{named}: has {size} bytes, expected {source.size} ({said_by}); {advice}")
    if expected is not None:
        algorithm = expected.partition(":")[0]
        if f"{algorithm}:{found[algorithm]}" != expected:
            raise InputError(
                f"{named}: has {algorithm}:{found[algorithm]}, expected {expected} ({said_by}); "
                f"{advice}"
            )
    return found


def _digests(path: Path, algorithms: set[str]) -> dict[str, str]:
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with open(path, "rb") as file:
        while chunk := file.read(2**20):
            for known in hashes.values():
                known.update(chunk)
    return {name: known.hexdigest() for name, known in hashes.items()}


def _pinned(
    source: Source, path: Path, found: Mapping[str, str], expected: str | None, lock: Path
) -> str:
    """The file's SHA-256, pinned where no other digest is known."""
    if expected is None:
        added = pin(
            lock,
            source.name,
            {
                "url": source.url,
                "size": path.stat().st_size,
                "sha256": found["sha256"],
                "pinned": datetime.now(UTC).date().isoformat(),
            },
        )
        if added:
            why = "no digest is published; " if source.digest is None else ""
            print(
                f"{source.name}: {why}pinned sha256:{found['sha256']} in {lock}: commit this file",
                flush=True,
            )
    return f"sha256:{found['sha256']}"


@contextmanager
def _alone(folder: Path, target: Path) -> Iterator[None]:
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise InputError(f"{target}: another process is fetching it; wait for that one") from None

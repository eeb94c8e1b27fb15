"""A data set from its archives: fetched, unpacked, and not once more than needed."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from semask.base.errors import InputError
from semask.base.files import make_folder, read_json, write_atomically
from semask.fetching.archives import check_archive, extract
from semask.fetching.fetch import Source, fetch
from semask.fetching.pins import pin, read_pins

FOLDER = ".download"
"""Folder in a data set's root: archives on their way, and what has been unpacked."""

_ENTRY_KEYS = {"name", "url", "digest", "sha256", "size", "files"}


def download(
    sources: Iterable[Source], root: Path, *, lock: Path, mirrors: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Fetches and unpacks zip archives below `root`, leaving out those that were unpacked before.

    An archive is deleted when it is unpacked. A leading folder that has the archive's name is left
    out: ADEChallengeData2016.zip gives `root`/images, not `root`/ADEChallengeData2016/images.
    `root`/.download/unpacked.json says what was unpacked. For `lock` and `mirrors` see
    `semask.fetching.fetch.fetch`. Each archive's answer has name, url, digest (as published, or
    None), sha256, size (bytes) and files.

    Raises:
        InputError: as `semask.fetching.fetch.fetch` and `semask.fetching.archives.extract`, or
            `root` was unpacked from another archive than the lock file pins.
    """
    folder = root / FOLDER
    make_folder(folder, "give a folder that can be written to (dataset.root)")
    marker = folder / "unpacked.json"
    try:
        with FileLock(folder / "lock", timeout=0):
            return [_one(source, root, marker, lock, mirrors) for source in sources]
    except Timeout:
        raise InputError(f"{root}: another process is downloading it; wait for that one") from None


def _one(
    source: Source, root: Path, marker: Path, lock: Path, mirrors: Mapping[str, str]
) -> dict[str, Any]:
    unpacked = read_json(marker) if marker.exists() else {}
    if not isinstance(unpacked, dict):
        raise InputError(f"{marker}: not a list of unpacked archives; delete it to unpack again")
    known = unpacked.get(source.name)
    if known is not None and not (isinstance(known, dict) and known.keys() >= _ENTRY_KEYS):
        raise InputError(f"{marker}: {source.name}: damaged; delete it to unpack again")
    if known and known["digest"] == source.digest:
        if source.digest is None:
            pinned = read_pins(lock).get(source.name)
            if pinned is None:
                pin(lock, source.name, **{key: known[key] for key in ("url", "size", "sha256")})
            elif pinned["sha256"] != known["sha256"]:
                raise InputError(
                    f"{root}: was unpacked from {source.name} with sha256:{known['sha256']}, {lock}"
                    f" pins sha256:{pinned['sha256']}; empty the folder (with {marker}) to fetch "
                    "the pinned one"
                )
        return known
    archive = root / FOLDER / source.name
    digest = fetch(source, archive, lock=lock, mirrors=mirrors, check=check_archive)
    print(f"{source.name}: unpacking into {root}", flush=True)
    unpacked[source.name] = {
        "name": source.name,
        "url": source.url,
        "digest": source.digest,
        "sha256": digest.removeprefix("sha256:"),
        "size": archive.stat().st_size,
        "files": extract(archive, root, strip=True, only=source.folders),
    }
    write_atomically(marker, json.dumps(unpacked, indent=2, sort_keys=True) + "\n")
    archive.unlink()
    return unpacked[source.name]

"""The lock file: digests of files that nobody published one for, as found at the first download."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from semask.base.errors import InputError
from semask.base.files import read_json, write_atomically

_HEX_DIGITS = 64


def read_pins(lock: Path) -> dict[str, dict[str, Any]]:
    """What a lock file pins.

    Args:
        lock: JSON file; one that is not there yet pins nothing.

    Returns:
        By file name: url, size (bytes), sha256 (hexadecimal), pinned (date, ISO 8601).

    Raises:
        InputError: the file is unreadable or holds something else.
    """
    if not lock.exists():
        return {}
    try:
        pins = read_json(lock)
    except InputError as fault:
        raise InputError(
            f"{str(fault).partition('; ')[0]}; restore the file from its last commit"
        ) from None
    if not isinstance(pins, dict):
        raise InputError(f"{lock}: not a lock file of downloads; restore it from its last commit")
    for name, pin in pins.items():
        digest = pin.get("sha256") if isinstance(pin, dict) else None
        if not isinstance(digest, str) or not _is_sha256(digest):
            raise InputError(
                f"{lock}: {name} has no sha256 of {_HEX_DIGITS} hexadecimal digits; restore the "
                "file from its last commit, or remove this entry to pin the file anew"
            )
    return pins


def _is_sha256(digest: str) -> bool:
    return len(digest) == _HEX_DIGITS and set(digest) <= set("0123456789abcdef")


def pin(lock: Path, name: str, entry: Mapping[str, Any]) -> bool:
    """Adds a file to the lock file, unless it is there.

    Several processes may do so at once. Lines are sorted, so that commits differ little.

    Returns:
        Whether the file was added.

    Raises:
        InputError: the lock file holds another digest of this file, or is unreadable.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock.with_name(f".{lock.name}.lock")):
        pins = read_pins(lock)
        if name in pins:
            if pins[name]["sha256"] != entry["sha256"]:
                raise InputError(
                    f"{name}: has sha256:{entry['sha256']}, {lock} pins "
                    f"sha256:{pins[name]['sha256']}; remove its entry there to pin it anew"
                )
            return False
        pins[name] = dict(entry)
        write_atomically(lock, json.dumps(pins, indent=2, sort_keys=True) + "\n")
    return True

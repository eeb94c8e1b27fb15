"""The lock file: digests of files that nobody published one for, as found at the first download."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from semask.base.errors import InputError
from semask.base.files import read_json, write_atomically


def read_pins(lock: Path) -> dict[str, dict[str, Any]]:
    """What a lock file, JSON, pins; one that is not there yet pins nothing.

    Of each file name it has url, size (bytes), sha256 (hexadecimal) and pinned (date, ISO 8601).

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
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            raise InputError(
                f"{lock}: {name} has no sha256 of 64 hexadecimal digits; restore the file from "
                "its last commit, or remove this entry to pin the file anew"
            )
    return pins


def pin(lock: Path, name: str, *, url: str, size: int, sha256: str, why: str = "") -> None:
    """Adds a file to the lock file, unless it is there, and says so on standard output, and `why`.

    Several processes may do so at once. Lines are sorted, so that commits differ little.

    Raises:
        InputError: the lock file holds another digest of this file, or is unreadable.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock.with_name(f".{lock.name}.lock")):
        pins = read_pins(lock)
        if name in pins:
            if pins[name]["sha256"] != sha256:
                raise InputError(
                    f"{name}: has sha256:{sha256}, {lock} pins sha256:{pins[name]['sha256']}; "
                    "remove its entry there to pin it anew"
                )
            return
        today = datetime.now(UTC).date().isoformat()
        pins[name] = {"url": url, "size": size, "sha256": sha256, "pinned": today}
        write_atomically(lock, json.dumps(pins, indent=2, sort_keys=True) + "\n")
    print(f"{name}: {why}pinned sha256:{sha256} in {lock}: commit this file", flush=True)

"""The work directory of a training run: what it needs to go on after an interruption.

It lies outside the outputs that Snakemake knows, since Snakemake deletes the outputs of a failed
job. One trainer at a time holds it; it belongs to one recipe; it goes when the run is complete.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from semask.errors import InputError
from semask.files import atomically, read_json, write_atomically
from semask.recipe import differing_keys

LOG = "log.jsonl"
BEST = "best.safetensors"
LAST = "last.safetensors"
_IDENTITY = "run.json"
_CHECKPOINT = "checkpoint.pt"


def open_workdir(path: Path, identity: Mapping[str, Any]) -> FileLock:
    """Take a work directory for a run, making it if need be.

    Args:
        path: the folder.
        identity: everything that must be the same for a run to go on from its checkpoint.

    Returns:
        The lock, held; it goes with the process.

    Raises:
        InputError: another trainer holds the folder, or it belongs to another run.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{path}: another training process works in this folder; wait for it or stop it"
        ) from None
    identity = json.loads(json.dumps(identity))
    known = path / _IDENTITY
    if known.exists() and (path / _CHECKPOINT).exists():
        differing = differing_keys(read_json(known), identity)
        if differing:
            raise InputError(
                f"{path}: holds an unfinished run that differs in {', '.join(differing)}; "
                "restore the config to finish it, or delete the folder to give it up"
            )
    else:
        write_atomically(known, json.dumps(identity, indent=1) + "\n")
    return lock


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Save what `load_checkpoint` gives back, whole or not at all."""
    with atomically(path / _CHECKPOINT) as temporary:
        torch.save(dict(state), temporary)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The last checkpoint, on the host; None where the run has none yet.

    Raises:
        InputError: the file is damaged.
    """
    file = path / _CHECKPOINT
    if not file.exists():
        return None
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as fault:
        raise InputError(
            f"{file}: cannot be read ({type(fault).__name__}); delete {path} to start again"
        ) from fault


def deliver(path: Path, outputs: Mapping[str, Path]) -> None:
    """Copy files of the work directory to where they belong, each whole or not at all.

    Args:
        path: the work directory.
        outputs: target of each file, by its name in the work directory.
    """
    for name, target in outputs.items():
        with atomically(target) as temporary:
            shutil.copyfile(path / name, temporary)

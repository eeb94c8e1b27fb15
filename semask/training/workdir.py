"""The work directory of a training run: what it needs to go on after an interruption.

It lies outside the outputs that Snakemake knows, since Snakemake deletes the outputs of a failed
job. One trainer at a time holds it; it belongs to one recipe. Its files:

    lock                        held by the trainer
    run.json                    whose directory it is
    log.jsonl                   the log so far
    checkpoints/ITERATION.pt    the newest ones, see `semask.training.keeping`
    weights/ITERATION.safetensors   those that checkpoints call the best or the last
    train.json                  the record, once the run is complete
    given_up                    why trying again is of no use
    running                     while a trainer works, and after one that was killed
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from semask.base.errors import BusyError, GivenUpError, InputError
from semask.base.files import atomically, read_json, sha256, write_atomically
from semask.base.records import read_record
from semask.config.recipe import differing_keys
from semask.training.run import VALIDATION, Run

LOG = "log.jsonl"
CHECKPOINTS = "checkpoints"
WEIGHTS = "weights"
RECORD = "train.json"
IDENTITY = "run.json"
_GIVEN_UP = "given_up"
_RUNNING = "running"


def open_workdir(path: Path, identity: Mapping[str, Any]) -> FileLock:
    """Take a work directory for a run, making it if need be.

    `identity` is everything that must be the same for a run to go on from its checkpoints. The lock
    is held; it goes with the process.

    Raises:
        BusyError: another trainer holds the folder.
        InputError: it belongs to another run.
    """
    path.mkdir(parents=True, exist_ok=True)
    lock = _locked(path)
    identity = json.loads(json.dumps(identity))
    known = path / IDENTITY
    if checkpoint_files(path) and (differing := _differing(known, identity)):
        raise InputError(
            f"{path}: holds an unfinished run that differs in {', '.join(differing)}; "
            "restore the config and the data to finish it, or delete the folder to give it up"
        )
    write_atomically(known, json.dumps(identity, indent=1) + "\n")
    return lock


def _locked(path: Path) -> FileLock:
    lock = FileLock(path / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BusyError(
            f"{path}: another training process works in this folder; wait for it or stop it"
        ) from None
    return lock


def _differing(known: Path, identity: Mapping[str, Any]) -> list[str]:
    try:
        content = read_json(known)
    except InputError:
        content = None
    if not isinstance(content, dict):
        raise InputError(
            f"{known}: gone, or not what a trainer wrote; restore it, or delete {known.parent} to "
            "start again"
        )
    # Older trainers did not note it. Refused, days of training could not be finished by anything;
    # taken for that of now, at worst older labels chose the best weights, which the stage
    # `evaluate` scores by those of now all the same.
    if VALIDATION in identity:
        content.setdefault(VALIDATION, identity[VALIDATION])
    return differing_keys(content, identity)


@contextmanager
def running(path: Path) -> Iterator[bool]:
    """Context of a trainer at work; yields whether the one before was killed.

    A trainer that is killed cannot say so: the next one does.
    """
    note = path / _RUNNING
    killed = note.exists()
    note.touch()
    try:
        yield killed
    finally:
        note.unlink(missing_ok=True)


def is_running(path: Path) -> bool:
    """Whether a trainer is at work, or was killed and no other one has come since."""
    return (path / _RUNNING).exists()


def checkpoint_files(path: Path) -> list[Path]:
    """Checkpoints in a work directory, the newest one first."""
    return sorted((path / CHECKPOINTS).glob("[0-9]*.pt"), reverse=True)


def drop_half_written(path: Path) -> None:
    """Drop what a try that was killed was writing: each file may be as large as a checkpoint."""
    for folder in (CHECKPOINTS, WEIGHTS):
        for file in (path / folder).glob(".*.tmp*"):
            file.unlink(missing_ok=True)


def checkpoint_file(path: Path, iteration: int) -> Path:
    return path / CHECKPOINTS / f"{iteration:09}.pt"


def weights_file(path: Path, iteration: int) -> Path:
    """Where the weights after an iteration are kept."""
    return path / WEIGHTS / f"{iteration:09}.safetensors"


def complete(run: Run, files: Mapping[str, Path]) -> None:
    """Bring a run's files, record last, to where they belong, and drop its checkpoints.

    The run is complete once its record is in the work directory: from then on the files, by the
    names of the outputs, are only copied, as often as need be.
    """
    copies = [(files[name], target) for name, target in run.outputs.items()]
    for source, target in [*copies, (run.work / RECORD, run.record)]:
        with atomically(target) as temporary:
            shutil.copyfile(source, temporary)
    shutil.rmtree(run.work / CHECKPOINTS, ignore_errors=True)


def deliver_again(run: Run, code_digest: str) -> bool:
    """Bring the files of a run to where they belong, if its work directory holds it complete.

    There is one where Snakemake did not live to note that the run had ended: it deletes the
    outputs and starts the run again, perhaps because other settings are asked for. `code_digest` is
    of the code that would train: a run of other code is not taken. Says whether it was done; if
    not, a complete run that is of no use is forgotten.
    """
    if not (run.work / RECORD).exists():
        return False
    # its checkpoints may be there yet: they are of no more use, whosoever they are
    lock = _locked(run.work)
    try:
        files = _files_of_complete(run, code_digest)
        if files is not None:
            complete(run, files)
            return True
        (run.work / RECORD).unlink(missing_ok=True)
        for folder in (CHECKPOINTS, WEIGHTS):
            shutil.rmtree(run.work / folder, ignore_errors=True)
        (run.work / LOG).unlink(missing_ok=True)
        return False
    finally:
        lock.release()


def _files_of_complete(run: Run, code_digest: str) -> dict[str, Path] | None:
    try:
        record = read_record(run.work / RECORD, "train")
        figures = record["figures"]
        iterations = {name: figures[name]["iteration"] for name in record["weights_digest"]}
        files = {name: weights_file(run.work, number) for name, number in iterations.items()}
        intact = all(sha256(files[n]) == digest for n, digest in record["weights_digest"].items())
        same_code = record["run"]["code_digest"] == code_digest
        if intact and same_code and run.is_answered_by(record):
            return {"log": run.work / LOG, **files}
    except (InputError, OSError, KeyError, TypeError):
        pass
    return None


def clear(path: Path, delivered: bool) -> None:
    """Remove what is of no use any more once a run's command has ended for good.

    That is all of a run that is complete and was delivered, its record being where it belongs, and
    of another run the note why it was given up.
    """
    if (path / RECORD).is_file() and delivered:
        shutil.rmtree(path, ignore_errors=True)
    (path / _GIVEN_UP).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()  # if that was all


def refuse_given_up(path: Path, attempt: int) -> None:
    """Refuse to try a run again that failed of what another attempt cannot cure.

    Snakemake tries a failed job again, whatever it failed of: a run that was killed goes on, one
    whose input is wrong says so once. Attempts are counted from 1.

    Raises:
        GivenUpError: an earlier attempt of the same job was given up.
    """
    note = path / _GIVEN_UP
    if attempt > 1 and note.exists():
        raise GivenUpError(note.read_text(encoding="utf-8").strip())
    note.unlink(missing_ok=True)


@contextmanager
def noting_faults(path: Path) -> Iterator[None]:
    """Context in which a fault that another attempt cannot cure is noted in the work directory."""
    try:
        yield
    except (BusyError, GivenUpError):
        raise
    except InputError as fault:
        with suppress(OSError):
            write_atomically(path / _GIVEN_UP, f"{fault}\n")
        raise

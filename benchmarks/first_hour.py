"""The first minutes on a machine with a GPU: is it right, how fast is it, where does time go.

Each part is a process of its own with a time limit, all of them within a budget; those that time
nothing run beside one another first, the others then, alone. What a part finds is in
OUTPUT/first_hour.json as soon as it is there; what it prints, in OUTPUT/first_hour-PART.log. A part
that fails or runs out of time is noted as such, and the others go on. No network is needed.
`--device cpu --quick` tries it out without a GPU.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import pairing
from benchmarks.gpu import compiling, graphs, loading, parity, profiling, scoring, smoke, train
from benchmarks.gpu.ways import Keep, Left, NotRunError
from benchmarks.pairing import one_line
from semask.base.errors import InputError
from semask.base.files import read_json, write_atomically
from semask.base.provenance import code_version, now
from semask.base.signals import end_with_parent
from semask.devices import description, presence

NAME = "first_hour.json"

# the function, and the seconds that it may take at most; by worth, but for what goes first
PARTS: dict[str, tuple[Callable[[argparse.Namespace, Keep, Left], None], float]] = {
    "compiling": (compiling.measure, 150),
    "parity": (parity.measure, 150),
    "smoke": (smoke.measure, 150),
    "train": (train.measure, 130),
    "profile": (profiling.measure, 80),
    "evaluation": (scoring.measure, 60),
    "input": (lambda *given: loading.measure(*given, _rows_of_training(given[0])), 90),
    "graphs": (graphs.measure, 90),
}
# what they find is no time of the device, and most of what they take is a few cores'
_BESIDE = ("compiling", "parity", "smoke")
# they lock the device, which is this program's, against runs of their own
_LOCKING = ("parity", "smoke")
_RUNNING: list[subprocess.Popen[bytes]] = []
_LEAST = 5  # seconds under which no part is begun
_TOLD = 15  # last lines of what a failed part printed
_FAILED, _NOTHING = 1, 3  # exit statuses of a part; 3: there is nothing to run


def main() -> None:
    arguments = _parse()
    arguments.output = arguments.output.absolute()
    path = arguments.output / NAME
    if arguments.part:
        _part(arguments, path)
        return
    try:
        presence.reserve(arguments.device, 1, "--device")
    except InputError as fault:
        raise SystemExit(f"error: {fault}") from None
    ends = time.time() + arguments.budget
    _begin(arguments, path)
    chosen = [name for name in arguments.only or PARTS if name not in arguments.skip]
    for name in PARTS:  # in their order, however they were named
        if name not in chosen:
            _note(path, name, state="not run", reason="left out by --only or --skip")
    run = partial(_run, arguments=arguments, path=path, ends=ends)
    with ThreadPoolExecutor(len(_BESIDE)) as beside:
        try:
            list(beside.map(run, [name for name in _BESIDE if name in chosen]))
        except BaseException:  # a part is in a session of its own, where Ctrl-C does not come
            for process in list(_RUNNING):
                _kill_group(process)
            raise
    for name in PARTS:
        if name in chosen and name not in _BESIDE:
            run(name)
    with _changed(path) as content:
        content["ended"] = now()
    print(f"kept in {path}", flush=True)


def _begin(arguments: argparse.Namespace, path: Path) -> None:
    """Writes the file with what is known before; one of an earlier call is put aside."""
    if path.exists():
        aside = f"{path.stem}-{read_json(path).get('started', 'earlier').replace(':', '')}"
        for log in filter(Path.exists, (_log(path, name) for name in PARTS)):
            log.rename(path.with_name(log.name.replace(path.stem, aside, 1)))
        path.rename(path.with_stem(aside))
    machine = description.describe(arguments.device)
    left_out = ("output", "part", "until")
    content = {
        "benchmark": "first_hour",
        "settings": {k: v for k, v in vars(arguments).items() if k not in left_out},
        "started": now(),
        "ended": None,
        "code_version": code_version(),
        "device": machine["name"],
        "driver": machine["driver"],
        "torch": machine["torch"],
        "machine": machine,
        "parts": {name: {"state": "not run", "reason": "not reached"} for name in PARTS},
    }
    write_atomically(path, _json(content))


def _run(name: str, arguments: argparse.Namespace, path: Path, ends: float) -> None:
    """Runs a part as a process of its own, and notes and prints how it ended."""
    left = ends - time.time()
    if left < _LEAST:
        _note(path, name, state="not run", reason="the budget was spent")
    else:
        _attend(name, min(left - 1, arguments.limit.get(name, PARTS[name][1])), path)
    part = read_json(path)["parts"][name]
    print(f"{name}: {part['state']}. {part.get('reason') or ''}".rstrip(), flush=True)


def _attend(name: str, limit: float, path: Path) -> None:
    begun = time.time()
    # not the reason of the state before
    _note(path, name, state="running", reason=None, limit=round(limit), started=now())
    command = [sys.executable, "-m", "benchmarks.first_hour", *sys.argv[1:]]
    command += ["--part", name, "--until", str(begun + limit)]
    log = _log(path, name)
    # threads that wait by turning round take the cores from what runs beside: measured on two
    # cores, 105 seconds in place of 14
    environment = {**os.environ, **({"OMP_WAIT_POLICY": "passive"} if name in _BESIDE else {})}
    with ExitStack() as stack:
        if name in _LOCKING:
            folder = TemporaryDirectory(prefix=f"semask-{name}-", ignore_cleanup_errors=True)
            environment["TMPDIR"] = stack.enter_context(folder)
        output = stack.enter_context(open(log, "wb"))
        process = subprocess.Popen(
            command,
            cwd=smoke.REPOSITORY,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        _RUNNING.append(process)
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            # with all that it started
            _kill_group(process)
            _RUNNING.remove(process)
    printed = log.read_bytes().decode(errors="replace").splitlines()
    ended: dict[str, Any] = {"state": "done"}
    if status is None:
        ended = {"state": "out of time", "reason": f"not done within {limit:.0f} seconds"}
    elif status == _NOTHING:
        ended = {"state": "not run", "reason": printed[-1]}
    elif status:
        last = next((line for line in reversed(printed) if line.strip()), "it printed nothing")
        reason = last if status == _FAILED else f"ended with {status}: {last}"
        ended = {"state": "failed", "reason": reason, "printed": printed[-_TOLD:]}
    _note(path, name, seconds=round(time.time() - begun, 1), **ended)


def _log(path: Path, part: str) -> Path:
    return path.with_name(f"{path.stem}-{part}.log")


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _part(arguments: argparse.Namespace, path: Path) -> None:
    """A part, in this process; a fault ends with its traceback and, last, its line."""
    end_with_parent()
    measure, _ = PARTS[arguments.part]
    try:
        measure(
            arguments, partial(_keep, path, arguments.part), lambda: arguments.until - time.time()
        )
    except NotRunError as why:
        print(why, flush=True)
        raise SystemExit(_NOTHING) from None
    except InputError as fault:
        print(one_line(fault), flush=True)
        raise SystemExit(_FAILED) from None


def _keep(path: Path, part: str, name: str, finding: Any) -> None:
    with _changed(path) as content:
        content["parts"][part].setdefault("found", {})[name] = finding


def _note(path: Path, part: str, **facts: Any) -> None:
    with _changed(path) as content:
        content["parts"][part].update(facts)


@contextmanager
def _changed(path: Path) -> Iterator[dict[str, Any]]:
    """What is kept, to be changed by one process or thread at a time."""
    with open(path.with_name(f".{path.stem}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        content = read_json(path)
        yield content
        write_atomically(path, _json(content))


def _json(content: Any) -> str:
    return json.dumps(content, indent=1) + "\n"


def _rows_of_training(arguments: argparse.Namespace) -> Any:
    """What `train` has kept of the first batch; None of nothing."""
    found = read_json(arguments.output / NAME)["parts"]["train"].get("found", {})
    return found.get(f"batch_{arguments.batches[0]}")


def _parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = pairing.parser(__doc__)
    parser.add_argument("--device", choices=["cpu", "gpu", "npu"], default="gpu")
    parser.add_argument("--variant", default="small")
    parser.add_argument("--crop", type=int, default=768)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 4, 16])
    parser.add_argument("--budget", type=float, default=480, help="seconds for all parts")
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--skip", nargs="+", choices=PARTS, metavar="PART", default=[])
    parser.add_argument(
        "--limit", nargs="+", type=_limit, default=[], metavar="PART=SECONDS", help="of parts"
    )
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.quick:
        # one thread: on few cores more would wait for each other
        parser.set_defaults(variant="nano", crop=64, batches=[2], rounds=1, threads=1)
        arguments = parser.parse_args(words)
    arguments.limit = dict(arguments.limit)
    return arguments


def _limit(text: str) -> tuple[str, float]:
    name, _, seconds = text.partition("=")
    if name not in PARTS:
        raise argparse.ArgumentTypeError(f"{name!r} is no part")
    return name, float(seconds)


if __name__ == "__main__":
    main()

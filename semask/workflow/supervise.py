"""Start a script in several processes by torchrun's own agent, and say how they ended.

    python -m semask.workflow.supervise PROCESSES NODE NODES MEETING MODULE [ARGUMENT ...]

PROCESSES are started here, on node NODE of NODES, and as many on each other node by an agent there;
the agents meet at MEETING: ADDRESS:PORT on node 0, or - where there is one node. The processes of
node 0 come first.

Signals to leave are passed on to the processes, which keep what they have and leave; when one of
them fails, the agent ends the others. The exit status is theirs (`semask.workflow.guard`).
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil

from semask.base import language, startup
from semask.base.errors import INTERRUPTED, InputError, report, report_to
from semask.base.signals import LEAVE
from semask.devices import progress
from semask.devices.addresses import address_towards, bind_collectives, loopback
from semask.devices.launched import MARK

with startup.imports():
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

# seconds after a signal to leave: those that have not met yet are killed; without any, this ends
_IDLE, _ALONE = 30, 3

_asked: list[int] = []
_own_folders: list[str] = []


def main() -> None:
    startup.end_quickly()
    language.print_on()
    here, node, nodes = map(int, sys.argv[1:4])
    meeting, module, *arguments = sys.argv[4:]
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--error-log", type=Path)
    report_to(shared.parse_known_args(arguments)[0].error_log)
    # how the processes end is said below, in one line
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    # as torchrun does; each process then sets its own number of threads
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    _heed_signals(here * nodes)
    # the processes know by it that they are this run's
    os.environ[MARK] = str(os.getpid())
    try:
        address = loopback() if nodes == 1 else address_towards(meeting.rpartition(":")[0])
    except InputError as fault:
        report(f"error: {fault}\n")
        sys.exit(1)
    bind_collectives(address)
    try:
        # torch leaves what it puts there, and makes a folder of its own even for no logs at all
        _own_folders.append(logs := tempfile.mkdtemp(prefix="semask-agent-"))
        # Where all processes of the run say where they are. That of several nodes was made before
        # their agents were started; the first one removes it.
        made = os.environ.get(progress.FOLDER)
        os.environ[progress.FOLDER] = folder = made or tempfile.mkdtemp(prefix="semask-progress-")
        if made is None or node == 0:
            _own_folders.append(folder)
        config = LaunchConfig(
            min_nodes=nodes,
            max_nodes=nodes,
            nproc_per_node=here,
            # the same on all nodes; another run at the same place would be another job's
            run_id=os.environ.get("SLURM_JOB_ID", "") if nodes > 1 else uuid.uuid4().hex,
            # among several nodes the ranks are to be in the nodes' order
            rdzv_backend="static" if nodes > 1 else "c10d",
            rdzv_endpoint=meeting if nodes > 1 else f"{address}:0",
            rdzv_configs={"rank": node} if nodes > 1 else {},
            # else torch publishes this machine's name, which need not have an address
            local_addr=address,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            # of these the agent would end the processes itself, within 30 seconds
            signals_to_handle="SIGQUIT",
        )
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as fault:
        sys.exit(_status_of(fault.failures, here * nodes))
    finally:
        _remove_own_folders()


def _remove_own_folders() -> None:
    for folder in _own_folders:
        shutil.rmtree(folder, ignore_errors=True)


def _heed_signals(processes: int) -> None:
    """Pass signals to leave on, from a thread: this one may wait in torch for other nodes' agents.

    There, Python's handlers do not run; but it is told at once that there was a signal.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    for number in LEAVE:
        signal.signal(number, lambda number, _: _asked.append(number))
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    threading.Thread(target=_pass_on, args=(heard, processes), daemon=True).start()


def _pass_on(heard: int, processes: int) -> None:
    """Pass the first signal to leave on until all are gone: some may not have been started yet.

    They keep what they have first, unless they have only waited for each other so far.
    """
    while (number := os.read(heard, 1)[0]) not in LEAVE:
        pass
    _asked.append(number)
    known = False
    for seconds in count():
        for child in psutil.Process().children():
            known = True
            idle = seconds >= _IDLE and progress.are_starting(processes)
            with suppress(psutil.NoSuchProcess):
                child.send_signal(signal.SIGKILL if idle else number)
        if seconds >= _ALONE and not known:
            report("interrupted: while waiting for the other nodes; run again\n")
            _remove_own_folders()
            os._exit(INTERRUPTED)
        time.sleep(1)


def _status_of(failures: dict[int, ProcessFailure], processes: int) -> int:
    """Exit status for processes that failed; says so of those that could not say it themselves."""
    codes = {rank: failure.exitcode for rank, failure in failures.items()}
    # with SIGTERM the agent ends the others, once one has failed
    first = {rank: code for rank, code in codes.items() if code != -signal.SIGTERM} or codes
    if INTERRUPTED in first.values() or (_asked and all(code < 0 for code in first.values())):
        return INTERRUPTED
    for rank, code in sorted(first.items()):
        if code < 0:
            name = signal.Signals(-code).name
            why = ", perhaps because memory ran out (see dmesg)" if name == "SIGKILL" else ""
            report(f"error: process {rank} of {processes} was ended by {name}{why}; run again\n")
    return 1


if __name__ == "__main__":
    main()

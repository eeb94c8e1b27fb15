"""The processes of a script, one per device, each with a device of its own."""

import argparse
import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask.base import startup
from semask.base.errors import InputError
from semask.base.row_names import row_folder
from semask.devices import conditions, progress, slurm, variables
from semask.devices.launched import MARK, is_launched, shed
from semask.workflow import guard


def enter() -> None:
    """Begin a command that computes on a device: free of what stands around it.

    InputError where a variable is set that would have figures say something else than the config.
    """
    if not is_launched():
        # of another launcher, in whose process this command was typed
        shed(os.environ)
        variables.check()


def launch(
    row: Mapping[str, Any],
    arguments: argparse.Namespace,
    *,
    shared: Path | None = None,
    stall_minutes: float | None = None,
    asked_by: str | None = None,
    alone: bool = False,
) -> None:
    """Start this script once per process of a row, with its arguments, on free devices.

    Returns only in the processes that do the work, from then on watched
    (`semask.devices.progress`); the process that calls it first becomes their supervisor, what
    starts a supervisor on each node, or, for one process on a device that has to be taken, a new
    start of the script.

    Args:
        row: device, processes; planted_fault, if it has one.
        arguments: what the script was given, of which it takes `nodes` (of this Slurm job, over
            which they are spread evenly; 1 for this machine alone), `record` and `stall_minutes`.
        shared: folder that all nodes see, for files that last as long as the processes; the
            record's, if nothing is said.
        stall_minutes: when nothing has moved for so long, the processes are ended; if nothing is
            said, the arguments'.
        asked_by: what in the config asks for them; the row, if nothing is said.
        alone: wait until nothing else that is to be alone runs on this machine.

    Raises:
        InputError: the devices are not there, or the nodes, or a variable is set that would have
            figures say something else than the config.
    """
    device, processes, nodes = row["device"], row["processes"], arguments.nodes
    asked_by = asked_by or f"rows: {row_folder(row)}"
    enter()
    if alone and not is_launched():
        conditions.be_alone()
    if is_launched() or (device == "cpu" and processes == 1):
        minutes = arguments.stall_minutes if stall_minutes is None else stall_minutes
        progress.watch(int(os.environ.get("RANK", 0)), processes, minutes)
        return
    command = [sys.executable, "-m"]
    environment = dict(os.environ)
    if nodes > 1:
        _check_nodes(nodes, asked_by)
        each = slurm.share(processes, nodes, asked_by)
        shared = shared or arguments.record.parent
        shared.mkdir(parents=True, exist_ok=True)
        environment[progress.FOLDER] = tempfile.mkdtemp(prefix=".progress-", dir=shared)
        # the workflow is a process of this machine only
        environment.pop(guard.JOB, None)
        command = [*slurm.on_each(nodes, environment), *command, "semask.workflow.node"]
        command += [device, str(each), str(_free_port()), asked_by]
    else:
        if device != "cpu":
            with startup.imports():  # torch takes seconds to import
                from semask.devices.presence import reserve

            reserve(device, processes, asked_by)
            # what reserve has made visible
            environment = dict(os.environ)
        if processes > 1:
            command += ["semask.workflow.supervise", str(processes), "0", "1", "-"]
        # a library that has counted the devices may not look at the variables again: start afresh
        # by which the new start, or the supervisor's processes, know who launched them
        environment[MARK] = str(os.getpid())
    command.append(f"workflow_scripts.{Path(sys.argv[0]).stem}")
    sys.stdout.flush()
    os.execvpe(command[0], [*command, *sys.argv[1:]], environment)


def _check_nodes(nodes: int, asked_by: str) -> None:
    """Raises InputError where this Slurm job has fewer nodes."""
    number = slurm.job_number()
    found = 1 if number is None else len(slurm.read_job(number).nodes)
    if found < nodes:
        where = "outside a Slurm job there is" if number is None else f"Slurm job {number} has"
        raise InputError(f"{asked_by}: is to run on {nodes} nodes, and {where} {found}")


def _free_port() -> int:
    """A port that nothing listens on now, where the processes of all nodes find each other."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])

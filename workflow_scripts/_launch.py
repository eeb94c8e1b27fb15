"""The processes of a script, one per device, each with a device of its own."""

import os
import sys

from semask import progress
from workflow_scripts import _guard

_LAUNCHED = "SEMASK_LAUNCHED"


def is_launched() -> bool:
    """Whether this is a process that does the work, as opposed to the one that starts it."""
    return _guard.is_one_of_several() or _LAUNCHED in os.environ


def launch(module: str, device: str, processes: int, asked_by: str, stall_minutes: float) -> None:
    """Start a script `processes` times with this script's arguments, on devices that are free.

    Returns only in the processes that do the work, from then on watched (`semask.progress`); the
    process that calls it first becomes their supervisor or, for one process on a device that has to
    be taken, a new start of the script.

    Args:
        module: dotted name of the script.
        device: cpu, gpu or npu.
        processes: how many, all on this machine.
        asked_by: what in the config asks for them.
        stall_minutes: when nothing has moved for so long, the processes are ended.

    Raises:
        InputError: the devices are not there.
    """
    if is_launched() or (device == "cpu" and processes == 1):
        progress.watch(int(os.environ.get("RANK", 0)), processes, stall_minutes)
        return
    if device != "cpu":
        from semask.device import reserve  # torch takes seconds to import

        reserve(device, processes, asked_by)
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["workflow_scripts._supervise", str(processes)]
    sys.stdout.flush()
    # a library that has counted the devices may not look at the variables again: start afresh
    environment = {**os.environ, _LAUNCHED: "1"}
    os.execve(sys.executable, [*command, module, *sys.argv[1:]], environment)

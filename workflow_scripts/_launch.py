"""The processes of a script, one per device, each with a device of its own."""

import ctypes
import os
import signal
import sys

_LAUNCHED = "SEMASK_LAUNCHED"


def launch(module: str, device: str, processes: int, asked_by: str) -> None:
    """Start a script `processes` times with this script's arguments, on devices that are free.

    Returns only in the processes that do the work; the process that calls it first becomes
    torchrun or, for one process on a device that has to be taken, a new start of the script.

    Args:
        module: dotted name of the script.
        device: cpu, gpu or npu.
        processes: how many, all on this machine.
        asked_by: what in the config asks for them.

    Raises:
        InputError: the devices are not there.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _end_with_parent()
        return
    if _LAUNCHED in os.environ:
        return
    if device != "cpu":
        from semask.device import reserve  # torch takes seconds to import

        reserve(device, processes, asked_by)
    elif processes == 1:
        return
    command = [sys.executable, "-m"]
    if processes > 1:
        command += ["torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(processes), "-m"]
    sys.stdout.flush()
    # a library that has counted the devices may not look at the variables again: start afresh
    environment = {**os.environ, _LAUNCHED: "1"}
    os.execve(sys.executable, [*command, module, *sys.argv[1:]], environment)


def _end_with_parent() -> None:
    """Have this process killed when torchrun is gone, which may be killed without a chance to.

    Its processes would go on otherwise, on devices that are free by their locks.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    set_death_signal = 1
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # gone in between
        sys.exit(1)

"""Several processes of one script, one per device."""

import os
import sys


def become_torchrun(module: str, processes: int) -> None:
    """Become torchrun, which starts a script `processes` times with this script's arguments.

    Returns only where there is nothing to start: for one process, and in those that torchrun
    started.

    Args:
        module: dotted name of the script.
        processes: how many, all on this machine.
    """
    if processes == 1 or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--standalone", "--nproc-per-node", str(processes)),
        *("-m", module, *sys.argv[1:]),
    ]
    sys.stdout.flush()
    os.execv(sys.executable, command)

"""The part of a run that one of several Slurm nodes does: as `srun` starts it on each of them.

    python -m semask.workflow.node DEVICE PROCESSES PORT ASKED_BY MODULE [ARGUMENT ...]

PROCESSES are those of this node. On PORT of the machine that called srun all processes meet.
"""

import os
import sys

from semask.base.errors import InputError
from semask.workflow import guard


def main() -> None:
    device, processes, port, asked_by, *script = sys.argv[1:]
    if device != "cpu":
        from semask.devices.presence import reserve

        try:
            reserve(device, int(processes), asked_by)
        except InputError as fault:
            raise InputError(f"{fault} (node {os.environ['SLURMD_NODENAME']})") from fault
    meeting = (
        os.environ["SLURM_NODEID"],
        os.environ["SLURM_NNODES"],
        f"{os.environ['SLURM_LAUNCH_NODE_IPADDR']}:{port}",
    )
    command = [sys.executable, "-m", "semask.workflow.supervise", processes, *meeting, *script]
    os.execve(sys.executable, command, os.environ)


if __name__ == "__main__":
    guard.run(main)

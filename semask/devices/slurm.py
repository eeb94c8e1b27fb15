"""What Slurm has given to the job that this process belongs to.

Slurm tells a process which GPUs are its own by CUDA_VISIBLE_DEVICES. Of devices that only the site
has named, as NPUs are, it says nothing to the process: `scontrol --details show job` has them.
"""

import os
import re
import socket
import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from semask.base.errors import InputError
from semask.base.processes import output_of

# Seconds: a busy controller takes its time, and a job that gives up has waited for nothing
_TIMEOUT = 120
_NODES = re.compile(r"(?<!\S)Nodes=(\S+) CPU_IDs=\S* Mem=\S* GRES=(\S*)")
# npu:910b:8(IDX:0-7), where the type may be missing; (CNT:8) where Slurm knows no files of devices
_GRES = re.compile(r"(\w+)(?::[\w.-]+)*\((?:IDX:([\d,-]+)|CNT:\d+)\)")
# generic resources that are parts of GPUs, or no computing devices
_NO_NPU = re.compile(r"gpu|mps|shard|nic|hca")


class Job(NamedTuple):
    # of each node, in Slurm's order, the indices of its generic resources by their names; none of
    # those that Slurm only counts
    nodes: Mapping[str, Mapping[str, tuple[int, ...]]]
    exclusive: bool  # whether the nodes are the job's alone


def job_number() -> str | None:
    """Id of the Slurm job that this process belongs to; None outside Slurm."""
    return os.environ.get("SLURM_JOB_ID") or None


def read_job(number: str) -> Job:
    """Ask Slurm's controller for a job that runs.

    InputError where scontrol is not there, fails, or says something else.
    """
    printed = _scontrol("--details", "--oneliner", "show", "job", number)
    nodes = {}
    for names, resources in _NODES.findall(printed):
        indices = {name: _expanded(listed) for name, listed in _GRES.findall(resources)}
        for node in _scontrol("show", "hostnames", names).split():
            nodes[node] = indices
    if not nodes:
        raise InputError(
            f"Slurm job {number}: scontrol says nothing of its nodes; start this within a running "
            "job, or unset SLURM_JOB_ID where this is none"
        )
    return Job(nodes, "OverSubscribe=NO" in printed.split())


def _scontrol(*arguments: str) -> str:
    command = ["scontrol", *arguments]
    try:
        return output_of(*command, seconds=_TIMEOUT)
    except (OSError, subprocess.SubprocessError) as fault:
        said = getattr(fault, "stderr", None) or str(fault)
        raise InputError(
            f"{' '.join(command)}: {said.strip().splitlines()[-1]}; the devices of a Slurm job are "
            "read from it: have scontrol on PATH where jobs run"
        ) from fault


def _expanded(listed: str) -> tuple[int, ...]:
    """Numbers of a list like 0-2,5."""
    spans = [part.partition("-") for part in listed.split(",") if part]
    return tuple(n for first, _, last in spans for n in range(int(first), int(last or first) + 1))


def own_devices(device: str) -> list[str] | None:
    """Indices of the devices (gpu or npu) that a Slurm job was given on this node, as strings.

    An NPU may have any name that the site gave it: it is the job's one kind of numbered resource
    that is no GPU. Gives None outside Slurm, and where the whole node is the job's without its
    devices being counted. InputError where the job was given none, or several kinds that may be
    NPUs, or scontrol fails.
    """
    number = job_number()
    if number is None:
        return None
    job = read_job(number)
    node = os.environ.get("SLURMD_NODENAME", socket.gethostname().split(".")[0])
    resources = job.nodes[node if node in job.nodes else next(iter(job.nodes))]
    if device == "gpu":
        kinds = [name for name in resources if name == "gpu"]
    else:
        kinds = [name for name in resources if not _NO_NPU.match(name)]
    if len(kinds) > 1:
        raise InputError(
            f"Slurm job {number}: has {' and '.join(kinds)}, and which of them are NPUs is not "
            "known; ask for one of them"
        )
    if not kinds:
        if job.exclusive:
            return None
        raise InputError(
            f"Slurm job {number}: was given no {device} on {node}; ask for them by gres in "
            "profiles/slurm/config.yaml, or for whole nodes by --exclusive"
        )
    if not resources[kinds[0]]:
        raise InputError(
            f"Slurm job {number}: Slurm counts {kinds[0]} without numbering them; add File= to "
            "gres.conf, or export the numbers in the site's prolog (docs/cluster.md)"
        )
    return [str(index) for index in resources[kinds[0]]]


def on_each(nodes: int, environment: dict[str, str]) -> list[str]:
    """Command that starts the words after it once on each of the first `nodes` nodes of this job.

    It ends with the highest of their statuses; when one of them fails, the others are killed. What
    Slurm has set for the step that this process is in is taken out of the command's `environment`,
    since srun would read it as options.
    """
    for name in list(environment):
        if re.match(r"S(LURM|RUN|BATCH)_", name) and name not in ("SLURM_JOB_ID", "SLURM_CONF"):
            del environment[name]
    return [
        *("srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"),
        # the step that this process is in holds all that the job has, and keeps it meanwhile
        *("--overlap", "--cpu-bind=none", "--kill-on-bad-exit=1", "--unbuffered"),
    ]


def share(processes: int, nodes: int, asked_by: str) -> int:
    """Processes of each node; InputError where they cannot be equally many."""
    if processes % nodes:
        raise InputError(
            f"{asked_by}: {processes} processes cannot be spread evenly over {nodes} nodes; change "
            "`processes`, or `nodes` of the profile"
        )
    return processes // nodes

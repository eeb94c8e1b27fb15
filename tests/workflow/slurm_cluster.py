"""A Slurm cluster on this machine: three nodes with devices that only Slurm believes in.

Slurm reads its configuration from /etc/slurm only: this needs root, and a machine on which no other
Slurm is configured.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ETC = Path("/etc/slurm")
NAME = "semask-bench-tests"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
DEVICES = 8
_NODES = {"gpu0": "gpu", "npu0": "npu", "npu1": "npu"}
_CONF = """\
ClusterName={name}
SlurmctldHost=localhost
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=5
ReturnToService=2
KillWait=30
GresTypes=gpu,npu
NodeName=gpu0 NodeHostname=localhost NodeAddr=127.0.0.1 Port=17001 CPUs=64 RealMemory=99000 Gres=gpu:h200:8
NodeName=npu[0-1] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17002-17003] CPUs=64 RealMemory=99000 Gres=npu:910b:8
PartitionName=cpu Nodes=gpu0 Default=YES
PartitionName=gpu Nodes=gpu0
PartitionName=npu Nodes=npu[0-1]
"""  # noqa: E501
_GRES = """\
NodeName=gpu0 Name=gpu Type=h200 File={folder}/dev/gpu[0-7]
NodeName=npu[0-1] Name=npu Type=910b File={folder}/dev/npu[0-7]
"""


class CannotStartError(Exception):
    """Why there is no Slurm here, in one line."""


def run(*command: str) -> str:
    """What a command of Slurm prints."""
    # a controller that is busy does not answer for a while; it may have heard of a new job, though
    for _ in range(1 if command[0] == "sbatch" else 5):
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60)
        if "timed out" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    return done.stdout


def jobs(*states: str) -> dict[str, str]:
    """Ids of the jobs in some states, and what they do: rule_train_wildcards_cpu_1_0."""
    printed = run("squeue", "--noheader", f"--states={','.join(states)}", "--format=%A %k")
    return dict(line.split(maxsplit=1) for line in printed.splitlines())


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Context in which the cluster runs; its files are in `folder`, whose name must be short.

    Raises:
        CannotStartError: this is not root, something is not installed, or another Slurm is here.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.getuid() != 0 or missing:
        raise CannotStartError(f"needs root, and {', '.join(PROGRAMS)} on PATH")
    configuration = ETC / "slurm.conf"
    if configuration.exists() and NAME not in configuration.read_text(encoding="utf-8"):
        raise CannotStartError(f"{configuration} is of another cluster")
    _prepare(folder)
    daemons = [["slurmctld", "-D", "-c"], *(["slurmd", "-D", "-N", node] for node in _NODES)]
    started = []
    try:
        for command in daemons:
            with open(folder / f"{command[0]}-{command[-1]}.out", "w", encoding="utf-8") as log:
                started.append(subprocess.Popen(command, stdout=log, stderr=log))
        _wait_until_idle(folder)
        yield
    finally:
        subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], timeout=60)
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        configuration.unlink(missing_ok=True)
        (ETC / "gres.conf").unlink(missing_ok=True)


def _prepare(folder: Path) -> None:
    (folder / "state").mkdir(parents=True)
    for node in _NODES:
        (folder / f"spool-{node}").mkdir()
    devices = folder / "dev"
    devices.mkdir()
    for kind in ("gpu", "npu"):
        for number in range(DEVICES):
            # a device like /dev/null
            os.mknod(devices / f"{kind}{number}", 0o600 | 0o020000, os.makedev(1, 3))
    ETC.mkdir(exist_ok=True)
    (ETC / "slurm.conf").write_text(_CONF.format(name=NAME, folder=folder), encoding="utf-8")
    (ETC / "gres.conf").write_text(_GRES.format(folder=folder), encoding="utf-8")
    if subprocess.run(["munge", "-n"], capture_output=True).returncode:
        for path in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            run("install", "-d", "-o", "munge", "-g", "munge", path)
        run("runuser", "-u", "munge", "--", "munged", "--force")


def _wait_until_idle(folder: Path) -> None:
    for _ in range(600):
        done = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%N %t"],
            capture_output=True,
            encoding="utf-8",
        )
        states = dict(line.split() for line in done.stdout.splitlines())
        if states == dict.fromkeys(_NODES, "idle"):
            return
        time.sleep(0.5)
    logs = "\n".join(
        path.read_text(encoding="utf-8")[-2000:] for path in sorted(folder.glob("*.log"))
    )
    raise AssertionError(f"the nodes of the cluster are {states}\n{logs}")

"""Runs that are started where another launcher's variables stand, or where no name resolves."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from semask.base.errors import INTERRUPTED
from semask.base.files import sha256

from .conftest import Trainer

# what a process of each finds in its surroundings
LAUNCHERS: dict[str, Mapping[str, str]] = {
    "a notebook under torchrun": {
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        **{f"{of}RANK": "0" for of in ("", "LOCAL_", "GROUP_", "ROLE_")},
        **{f"{of}WORLD_SIZE": "1" for of in ("", "LOCAL_", "GROUP_", "ROLE_")},
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "29500",
    },
    "a pod of a PyTorchJob": {
        "PYTHONUNBUFFERED": "1",
        "MASTER_ADDR": "job-master-0",
        "MASTER_PORT": "23456",
        "RANK": "0",
        "WORLD_SIZE": "2",
        "PET_NPROC_PER_NODE": "4",
        "PET_NNODES": "2",
        "PET_RDZV_ENDPOINT": "job-master-0:23456",
    },
    "a ModelArts pod": {
        "RANK_TABLE_FILE": "/no/such/table.json",
        "RANK_ID": "1",
        "RANK_SIZE": "8",
        "DEVICE_ID": "5",
        "RANK_START": "8",
        "DEVICE_NUM": "8",
        "ASCEND_DEVICE_ID": "5",
        "VC_WORKER_NUM": "2",
        "VC_TASK_INDEX": "1",
        "VC_WORKER_HOSTS": "job-worker-0.job,job-worker-1.job",
        "VC_WORKER_NAME": "worker",
        "MA_CURRENT_IP": "10.255.255.1",
        "MA_NUM_HOSTS": "2",
        "MA_NUM_GPUS": "8",
    },
    "a task of mpirun": {
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "PMI_RANK": "1",
        "PMI_SIZE": "2",
        "LOCAL_RANK": "1",
    },
    "a step of an interactive Slurm job": {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_STEP_ID": "4294967290",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "1",
        "SLURM_NODEID": "0",
        "SLURM_STEP_NODELIST": "no-such-node[1-2]",
        "SLURM_LAUNCH_NODE_IPADDR": "10.255.255.1",
        "SLURM_SRUN_COMM_PORT": "40000",
        "PMI_JOBID": "7.0",
        "PMIX_RANK": "1",
    },
    "a process of DeepSpeed": {
        "RANK": "3",
        "LOCAL_RANK": "3",
        "LOCAL_SIZE": "4",
        "WORLD_SIZE": "4",
        "CROSS_RANK": "0",
        "CROSS_SIZE": "1",
        "MASTER_ADDR": "10.255.255.1",
        "MASTER_PORT": "29500",
    },
    "a run of ours": {"SEMASK_LAUNCHER": "1", "RANK": "1", "WORLD_SIZE": "2"},
}
ODD = """
import os, pathlib, signal, time
from semask.base import signals
from semask.config.recipe import Numerics
from semask.devices import progress, setup
rank = int(os.environ["RANK"])
progress.watch(rank, 2, 30)
signals.listen()
if rank == 1:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(300)
pathlib.Path("waits").touch()
setup.set_up("cpu", 1, Numerics("exact", False, False, False, False))
"""
SHORT = {"iterations": 2, "evaluate_every": 2}


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Trainer]:
    """Runs with some processes and nothing in the surroundings, made when they are asked for."""

    @cache
    def run(processes: int) -> Trainer:
        made = Trainer(data, tmp_path_factory.mktemp("alone") / "run")
        made.run(processes=processes, **SHORT)
        return made

    return run


ALL = {name: value for variables in LAUNCHERS.values() for name, value in variables.items()}


@pytest.mark.parametrize(
    ("processes", "variables"),
    [
        *(pytest.param(1, variables, id=f"1: {name}") for name, variables in LAUNCHERS.items()),
        pytest.param(2, LAUNCHERS["a notebook under torchrun"], id="2: torchrun"),
        pytest.param(
            2, LAUNCHERS["a pod of a PyTorchJob"], id="2: PyTorchJob", marks=pytest.mark.slow
        ),
        pytest.param(2, ALL, id="2: all at once"),
    ],
)
def test_variables_of_another_launcher_change_nothing(
    trainer: Callable[[str], Trainer],
    alone: Callable[[int], Trainer],
    processes: int,
    variables: Mapping[str, str],
) -> None:
    run = trainer("a")
    run.run(processes=processes, environment=variables, **SHORT)
    assert run.curve() == alone(processes).curve()
    weights = [made.folder / "last.safetensors" for made in (run, alone(processes))]
    assert sha256(weights[0]) == sha256(weights[1])


def test_no_record_says_more_processes_than_there_were(trainer: Callable[[str], Trainer]) -> None:
    """The supervisor is told of another number than the run."""
    run = trainer("a")
    script = ("-m", "semask.workflow.supervise", "2", "0", "1", "-", "workflow_scripts.train")
    printed = run.run(ok=False, script=script, processes=3)
    assert "error: 2 processes take part, and the row has 3" in printed
    assert "Traceback" not in printed
    assert not (run.folder / "train.json").exists()


def test_a_machine_whose_name_nobody_knows(trainer: Callable[[str], Trainer]) -> None:
    """Nothing resolves the name, and torch and gloo, left alone, wait for its address or warn."""
    if shutil.which("unshare") is None:
        pytest.skip("needs util-linux's unshare, which gives a process another host name")
    inside = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    named = ["unshare", *inside, "--uts", "sh", "-c", 'hostname no-such-host && exec "$@"', "sh"]
    if subprocess.run([*named, "true"], capture_output=True).returncode:
        pytest.skip("unshare may not give a process another host name here")
    run = trainer("a")
    printed = run.run(processes=2, wrapper=named, mode="performance")
    assert run.record()["run"]["host"] == "no-such-host"
    assert "resolve" not in printed


def ended(process: subprocess.Popen[str], within: float) -> str:
    """What a run that was just asked to leave printed; it must have left by itself."""
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=within)
    assert process.returncode == INTERRUPTED, printed
    return printed


@pytest.mark.parametrize("node", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_agent_whose_other_node_never_comes_leaves_when_asked(tmp_path: Path, node: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["-m", "semask.workflow.supervise", "1", str(node), "2", meeting, "nobody"]
    process = subprocess.Popen(
        [sys.executable, *command], encoding="utf-8", stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(tmp_path), "SLURM_JOB_ID": "1"},
    )  # fmt: skip
    # the last thing before it waits
    deadline = time.monotonic() + 300
    while not [*tmp_path.glob("semask-agent-*")]:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(1)
    assert "interrupted: while waiting for the other nodes" in ended(process, within=120)
    assert not [*tmp_path.glob("semask-agent-*")]


@pytest.mark.slow
def test_processes_that_have_not_met_leave_when_asked(tmp_path: Path) -> None:
    """One waits in torch for one that does something else, and neither heeds a signal."""
    (tmp_path / "odd.py").write_text(ODD, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "semask.workflow.supervise", "2", "0", "1", "-", "odd"],
        cwd=tmp_path, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (tmp_path / "waits").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(2)
    ended(process, within=240)

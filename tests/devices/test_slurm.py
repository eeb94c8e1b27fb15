"""What is read of Slurm, with an scontrol that says what real ones have said."""

import shlex
from pathlib import Path

import pytest

from semask.base.errors import InputError
from semask.devices import slurm

JOB = (
    "JobId=12 JobName=semask JobState=RUNNING NumNodes=3 NumCPUs=128 NumTasks=3 "
    "TRES=cpu=128,mem=8000M,node=3,billing=128 JOB_GRES={gres} {nodes} "
    "MinCPUsNode=8 OverSubscribe={sharing} Contiguous=0 TresPerNode=gres:npu:910b:8"
)


@pytest.fixture
def scontrol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Puts an scontrol on PATH that shows a job with the lines given for its nodes."""
    program = tmp_path / "scontrol"
    program.write_text(
        "#!/bin/sh\n"
        f'case "$*" in\n'
        f'"--details --oneliner show job 12") cat {shlex.quote(str(tmp_path))}/job;;\n'
        '"show hostnames n[1-2]") printf "n1\\nn2\\n";;\n'
        '"show hostnames n3") echo n3;;\n'
        '*) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;;\n'
        "esac\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "n3")

    def shows(nodes: str, gres: str = "(null)", sharing: str = "OK") -> None:
        (tmp_path / "job").write_text(
            JOB.format(nodes=nodes, gres=gres, sharing=sharing), encoding="utf-8"
        )

    return shows


def test_devices_of_each_node(scontrol: object) -> None:
    scontrol(  # type: ignore[operator]
        "Nodes=n[1-2] CPU_IDs=0-63 Mem=8000 GRES=npu:910b:8(IDX:0-7) "
        "Nodes=n3 CPU_IDs=0-3,8 Mem=8000 GRES=gpu:h200:1(IDX:5),npu:910b:3(IDX:0,2-3)",
        gres="npu:910b:19,gpu:h200:1",
    )
    job = slurm.read_job("12")
    assert list(job.nodes) == ["n1", "n2", "n3"]
    assert job.nodes["n1"] == job.nodes["n2"] == {"npu": tuple(range(8))}
    assert job.nodes["n3"] == {"gpu": (5,), "npu": (0, 2, 3)}
    assert not job.exclusive
    # of the node that this process is on
    assert slurm.own_devices("npu") == ["0", "2", "3"]
    assert slurm.own_devices("gpu") == ["5"]


def test_a_job_without_devices_is_refused_unless_its_node_is_its_own(scontrol: object) -> None:
    scontrol("Nodes=n3 CPU_IDs=0-63 Mem=8000 GRES=")  # type: ignore[operator]
    with pytest.raises(InputError, match="job 12: was given no npu on n3; ask for them by gres"):
        slurm.own_devices("npu")
    scontrol(  # type: ignore[operator]
        "Nodes=n[1-2] CPU_IDs=0-63 Mem=8000 GRES=npu:910b:8(IDX:0-7) "
        "Nodes=n3 CPU_IDs=0-63 Mem=8000 GRES="
    )
    with pytest.raises(InputError, match="job 12: was given no npu on n3; ask for them by gres"):
        slurm.own_devices("npu")
    scontrol("Nodes=n3 CPU_IDs=0-63 Mem=8000 GRES=", sharing="NO")  # type: ignore[operator]
    assert slurm.own_devices("npu") is None


def test_devices_that_slurm_only_counts(scontrol: object) -> None:
    scontrol("Nodes=n3 CPU_IDs=0-63 Mem=8000 GRES=npu:910b:2(CNT:2)")  # type: ignore[operator]
    with pytest.raises(InputError, match="counts npu without numbering them; add File= to"):
        slurm.own_devices("npu")


def test_npus_by_any_name_but_one(scontrol: object) -> None:
    scontrol(  # type: ignore[operator]
        "Nodes=n3 CPU_IDs=0 Mem=1 GRES=gpu:2(IDX:0-1),ascend910b:2(IDX:6-7),nic:1(IDX:0)"
    )
    assert slurm.own_devices("npu") == ["6", "7"]
    scontrol("Nodes=n3 CPU_IDs=0 Mem=1 GRES=ascend:1(IDX:1),fpga:1(IDX:0)")  # type: ignore[operator]
    with pytest.raises(InputError, match="has ascend and fpga, and which of them are NPUs"):
        slurm.own_devices("npu")


def test_outside_slurm_and_where_scontrol_fails(
    scontrol: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    with pytest.raises(InputError, match=r"show job 13: .*Invalid job id specified; the devices"):
        slurm.own_devices("npu")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="have scontrol on PATH where jobs run"):
        slurm.own_devices("npu")
    monkeypatch.delenv("SLURM_JOB_ID")
    assert slurm.own_devices("npu") is None


def test_srun_is_not_told_of_the_step_that_calls_it() -> None:
    environment = {
        "PATH": "/bin", "SLURM_JOB_ID": "12", "SLURM_CONF": "/etc/x", "SLURM_NNODES": "1",
        "SLURM_CPUS_PER_TASK": "8", "SRUN_DEBUG": "3", "SBATCH_GRES": "gpu:1", "SEMASK": "1",
    }  # fmt: skip
    command = slurm.on_each(2, environment)
    assert command[0] == "srun"
    assert {"--nodes=2", "--ntasks=2", "--overlap"} <= set(command)
    assert sorted(environment) == ["PATH", "SEMASK", "SLURM_CONF", "SLURM_JOB_ID"]

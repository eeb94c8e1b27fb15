"""The pipeline on a real Slurm with pretended devices, through the profile that users get."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from . import slurm_cluster
from .conftest import Background, Checkout
from .slurm_cluster import jobs, run

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

SEEDS = [0, 1]
# long enough to be met while it trains
CONFIG: dict[str, Any] = {
    "training": {"iterations": 60, "evaluate_every": 30},
    "fault_tolerance": {"checkpoint_iterations": 5},
    "rows": [
        {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": SEEDS},
        {"device": "cpu", "processes": 2, "threads": 1, "modes": ["performance"], "seeds": [0]},
    ],
}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    # these tests are asked for by their mark: without Slurm they fail
    folder = Path("/tmp", f"slurm-{os.getpid()}")
    with slurm_cluster.cluster(folder):
        yield
    shutil.rmtree(folder)


# Snakemake, but its executor looks at the jobs every two seconds: ten seconds more after each
# look that finds nothing ended is kind to a cluster, and would be half of the time of these tests
SNAKEMAKE = """
import snakemake_executor_plugin_slurm as slurm
from snakemake.cli import main
slurm.Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda _, seconds: None)
main()
"""


class Head(Background):
    """Snakemake on the login node, in the background."""

    pause = 0.2  # Slurm is asked each time

    def __init__(self, checkout: Checkout, log: Path, *targets: str):
        options = ("--profile", "profiles/slurm", "--configfile", "tiny.yaml", "--", *targets)
        super().__init__(checkout, log, "-c", SNAKEMAKE, *options)

    def finish(self, ok: bool = True) -> str:
        self.process.wait(600)
        assert (self.process.returncode == 0) == ok, self.printed
        return self.printed


def scores(checkout: Checkout) -> list[list[object]]:
    table = pd.read_csv(checkout.folder / "results/table.csv")
    columns = ["name", "kind", "acc1", "last_miou", "acc1_state", "fps_state", "warnings"]
    return table[columns].astype(object).fillna("none").values.tolist()


def weights(checkout: Checkout) -> dict[str, bytes]:
    results = checkout.folder / "results"
    return {str(f.relative_to(results)): f.read_bytes() for f in results.rglob("*.safetensors")}


def record(checkout: Checkout, row: str, mode: str, seed: int = 0) -> Any:
    path = checkout.folder / f"results/{row}/{mode}/seed{seed}/train.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The embedded experiment, made small, from the data to its table."""
    made = Checkout(tmp_path_factory.mktemp("undisturbed") / "a checkout")
    made.configure(CONFIG)
    Head(made, made.folder / "head.log", "results/table.md").finish()
    return made


def test_the_embedded_experiment_to_its_table(undisturbed: Checkout, tmp_path: Path) -> None:
    printed = (undisturbed.folder / "head.log").read_text(encoding="utf-8")
    # lists and the table are made where snakemake runs
    sent = printed.count("has been submitted with SLURM jobid")
    cities, others = 5, ["verify", "baselines", "facts", "measure"]
    assert sent == cities + len(others) + len(["train", "evaluate"]) * len(SEEDS)
    assert printed.count("localrule table:") == 1
    assert [row[0] for row in scores(undisturbed) if row[1] == "measured"] == ["CPU-1P", "CPU-2P"]
    # the same as without Slurm
    local = copy_without_runs(undisturbed, tmp_path / "local")
    local.snakemake("results/cpu-1p/full/seed0/train.json")
    found = weights(local)
    assert len(found) == 2
    assert found.items() <= weights(undisturbed).items()


def copy_without_runs(checkout: Checkout, folder: Path) -> Checkout:
    """A copy of a checkout in which the full runs are still to be done."""
    shutil.copytree(checkout.folder, folder, copy_function=shutil.copy2)
    shutil.rmtree(folder / "results/cpu-1p/full")
    made = object.__new__(Checkout)
    made.folder = folder
    return made


def job_of(seed: int, *states: str) -> str:
    """Number of the job that trains with a seed, empty if there is none."""
    name = f"rule_train_wildcards_cpu_1_{seed}"
    return next((number for number, what in jobs(*states).items() if what == name), "")


def wait_for_checkpoint(head: Head, seed: int) -> None:
    folder = head.folder / f"results/cpu-1p/full/seed{seed}/work/checkpoints"
    head.wait_for(lambda: any(folder.glob("[0-9]*.pt")), f"a checkpoint with seed {seed}")


def test_cancelled_warned_requeued_and_without_its_head(
    undisturbed: Checkout, tmp_path: Path
) -> None:
    """A job is cancelled, one warned of its time limit, one requeued; then the head is killed."""
    checkout = copy_without_runs(undisturbed, tmp_path / "disturbed")
    head = Head(checkout, tmp_path / "killed.log", "results/table.md")
    cancelled, warned = SEEDS
    wait_for_checkpoint(head, cancelled)
    run("scancel", job_of(cancelled, "RUNNING"))
    wait_for_checkpoint(head, warned)
    # what `--signal` of the profile has Slurm do ahead of the time limit
    run("scancel", "--signal=USR1", job_of(warned, "RUNNING"))
    head.wait_for(lambda: head.printed.count("Trying to restart job") == 2, "two restarts")
    head.wait_for(lambda: job_of(cancelled, "RUNNING"), "a job in the cancelled one's place")
    run("scontrol", "requeue", job_of(cancelled, "RUNNING"))
    head.process.kill()
    head.process.wait()

    second = Head(checkout, tmp_path / "second.log", "results/table.md")
    second.wait_for(lambda: "waiting for Slurm jobs" in second.printed, "jobs left behind")
    # Slurm lets it rest for two minutes
    run("scontrol", "update", f"jobid={job_of(cancelled, 'PENDING')}", "starttime=now")
    printed = second.finish()
    assert "Error" not in printed

    assert scores(checkout) == scores(undisturbed)
    assert weights(checkout) == weights(undisturbed)
    for seed in SEEDS:
        first, *others = record(checkout, "cpu-1p", "full", seed)["figures"]["tries"]
        assert first["from"] == 0
        assert [other["from"] for other in others] != []
        assert all(other["from"] > 0 for other in others)


@pytest.fixture
def on_npus(
    undisturbed: Checkout,
    tmp_path: Path,
    simulated_npu: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> Checkout:
    """A checkout with data, where NPUs are simulated."""
    checkout = copy_without_runs(undisturbed, tmp_path / "npus")
    for name, value in simulated_npu().items():
        path = [str(checkout.folder), value] if name == "PYTHONPATH" else [value]
        monkeypatch.setenv(name, os.pathsep.join(path))
    monkeypatch.setattr(Checkout, "environment", property(lambda self: dict(os.environ)))
    row = {"threads": 1, "modes": ["full", "performance"], "seeds": [0]}
    checkout.configure(
        {
            "fault_tolerance": {"retries": 0},
            "rows": [
                {"device": "npu", "processes": 1, **row},
                {"device": "npu", "processes": 2, **row},
                {"device": "npu", "processes": 8, **row},
                {"device": "gpu", "processes": 1, **row},
            ],
            "training": {"iterations": 4, "evaluate_every": 2, "batch": {"size": 8}},
        }
    )  # fmt: skip
    return checkout


def hold(gres: str, *options: str) -> str:
    """A job of somebody else that has some devices; its number."""
    command = [
        "sbatch",
        "--parsable",
        "--output=/dev/null",
        "--mem=100",
        f"--gres={gres}",
        *options,
    ]
    return run(*command, "--wrap=sleep 600").strip()


def test_rows_get_the_devices_that_slurm_gave_and_wait_for_them(
    on_npus: Checkout, tmp_path: Path
) -> None:
    held = [hold("npu:910b:3", "--partition=npu", f"--nodelist=npu{n}") for n in (0, 1)]
    held.append(hold("gpu:h200:5", "--partition=gpu"))
    targets = ("npu-1p/full", "npu-8p/performance", "gpu-1p/full")
    head = Head(
        on_npus, tmp_path / "head.log", *(f"results/{row}/seed0/train.json" for row in targets)
    )
    # no node has eight NPUs to give; the others need not wait for that
    one = on_npus.folder / "results/npu-1p/full/seed0/train.json"
    refused = on_npus.folder / "results/gpu-1p/full/seed0/train.log"
    head.wait_for(
        lambda: one.exists() and refused.exists() and refused.read_text(encoding="utf-8"), "npu-1p"
    )
    waiting = [number for number, what in jobs("PENDING").items() if "npu_8" in what]
    assert len(waiting) == 1
    assert record(on_npus, "npu-1p", "full")["device"]["ids"] == "3"
    assert run("squeue", "--noheader", "--format=%r", f"--jobs={waiting[0]}").split() == [
        "Resources"
    ]
    run("scancel", *held)
    head.finish(ok=False)
    found = record(on_npus, "npu-8p", "performance")
    assert found["device"]["ids"] == "0,1,2,3,4,5,6,7"
    assert found["device"]["name"] == "Simulated NPU"
    # there is no GPU behind the number that Slurm gave, and nothing else is taken in its place
    lines = set(refused.read_text(encoding="utf-8").splitlines())
    assert len(lines) == 1
    (line,) = lines
    assert "rows: gpu-1p: device gpu is not present on this machine" in line
    assert "CUDA_VISIBLE_DEVICES='5'" in line


def test_processes_over_two_nodes(on_npus: Checkout, tmp_path: Path) -> None:
    profile = on_npus.folder / "profiles/slurm/config.yaml"
    # a node has one device only
    profile.write_text(
        profile.read_text(encoding="utf-8").replace("// 8", "// 1").replace(", 8)", ", 1)"),
        encoding="utf-8",
    )
    stages = ("full/seed0/evaluate.json", "performance/seed0/train.json")
    targets = [f"results/npu-2p/{stage}" for stage in stages]
    Head(on_npus, tmp_path / "head.log", *targets).finish()
    for mode in ("full", "performance"):
        found = record(on_npus, "npu-2p", mode)
        assert found["device"]["nodes"] == [
            {"host": "npu0", "ids": "0"},
            {"host": "npu1", "ids": "0"},
        ]
    # the same as on one node
    losses = losses_of(on_npus)
    shutil.rmtree(on_npus.folder / "results/npu-2p")
    on_npus.snakemake("results/npu-2p/full/seed0/train.json")
    assert losses == pytest.approx(losses_of(on_npus), rel=1e-6)


def losses_of(checkout: Checkout) -> list[float]:
    log = checkout.folder / "results/npu-2p/full/seed0/log.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]

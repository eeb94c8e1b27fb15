"""The command that says how far runs are."""

import json
import subprocess
import sys
from pathlib import Path


def progress(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow_scripts.progress", *arguments]
    repository = str(Path(__file__).parents[2])
    return subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": repository}, capture_output=True, encoding="utf-8"
    )


def test_it_reads_the_files_of_runs(tmp_path: Path) -> None:
    work = tmp_path / "results/gpu-8p/full/seed0/work"
    work.mkdir(parents=True)
    done = progress(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: results: no training run has begun here: Snakemake may still be at the data, or "
        "the config has another results folder\n"
    )
    training = {"iterations": 80, "evaluate_every": None, "global_batch": 32}
    (work / "run.json").write_text(json.dumps({"recipe": {"training": training}}), encoding="utf-8")
    (work / "running").touch()
    done = progress(tmp_path, "results")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "0 of 1 runs done, 1 running, time left unknown",
        "results/gpu-8p/full/seed0: no iteration yet",
    ]

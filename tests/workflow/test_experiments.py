"""The shipped experiments as Snakemake plans them: which rules, how many jobs, in which order."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..warm import Ended, warm_snakemake
from .conftest import PARTS, REPOSITORY

pytestmark = pytest.mark.workflow

# jobs of a full and three performance runs on 8 devices and three performance runs on one
ROWS_OF_SEMASK = {"parity": 2, "train": 1, "measure": 6, "evaluate": 1}
STREETS = {"weights": 0, "labels": 5}
ASCEND = {"labels": 3, "parity": 4, "train": 4, "measure": 12, "evaluate": 4, "agreement": 4,
          "cross": 2}  # fmt: skip
SMOKE = {"parity": 3, "train": 3, "measure": 2, "evaluate": 3}
ONCE = {"manifest": 2, "verify": 1, "baselines": 1, "facts": 1, "weights": 1, "table": 1}
PLANS: dict[tuple[str, ...], dict[str, int]] = {
    # five cities in the embedded experiment; nothing to start from
    (): {**ONCE, **STREETS, "parity": 2, "train": 1, "measure": 2, "evaluate": 1, "cross": 1},
    ("streets_shuffled_labels",): {**ONCE, **STREETS, "parity": 1, "train": 1, "evaluate": 1},
    ("smoke_gpu",): {**ONCE, **STREETS, **SMOKE},
    ("smoke_npu",): {**ONCE, **STREETS, **SMOKE},
    ("cityscapes",): {**ONCE, **ROWS_OF_SEMASK, "labels": 3, "agreement": 1},
    ("ade20k",): {**ONCE, **ROWS_OF_SEMASK, "labels": 2},
    ("coco_stuff10k",): {**ONCE, **ROWS_OF_SEMASK, "labels": 2},
    ("ascend",): {**ONCE, **ASCEND},
    ("ascend", "ascend_as_published"): {**ONCE, **ASCEND},
}  # fmt: skip
EDGES = {
    ("labels", "manifest"), ("manifest", "verify"), ("verify", "table"),
    ("manifest", "train"), ("manifest", "measure"),
    ("manifest", "baselines"), ("manifest", "evaluate"), ("weights", "train"),
    ("weights", "measure"), ("train", "evaluate"), ("train", "table"), ("measure", "table"),
    ("evaluate", "table"), ("baselines", "table"), ("facts", "table"), ("table", "all"),
    ("manifest", "parity"), ("verify", "parity"), ("parity", "table"),
    ("manifest", "cross"), ("train", "cross"), ("evaluate", "cross"), ("cross", "table"),
}  # fmt: skip
AGREEMENT_EDGES = {
    ("manifest", "agreement"), ("evaluate", "agreement"), ("agreement", "table"),
}  # fmt: skip


class Planner:
    """A checkout of the workflow with small folders in the layout of the three data sets."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.looked_at: set[str] = set()
        folder.mkdir()
        for part in (*PARTS, "experiments"):
            (folder / part).symlink_to(REPOSITORY / part)
        one_image = {"train": dict.fromkeys(("alder", "birch", "cedar"), 1),
                     "val": dict.fromkeys(("elm", "fir"), 1)}  # fmt: skip
        small = {
            "dataset": {"complete": False, "streets": {"cities": one_image}},
            "evaluation": {"predictions": 1},
        }
        (folder / "small.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
        touch = self.touch
        for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "frankfurt")):
            for number in range(2):
                stem = f"{city}/{city}_{number:06d}_000019"
                touch(f"data/cityscapes/leftImg8bit/{split}/{stem}_leftImg8bit.png")
                touch(f"data/cityscapes/gtFine/{split}/{stem}_gtFine_polygons.json")
        for split, short in (("training", "train"), ("validation", "val")):
            for number in (1, 2):
                stem = f"{split}/ADE_{short}_{number:08d}"
                touch(f"data/ade20k/images/{stem}.jpg")
                touch(f"data/ade20k/annotations/{stem}.png")
        for number, split in enumerate(("train", "train", "test")):
            stem = f"COCO_train2014_{number:012d}"
            touch(f"data/coco_stuff10k/images/{stem}.jpg")
            touch(f"data/coco_stuff10k/annotations/{stem}.mat")
            path = touch(f"data/coco_stuff10k/imageLists/{split}.txt")
            path.write_text(f"{path.read_text(encoding='utf-8')}{stem}\n", encoding="utf-8")

    def touch(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    def snakemake(
        self,
        experiments: tuple[str, ...],
        *arguments: str,
        ok: bool = True,
        environment: dict[str, str] | None = None,
    ) -> str:
        files = [f"experiments/{name}.yaml" for name in experiments]
        options = ["--cores", "32", "--configfile", *files, "small.yaml", *arguments]
        if environment is None:
            done = warm_snakemake().run(
                "snakemake", options, self.folder, environment=os.environ, timeout=300
            )
        else:  # which Python reads as it starts
            cold = subprocess.run(
                [sys.executable, "-m", "snakemake", *options],
                cwd=self.folder, capture_output=True, encoding="utf-8", timeout=300,
                env=environment,
            )  # fmt: skip
            done = Ended(cold.returncode, cold.stdout, cold.stderr)
        assert (done.status == 0) == ok, done.stdout + done.stderr
        return done.stdout if ok else done.stderr

    def look_at_the_data(self, experiment: str | None = None) -> None:
        """Run the checkpoint, after which all jobs are known; it needs no GPU."""
        if experiment in self.looked_at:
            return
        own = ("cityscapes", "ade20k", "coco_stuff10k")
        name = "cityscapes" if experiment == "ascend" else experiment
        target = f"data/{name if name in own else 'streets'}-labels/dataset.json"
        self.snakemake((experiment,) if experiment else (), "--", target)
        if experiment in own:  # the others share a data set, which each looks at in its own way
            self.looked_at.add(experiment)

    def jobs(
        self,
        experiments: tuple[str, ...],
        *arguments: str,
        environment: dict[str, str] | None = None,
    ) -> dict[str, int]:
        printed = self.snakemake(
            experiments, "--dry-run", "--quiet", "rules", *arguments, environment=environment
        )
        lines = [line.split() for line in printed.split("Job stats:")[1].splitlines()]
        jobs = {
            words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()
        }
        return {rule: count for rule, count in jobs.items() if rule not in ("all", "total")}

    def graph(self, experiments: tuple[str, ...]) -> tuple[dict[str, int], set[tuple[str, str]]]:
        """Jobs that a run would do, by rule, and which rule's are needed by which."""
        graph = self.snakemake(experiments, "--dag", "dot")
        nodes = re.findall(r'^\s*(\d+)\[label = "(\w+).*style="([\w,]+)"', graph, re.MULTILINE)
        rule_of = {node: rule for node, rule, style in nodes if "dashed" not in style}
        edges = re.findall(r"^\s*(\d+) -> (\d+)", graph, re.MULTILINE)
        jobs = Counter(rule for rule in rule_of.values() if rule != "all")
        return jobs, {(rule_of[a], rule_of[b]) for a, b in edges if {a, b} <= {*rule_of}}


@pytest.fixture(scope="module")
def planner(tmp_path_factory: pytest.TempPathFactory) -> Planner:
    return Planner(tmp_path_factory.mktemp("experiments") / "checkout")


@pytest.mark.parametrize("experiments", PLANS, ids=lambda names: "+".join(names) or "embedded")
def test_jobs_and_rule_graph(planner: Planner, experiments: tuple[str, ...]) -> None:
    planner.look_at_the_data(*experiments[:1])
    planned = {rule: count for rule, count in PLANS[experiments].items() if count}
    expected = {(a, b) for a, b in EDGES | AGREEMENT_EDGES if {a, b} <= {*planned, "all"}}
    assert planner.graph(experiments) == (planned, expected)


@pytest.mark.slow
@pytest.mark.parametrize("experiments", PLANS, ids=lambda names: "+".join(names) or "embedded")
def test_epochs_in_place_of_iterations(planner: Planner, experiments: tuple[str, ...]) -> None:
    planner.look_at_the_data(*experiments[:1])
    epochs = planner.jobs(experiments, "--config", "training={epochs: 2}", "--")
    assert epochs == planner.jobs(experiments)
    assert epochs["train"] >= 1


def test_all_variants_share_the_data(planner: Planner) -> None:
    planner.look_at_the_data("cityscapes")
    for variant in ("tiny", "base", "large"):
        jobs = planner.jobs(("cityscapes",), "--config", f"variant={variant}", "--")
        assert jobs == PLANS["cityscapes",]


@pytest.mark.parametrize("experiment", ["cityscapes", "ade20k", "coco_stuff10k"])
def test_released_checkpoints_are_scored_without_training(
    planner: Planner, experiment: str
) -> None:
    planner.look_at_the_data(experiment)
    jobs = planner.jobs((experiment,), "--", f"results/{experiment}/released/table.md")
    assert jobs == {
        "labels": PLANS[experiment,]["labels"], "manifest": 2, "verify": 1,
        "weights": 4, "released": 4, "released_table": 1,
    }  # fmt: skip


def test_released_checkpoints_that_the_user_has(planner: Planner) -> None:
    planner.look_at_the_data("cityscapes")
    file = planner.touch("mine.pth")
    given: dict[str, Any] = {"small": str(file)}
    jobs = planner.jobs(
        ("cityscapes",), "--config", f"released={{'weights': {given}}}", "--",
        "results/cityscapes/released/table.md",
    )  # fmt: skip
    assert jobs["weights"] == 3


def test_nobody_released_checkpoints_of_the_ports_experiment(planner: Planner) -> None:
    printed = planner.snakemake(
        ("ascend",), "--dry-run", "--", "results/ascend/released/table.md", ok=False
    )
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "released: null" in line


def test_an_unknown_variant(planner: Planner) -> None:
    printed = planner.snakemake(
        ("cityscapes",), "--dry-run", "--config", "variant=huge", "--", ok=False
    )
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "variant: 'huge'" in line
    assert "tiny, small, base, large" in line


def test_weights_that_are_not_there(planner: Planner) -> None:
    printed = planner.snakemake(
        ("ascend",), "--dry-run", "--config", "model={'pretrained': 'nowhere.pth'}", "--",
        ok=False,
    )  # fmt: skip
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "model.pretrained: nowhere.pth" in line


def test_fetching_the_data_comes_first_where_it_is_asked_for(planner: Planner) -> None:
    other = Planner(planner.folder.parent / "fetching")
    shutil.rmtree(other.folder / "data")
    jobs = other.jobs(("ade20k",), "--config", "dataset={'download': True}", "--")
    assert jobs["download"] == 1
    assert jobs["dataset"] == 1


def test_what_the_agreement_needs_is_missed_before_the_training(planner: Planner) -> None:
    hidden = planner.touch("hidden/sitecustomize.py")
    hidden.write_text("import sys\nsys.modules['cityscapesscripts'] = None\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(hidden.parent)}
    printed = planner.snakemake(("cityscapes",), "--dry-run", ok=False, environment=environment)
    [line] = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert "evaluation.agreement" in line
    assert ".[cityscapes]" in line
    assert planner.jobs(("ade20k",), environment=environment)["table"] == 1

"""Planning for as many files as the largest data sets have."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PARTS, REPOSITORY

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

IMAGES = 164_000  # of the whole COCO-Stuff
SECONDS, GIB = 60, 2


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One with COCO-Stuff of that size, in empty files."""
    folder = tmp_path / "checkout"
    root = folder / "data/coco_stuff10k"
    for name in ("images", "annotations", "imageLists"):
        (root / name).mkdir(parents=True)
    for part in (*PARTS, "experiments"):
        (folder / part).symlink_to(REPOSITORY / part)
    (folder / "small.yaml").write_text("dataset: {complete: false}\n", encoding="utf-8")
    # with gaps, and of about as many parts as COCO's own numbers
    numbers = random.Random(0).sample(range(600_000), IMAGES)
    stems = [f"COCO_train2014_{number:012d}" for number in numbers]
    for split, chosen in (("test", stems[:5000]), ("train", stems[5000:])):
        listed = "".join(f"{stem}\n" for stem in chosen)
        (root / f"imageLists/{split}.txt").write_text(listed, encoding="utf-8")
    for stem in stems:
        for file in (f"images/{stem}.jpg", f"annotations/{stem}.mat"):
            os.close(os.open(root / file, os.O_CREAT))
    return folder


def test_a_plan_for_many_images(checkout: Path) -> None:
    command = [
        *(sys.executable, "-m", "snakemake", "--cores", "32"),
        *("--configfile", "experiments/coco_stuff10k.yaml", "small.yaml"),
    ]
    target = "data/coco_stuff10k-labels/dataset.json"
    subprocess.run([*command, "--", target], cwd=checkout, check=True, capture_output=True)

    with open(checkout / "planned", "w+", encoding="utf-8") as printed:
        dry = subprocess.Popen(
            [*command, "--dry-run", "--quiet", "rules"], cwd=checkout, stdout=printed
        )
        # of this process alone, and in seconds that others on the machine do not lengthen
        _, status, usage = os.wait4(dry.pid, 0)
        dry.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        planned = dict(line.split() for line in printed if len(line.split()) == 2)
    assert dry.returncode == 0
    assert planned["labels"] == "12"
    assert usage.ru_utime + usage.ru_stime < SECONDS
    assert usage.ru_maxrss / 2**20 < GIB

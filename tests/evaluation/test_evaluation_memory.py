import subprocess
import sys
from pathlib import Path

import pytest


def peak_memory(*arguments: str) -> float:
    """GiB that a process needs to evaluate a 1024x2048 image with 150 classes."""
    script = Path(__file__).with_name("evaluation_process.py")
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, encoding="utf-8", timeout=1200
    )
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
def test_memory_of_a_large_image_with_many_classes() -> None:
    # all classes at the image's size are 1.2 GiB, which plain argmax would hold on top
    assert peak_memory("nano", "windowed") < 2.4


@pytest.mark.slow
def test_memory_of_many_scales() -> None:
    # the port's largest ratio; those between would only take longer
    assert peak_memory("nano", "global", "0.5", "2") < 6

"""What memory a program takes."""

import subprocess
import sys
from pathlib import Path

import pytest

from semask.base import memory


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file()
    or "VmHWM" not in Path("/proc/self/status").read_text("utf-8"),
    reason="the kernel does not count what each program had",
)
def test_the_program_that_started_it_does_not_count() -> None:
    large = bytearray(b"x") * 2**29
    code = "from semask.base import memory; print(memory.most())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert 2**20 < int(done.stdout) < 2**28
    assert memory.most() > len(large)

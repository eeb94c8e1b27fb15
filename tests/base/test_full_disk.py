"""No room to write: one line that names the file, and what was there before stays as it was.

A limit on the size of files stands for the full disk: `write` fails in the same way, with another
number. Checkpoints are tried on a disk that is really full (tests/training).
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from semask.base.files import write_atomically
from semask.data.streets import generate
from semask.report.table import build_table, write_table


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_label_file(tmp_path: Path) -> None:
    cities = {"train": {"alder": 3}, "val": {"elm": 1}}
    generate(tmp_path / "streets", seed=1, width=64, height=32, cities=cities)
    command = [
        *(sys.executable, "-m", "workflow_scripts.labels", "--dataset", "streets"),
        *("--root", "streets", "--labels", "labels", "--split", "train", "--part", "alder"),
        *("--output", "labels/train/alder.json"),
    ]
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True}
    subprocess.run(command, check=True, **options)
    # one label has to be made anew
    made = sorted((tmp_path / "labels").rglob("*.png"))
    made[0].unlink()
    before = contents(tmp_path)
    no_room = ["bash", "-c", 'ulimit -f 0; exec "$0" "$@"', *command]
    failed = subprocess.run(no_room, **options)
    assert failed.returncode == 1
    [line] = failed.stderr.splitlines()
    assert line.startswith("error: labels/train/alder/alder_000000_000019_gtFine_label")
    assert "File too large" in line
    assert "make room" in line
    assert contents(tmp_path) == before
    subprocess.run(command, check=True, **options)
    assert made[0].exists()


def test_a_table(make_record: Any, tmp_path: Path) -> None:
    rows = [{"device": "cpu", "processes": 1, "modes": ["full"], "seeds": [0]}]
    digests = {"digest": "0" * 64, "recipe_digest": "0" * 64}
    records = {
        f"{kind}.json": {**make_record(kind), "kind": kind, **digests}
        for kind in ("train", "evaluate")
    }
    table = build_table(rows, records, make_record("baselines"), [], make_record("facts"))
    targets = [tmp_path / name for name in ("t.md", "t.csv", "t.json")]
    write_table(table, *targets)
    before = contents(tmp_path)
    with no_file_above(100), pytest.raises(OSError, match="File too large") as fault:
        write_table({**table, "experiment": "other"}, *targets)
    assert fault.value.filename == str(tmp_path / "t.json")
    assert contents(tmp_path) == before


def test_a_record(tmp_path: Path) -> None:
    write_atomically(tmp_path / "r.json", "old")
    with no_file_above(10), pytest.raises(OSError, match=r"r\.json"):
        write_atomically(tmp_path / "r.json", json.dumps(list(range(100))))
    assert contents(tmp_path) == {"r.json": b"old"}

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import semask
from semask.base.provenance import code_version, describe_run, now, source_digest

from ..conftest import BEING_COMPILED

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("semask", "workflow_scripts"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=BEING_COMPILED)
    return tmp_path


def test_a_checkout_of_another_user_has_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is run by whoever is there."""
    (tmp_path / "semask").mkdir()
    said = subprocess.check_output(["git", "--version"], encoding="utf-8")
    major, minor = map(int, said.split()[2].split(".")[:2])
    if (major, minor) < (2, 38):
        pytest.skip(f"git {major}.{minor} cannot be told in a call")
    who = "-c user.name=a -c user.email=a@b -c commit.gpgsign=false"
    for words in ("init", f"{who} commit --allow-empty --message=x"):
        subprocess.run(["git", "-C", str(tmp_path), *words.split()], check=True)
    monkeypatch.setattr(semask, "__file__", str(tmp_path / "semask/__init__.py"))
    own = code_version()
    assert "+git." in own
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    assert code_version() == own


EVALUATION = [f"semask.evaluation.{name}" for name in ("figures", "prediction", "split")]


def digests(copy: Path, calls: Mapping[str, str]) -> dict[str, str]:
    """The digests, by name, as a fresh process computes them in a copy of the sources."""
    code = "\n".join(
        ["from semask.base.provenance import source_digest"]
        + [f"print(source_digest({call}))" for call in calls.values()]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, capture_output=True, encoding="utf-8", check=True
    )
    return dict(zip(calls, done.stdout.split(), strict=True))


def test_only_what_a_script_imports_counts(copy: Path) -> None:
    calls = {
        "train": f"'workflow_scripts.train', {EVALUATION}",
        "evaluate": "'workflow_scripts.evaluate'",
        "labels": "'workflow_scripts.labels'",
        "labels of ADE20K": "'workflow_scripts.labels', also=['semask.data.sets.ade20k']",
        "table": "'workflow_scripts.table'",
    }
    known = digests(copy, calls)

    def changed_by(file: str) -> set[str]:
        before = dict(known)
        with open(copy / file, "a", encoding="utf-8") as source:
            source.write("\n# a comment\n")
        known.update(digests(copy, calls))
        return {name for name in calls if known[name] != before[name]}

    assert changed_by("semask/evaluation/split.py") == {"evaluate"}
    assert changed_by("semask/evaluation/figures.py") == {"evaluate", "table"}
    assert changed_by("semask/evaluation/paired.py") == {"table"}
    assert changed_by("semask/training/optimization.py") == {"train"}
    assert changed_by("semask/model/backbone.py") == {"train", "evaluate"}
    assert changed_by("semask/data/labels.py") == {"labels", "labels of ADE20K"}
    assert changed_by("semask/data/sets/ade20k.py") == {"labels of ADE20K"}
    assert changed_by("semask/data/sets/coco_stuff10k.py") == set()
    assert changed_by("semask/report/table.py") == {"table"}
    assert changed_by("semask/base/errors.py") == set(calls)


def test_the_digest_is_that_of_the_source() -> None:
    assert source_digest("workflow_scripts.train") == source_digest("workflow_scripts.train")
    assert len(source_digest("workflow_scripts.table")) == 64


def test_a_run_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "--root", "a\nplace 数据"])
    started = now()
    found = describe_run("workflow_scripts.train", started)
    assert found["started"] == started <= found["ended"]
    assert found["command"].startswith("python")
    # in one line, as bundles take it
    assert found["command"].endswith(r"-m workflow_scripts.train --root 'a\nplace 数据'")
    assert found["code_version"] == code_version()
    assert found["versions"]["timm"]

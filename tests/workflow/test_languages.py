"""Languages whose encoding is not UTF-8, and what is said under --quiet before any job runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from .conftest import REPOSITORY, Background, Checkout

pytestmark = pytest.mark.workflow

Surroundings = Callable[[str], dict[str, str]]

# name, as LC_ALL has it, of what localedef makes of a language's and an encoding's source
LANGUAGES = {"zh_CN.GBK": ("zh_CN", "GBK"), "de_DE.ISO-8859-1": ("de_DE", "ISO-8859-1")}
ROW = {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0]}
# docs/progress.md
CRON = ("--quiet", "all", "--workflow-profile", "none", "--keep-going", "--show-failed-logs")


@pytest.fixture(scope="session")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Surroundings:
    """Makes the variables of a process whose user has a language."""
    folder = tmp_path_factory.mktemp("languages")
    for name, (language, encoding) in LANGUAGES.items():
        command = ["localedef", "-i", language, "-f", encoding, str(folder / name)]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except FileNotFoundError:
            pytest.skip("there is no localedef, which makes the languages")
        except subprocess.CalledProcessError as fault:
            said = fault.stderr.decode(errors="replace").strip()
            pytest.skip(f"localedef makes no {name} (Debian has its sources in locales): {said}")

    def variables(language: str) -> dict[str, str]:
        # of the language C alone Python thinks better
        untouched = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
        return {"LC_ALL": language, "LOCPATH": str(folder), **untouched}

    return variables


def snakemake(
    checkout: Checkout, language: Mapping[str, str], log: Path, *arguments: str
) -> tuple[int, bytes]:
    """A Snakemake that starts anew, as it reads its language then: its status and its words."""
    checkout.surroundings = language
    options = ("--configfile", "tiny.yaml", "--cores", "2", *arguments)
    status = Background(checkout, log, "-m", "snakemake", *options).process.wait(timeout=3000)
    return status, log.read_bytes()


@pytest.mark.slow
def test_a_whole_workflow(speaking: Surroundings, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "a checkout")
    checkout.configure({"rows": [ROW], "training": {"iterations": 2}, "results": "结果"})
    overlay = checkout.folder / "tiny.yaml"
    known = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    text = yaml.safe_dump(known, allow_unicode=True)
    assert "结果" in text
    overlay.write_text(f"# größe × —\n{text}", encoding="utf-8")
    # as the names are in the folders of those who have the language
    folder = os.fsencode(tmp_path) + b"/" + "检出".encode("gbk")
    os.rename(checkout.folder, folder)
    checkout.folder = Path(os.fsdecode(folder))
    status, printed = snakemake(checkout, speaking("zh_CN.GBK"), tmp_path / "printed")
    assert status == 0, printed.decode("gbk", "replace")
    assert "table:  结果/table.md\nreport: 结果/report.html\n" in printed.decode("gbk")
    results = Path(os.fsdecode(folder + b"/" + "结果".encode("gbk")))
    text = (results / "table.md").read_text(encoding="utf-8")
    assert "CPU-1P" in text
    (results / "report.html").read_text(encoding="utf-8")
    assert list((results / "cpu-1p/full/seed0/tensorboard").iterdir())
    for log in (checkout.folder / ".snakemake/log").iterdir():
        assert "结果/table.md" in log.read_text(encoding="utf-8")


def test_a_failed_job_is_heard(speaking: Surroundings, checkout: Checkout, tmp_path: Path) -> None:
    checkout.configure({"dataset": {"name": "cityscapes", "root": "nowhere 数据"}})
    status, printed = snakemake(checkout, speaking("zh_CN.GBK"), tmp_path / "printed", *CRON)
    assert status == 1
    lines = printed.decode("gbk").splitlines()
    assert len([line for line in lines if line.startswith("error: nowhere 数据/")]) == 1


def test_a_name_that_the_language_lacks(
    speaking: Surroundings, checkout: Checkout, tmp_path: Path
) -> None:
    checkout.configure({"dataset": {"name": "cityscapes", "root": "nowhere 数据"}})
    status, printed = snakemake(checkout, speaking("de_DE.ISO-8859-1"), tmp_path / "printed", *CRON)
    assert status == 1
    line = printed.decode("latin-1").splitlines()[-1]
    assert line.startswith(r"error: config: dataset.root: 'nowhere \u6570\u636e' has characters")
    assert "(iso8859-1)" in line
    assert "LC_ALL=C.UTF-8" in line


def test_a_folder_whose_name_is_no_text(speaking: Surroundings, tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / os.fsdecode("größe".encode()))
    status, printed = snakemake(checkout, speaking("C"), tmp_path / "printed", "--dry-run")
    assert status == 1
    assert printed.splitlines()[-1].startswith(f"error: {tmp_path}/gr\\udcc3".encode())


@pytest.mark.parametrize(
    ("language", "encoding", "printed"),
    [
        ("zh_CN.GBK", "gbk", r"gr\xf6\xdfe × → 数"),
        ("de_DE.ISO-8859-1", "latin-1", r"größe × \u2192 \u6570"),
        ("C", "ascii", r"gr\xf6\xdfe \xd7 \u2192 \u6570"),
    ],
)
def test_printing_goes_on(
    speaking: Surroundings, tmp_path: Path, language: str, encoding: str, printed: str
) -> None:
    words = "größe × → 数"
    program = tmp_path / "script.py"
    program.write_text(
        "from semask.base.errors import InputError\n"
        "from semask.workflow import guard\n"
        "def main():\n"
        "    guard.parser('').parse_args()\n"
        f"    print({words!r})\n"
        f"    raise InputError({words!r})\n"
        "guard.run(main)\n",
        encoding="utf-8",
    )
    environment = {**os.environ, **speaking(language), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, program]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert done.returncode == 1
    assert done.stdout.decode(encoding) == f"{printed}\n"
    assert done.stderr.decode(encoding) == f"error: {printed}\n"
    log = tmp_path / "log"
    subprocess.run([*command, "--error-log", log], env=environment, timeout=300)
    assert log.read_text(encoding="utf-8") == f"error: {words}\n"


@pytest.mark.parametrize(
    ("file", "quiet", "says"),
    [
        ("config.yaml", ("all",), "Config file is not valid JSON or YAML"),
        ("rules/weights.smk", ("all",), "Unexpected keyword inptu"),
        ("semask/workflow/plan.py", ("all",), "SyntaxError"),
        ("semask/workflow/plan.py", ("rules", "progress", "host"), "SyntaxError"),
        ("semask/workflow/plan.py", (), "SyntaxError"),
    ],
)
def test_a_fault_before_any_job_is_said(
    checkout: Checkout, file: str, quiet: tuple[str, ...], says: str
) -> None:
    with open(checkout.folder / file, "a", encoding="utf-8") as faulty:
        faulty.write("\nrule faulty:\n    inptu: 1: [\n")
    for arguments in ((), ("--dry-run",)):
        printed = checkout.snakemake("--quiet", *quiet, *arguments, ok=False)
        assert printed.count(says) == 1

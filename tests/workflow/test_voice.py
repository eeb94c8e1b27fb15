"""What is let through to standard error; with Snakemake itself in test_languages.py."""

import io
import locale
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from semask.workflow import voice


@pytest.fixture(autouse=True)
def the_language_comes_back() -> Iterator[None]:
    """It is the process's, and the tests after these read what scripts printed in it."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.mark.parametrize(
    ("quiet", "shown"),
    [
        (set(), ["started", "Select jobs to execute..."]),
        ({"all"}, ["failed"]),
        ({"rules", "progress"}, ["started", "failed"]),
    ],
)
def test_errors_are_let_through(quiet: set[str], shown: list[str]) -> None:
    stream = io.StringIO()
    log = logging.Logger("snakemake's", logging.INFO)
    handler = logging.StreamHandler(stream)
    handler.addFilter(lambda record: quiet != {"all"} and record.levelno < logging.ERROR)
    log.addHandler(handler)
    voice.prepare(quiet, log)
    log.info("started")
    log.info("Select jobs to execute...")
    log.error("failed")
    assert stream.getvalue().splitlines() == shown


def test_a_log_that_is_open_becomes_utf8(tmp_path: Path) -> None:
    log = logging.Logger("snakemake's", logging.INFO)
    handler = logging.FileHandler(tmp_path / "log", encoding="ascii")
    log.addHandler(handler)
    log.info("before")
    voice.prepare((), log)
    log.info("数据 \udce9")
    handler.close()
    assert (tmp_path / "log").read_text("utf-8") == "before\n数据 \\udce9\n"

"""Snakemake's report of a finished workflow, as a real browser shows it.

Screenshots are kept in `build/screenshots`.
"""

import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ..browser import Browser
from .conftest import REPOSITORY, Checkout

pytestmark = pytest.mark.workflow
WIDE, NARROW = 1400, 400
SCREENSHOTS = REPOSITORY / "build" / "screenshots"

# Cells of the tables at the top that cannot be read: outside of the window, cut off, too small, or
# with too little contrast (WCAG's formula and its least ratio, 4.5, for text)
UNREADABLE = """
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const luminance = colour => colour.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = rgb(getComputedStyle(e).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
const bad = [];
const cells = document.querySelectorAll('#table td, #table tbody th, #table caption');
for (const cell of cells) {
  const box = cell.getBoundingClientRect(), style = getComputedStyle(cell);
  const lights = [luminance(rgb(style.color)), luminance(behind(cell))].sort((a, b) => b - a);
  const contrast = (lights[0] + 0.05) / (lights[1] + 0.05);
  if (box.width < 20 || box.left < 0 || box.right > innerWidth + 0.5
      || cell.scrollWidth > cell.clientWidth + 1 || parseFloat(style.fontSize) < 12
      || contrast < 4.5)
    bad.push([cell.innerText, box.left, box.right, cell.scrollWidth, contrast].join(' '));
}
return [cells.length, bad];
"""


@pytest.fixture(scope="module")
def report(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report, alone in a folder: whatever it needs is in it."""
    alone = tmp_path_factory.mktemp("sent") / "report.html"
    alone.write_bytes((finished.folder / "results/report.html").read_bytes())
    return alone


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_table_is_readable(chromium: Browser, report: Path, width: int, scheme: str) -> None:
    chromium.open(report, width, 900, scheme)
    chromium.screenshot(SCREENSHOTS / f"report-{width}-{scheme}.png")
    assert chromium.errors() == []
    asked = [re.sub(":.*", "", url, flags=re.DOTALL) for url in chromium.requests()]
    assert set(asked) <= {"file", "data"}
    count, unreadable = chromium.run(UNREADABLE)
    assert count > 50
    assert unreadable == []
    # the first thing to see, and nothing to be scrolled sideways for
    assert (
        chromium.run("return document.querySelector('#verdict').getBoundingClientRect().top") < 450
    )
    assert chromium.run("return document.documentElement.scrollWidth <= innerWidth")


def test_sources_are_told_on_hover_and_led_to(chromium: Browser, report: Path) -> None:
    chromium.open(report, WIDE, 900, "light")
    title = chromium.run("return document.querySelector('#table td[data-column=FPS]').title")
    assert title.startswith("results/cpu-1p/performance/seed0/train.json: ")
    chromium.run("document.querySelector('#table td[data-column=FPS] a').click()")
    top = "return document.querySelector('#sources').getBoundingClientRect().top"
    assert chromium.run(top) < 900


def test_every_plot_and_the_rule_graph_are_drawn(chromium: Browser, report: Path) -> None:
    chromium.open(report, WIDE, 900, "dark")
    drawn = chromium.run(
        "return [...document.querySelectorAll("
        "'.semask figure svg, .semask section:not(#cross) figure img')]"
        ".map(e => e.getBoundingClientRect()).filter(b => b.width > 300 && b.height > 50).length"
    )
    # no NPU beside a GPU here; a picture for each of two rows; whether labels flip, the CPU decides
    assert drawn == 7 + 2
    graph = "return document.querySelectorAll('.vega-embed canvas, .vega-embed svg').length"
    deadline = time.monotonic() + 30  # it draws when it likes
    while not chromium.run(graph):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for name in ("classes", "confusion", "time", "predictions", "environment"):
        chromium.run(f"document.getElementById('{name}').scrollIntoView()")
        chromium.screenshot(SCREENSHOTS / f"report-{name}.png")


def test_it_prints_without_the_menu(chromium: Browser, report: Path, tmp_path: Path) -> None:
    chromium.open(report, WIDE, 900, "dark", media="print")
    assert chromium.run("return getComputedStyle(document.querySelector('nav')).display") == "none"
    sources = "return document.querySelector('#sources').getBoundingClientRect().height"
    assert chromium.run(sources) > 50
    ink = "return getComputedStyle(document.querySelector('.semask')).color"
    assert chromium.run(ink) == "rgb(0, 0, 0)"
    # tables in type no larger than the text's, and nothing that only scrolling would show
    text, table = (
        float(
            chromium.run(f"return getComputedStyle(document.querySelector('{of}')).fontSize")[:-2]
        )
        for of in (".semask", "#table table")
    )
    assert table <= text
    shown = (
        "return [...document.querySelectorAll('.scroll')].map(e => getComputedStyle(e).overflow)"
    )
    assert {*chromium.run(shown)} == {"visible"}
    chromium.printed(tmp_path / "report.pdf")
    # for people to look at; another run of the tests may write it, too
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    shutil.copy(tmp_path / "report.pdf", SCREENSHOTS / "report.pdf")
    pages = (tmp_path / "report.pdf").read_bytes().count(b"/Type /Page\n")
    assert pages > 3


def test_the_page_opens_on_its_own(chromium: Browser, finished: Checkout) -> None:
    page = finished.folder / "results/report/page.html"
    chromium.open(page, NARROW, 900, "light")
    assert chromium.errors() == []
    _, unreadable = chromium.run(UNREADABLE)
    assert unreadable == []
    # long names of rows, and paths, make it no wider
    name = "CPU-2P (planted: gradients_not_averaged)"
    chromium.run(
        "document.querySelectorAll('.semask :is(th, p, summary)').forEach("
        f"e => e.textContent = e.textContent.replace('CPU-2P', '{name}').replace(/ is | of /, '.'))"
    )
    assert chromium.run("return document.documentElement.scrollWidth") == NARROW


def test_a_finished_run_tells_of_the_table_and_the_report(
    copy_of_finished: Callable[[], Checkout],
) -> None:
    changed = copy_of_finished()
    page = changed.folder / "results/report.html"
    page.unlink()
    printed = changed.snakemake("--forcerun", "table")
    assert "| CPU-1P | " in printed
    assert "report: results/report.html" in printed.splitlines()
    before = page.read_bytes()
    assert len(before) > 10**6
    # for cron: nothing but errors
    printed = changed.snakemake("--forcerun", "table", "--quiet")
    assert "CPU-1P" not in printed
    page.unlink()
    changed.snakemake("--report", "results/report.html")
    assert page.is_file()


def test_a_single_stage_makes_no_report(copy_of_finished: Callable[[], Checkout]) -> None:
    changed = copy_of_finished()
    page = changed.folder / "results/report.html"
    page.unlink()
    changed.snakemake("--forcerun", "facts", "--", "results/facts.json")
    assert not page.exists()

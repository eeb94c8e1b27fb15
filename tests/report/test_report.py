"""The report's page and its plots, from made-up runs on GPUs and NPUs."""

import copy
import html
import itertools
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semask.base.errors import InputError
from semask.base.files import digest_of
from semask.comparison.imported import Imported
from semask.comparison.published import read_published
from semask.data.classes import CITYSCAPES_CLASSES
from semask.report import cross_section, rules
from semask.report.page import write_report
from semask.report.sections import PLOTS, TITLES
from semask.report.table import build_table
from semask.verdict.answer import GROUNDS
from semask.verdict.pairs import Judging

from ..browser import Browser
from ..conftest import REPOSITORY, looked_at, recipe

TEXTS = REPOSITORY / "report"
CAPTIONS = {
    path.stem: " ".join(path.read_text(encoding="utf-8").split()) for path in TEXTS.glob("*.rst")
}
TEXT_COLUMNS = ("Look", "Why", "Others accept", "By it", "What it sees")
ROWS = (("gpu", 1), ("gpu", 8), ("npu", 1), ("npu", 8))
FPS = {("gpu", 1): 10.0, ("gpu", 8): 60.0, ("npu", 1): 8.0, ("npu", 8): 62.0}
BATCHES = {1: 4, 8: 32}


class Site:
    """Records, logs and pictures of GPU and NPU rows."""

    def __init__(self, folder: Path, make_record: Any, host: str = ""):
        self.folder, self.make, self.host = folder, make_record, host
        self.imported: list[Site] = []  # others, that came in bundles
        self.trained: dict[str, Any] = {}
        self.evaluated: dict[str, Any] = {}
        self.looked: dict[str, Any] = {}
        self.crossed: dict[str, Any] = {}
        self.logs: dict[str, Any] = {}
        self.pictures: dict[str, Path] = {}
        self.picture = folder / "predictions.png"
        Image.new("RGB", (2000, 100), "white").save(self.picture)

    def add(self, device: str, processes: int, seed: int = 0, **changes: Any) -> None:
        row = {"device": device, "processes": processes, "threads": 1}
        common = {
            "row": row, "seed": seed, "recipe": recipe(global_batch=BATCHES[processes]), **changes,
        }  # fmt: skip
        for mode in ("full", "performance"):
            name = f"{self.host}{device}-{processes}p/{mode}/seed{seed}/train.json"
            made = self._record("train", mode=mode, **common)
            fps, images = FPS[device, processes], BATCHES[processes]
            made["figures"]["speed"] |= {"fps": fps, "warmup_iterations": 0}
            made["figures"]["speed"]["iterations_measured"] = 250
            made["figures"]["speed"]["communication_share"] = 0.0 if processes == 1 else 0.07
            made["figures"]["peak_memory_bytes"] = 3 * 2**30
            self.trained[name] = made
            self.logs[name] = [
                {"iteration": n, "loss": 3.0 / n, "seconds": images / fps, "data_seconds": 0.1}
                for n in range(1, 251)
            ] + [{"iteration": 250, "evaluation": {"miou": 45.0, "macc": 50.0, "aacc": 60.0}}]
        name = f"{self.host}{device}-{processes}p/full/seed{seed}/evaluate.json"
        made = self._record("evaluate", mode="full", **common)
        rng = np.random.default_rng(processes)
        ious = 60 + np.arange(19.0) + (2 if device == "npu" else 0)
        confusion = rng.integers(0, 5, (19, 19)) + 100 * np.eye(19, dtype=int)
        confusion[12, 11] = 60  # rider taken for person
        for which in ("best", "last"):
            made["figures"][which] |= {"iou": [*ious[:18], None], "confusion": confusion.tolist()}
        self.evaluated[name] = made
        self.pictures[name] = self.picture

    def look(self, device: str, processes: int, ratio: float, **changes: Any) -> None:
        """Adds a look at a row's device."""
        row = {"device": device, "processes": processes, "threads": 1}
        changes = {"recipe": recipe(global_batch=BATCHES[processes]), **changes}
        made = self.make("parity", row=row, **changes)
        chance = {"sites": [], "faults": []}
        painted = {"samples": 16, "pixels": 9000, "wrong": 3}
        data = {
            "painted": painted,
            "batches": [{"images": "5" * 64, "labels": "6" * 64}],
            "faults": [],
        }
        modules = looked_at({"network.norm": ratio, "network.head": 0.25})
        step = {"gradients": {"error": 2e-6, "yardstick": 1e-6, "ratio": 2.0}}
        steps = {
            "status": "passed",
            "rates": {},
            "quantities": [step],
            "medians": {"gradients": 2.0},
            "unequal": ["gradients of step 31", "update of step 31"],
        }
        made["figures"]["looks"] = {
            "semantics: modules": modules, "semantics: steps": steps, "chance": chance,
            "data": data,
        }  # fmt: skip
        digests = {"digest": "3" * 64, "recipe_digest": digest_of(made["recipe"])}
        self.looked[f"{device}-{processes}p/parity.json"] = {**made, "kind": "parity", **digests}

    def _record(self, kind: str, **changes: Any) -> Any:
        made = self.make(kind, **changes)
        made["run"]["host"] += self.host
        digests = {"digest": digest_of(made), "recipe_digest": digest_of(made["recipe"])}
        return {**made, "kind": kind, **digests}

    def table(self, experiment: str = "cityscapes") -> dict[str, Any]:
        rows = {json.dumps(r["row"]): r["row"] for r in self.trained.values()}
        made = build_table(
            [*rows.values()],
            self.trained | self.evaluated | self.looked,
            self.make("baselines"),
            read_published(REPOSITORY / "published/published.csv", ["ascend_port"]),
            self.make("facts"),
            [Imported(Path("site"), site.trained | site.evaluated) for site in self.imported],
            Judging(self.all("logs").__getitem__, 0.5, 0.05),
        )
        return {**made, "experiment": experiment}

    def all(self, what: str) -> dict[str, Any]:
        """Of this site and of those whose bundles are there."""
        return {k: v for site in (self, *self.imported) for k, v in getattr(site, what).items()}

    def report(self, experiment: str = "cityscapes") -> str:
        write_report(
            self.table(experiment),
            self.all("trained") | self.all("evaluated") | self.looked | self.crossed,
            self.all("logs").__getitem__, self.all("pictures"),
            {path.name: path.read_text("utf-8") for path in TEXTS.iterdir()},
            self.folder / "report",
        )  # fmt: skip
        return (self.folder / "report/page.html").read_text(encoding="utf-8")


def four_rows(folder: Path, make_record: Any) -> Site:
    made = Site(folder, make_record)
    for device, processes in ROWS:
        made.add(device, processes)
        made.look(device, processes, {"gpu": 2.0, "npu": 50.0}[device])
    return made


@pytest.fixture
def site(tmp_path: Path, make_record: Any) -> Site:
    """Four rows that a test may change."""
    return four_rows(tmp_path, make_record)


@pytest.fixture
def small_site(tmp_path: Path, make_record: Any) -> Site:
    """One row, which is drawn sooner."""
    made = Site(tmp_path, make_record)
    made.add("gpu", 8)
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_record: Any) -> Site:
    """Four rows whose report is drawn."""
    made = four_rows(tmp_path_factory.mktemp("finished"), make_record)
    made.crossed["cross.json"] = {**make_record("cross"), "kind": "cross"}
    made.pictures["cross.json"] = made.picture
    made.report()
    return made


@pytest.fixture
def text(finished: Site) -> str:
    """Their page."""
    return (finished.folder / "report/page.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Elements of a page, with a look that each is closed where it should be."""

    VOID = ("meta", "img", "br", "use", "path")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def values(self, attribute: str, tag: str | None = None) -> list[str]:
        found = (a.get(attribute) for name, a in self.elements if tag in (None, name))
        return [value for value in found if value is not None]


def test_the_page_is_whole_and_asks_for_nothing(text: str) -> None:
    page = Page(text)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}
    assert all(uri.startswith("data:image/webp;base64,") for uri in page.values("src"))
    assert "url(http" not in text
    ids = Counter(page.values("id"))
    assert max(ids.values()) == 1
    targets = [link[1:] for link in page.values("href") if link.startswith("#")]
    assert set(targets) <= set(ids)
    outside = [link for link in page.values("href", "a") if not link.startswith("#")]
    assert outside == []
    assert {*TITLES, "table", "environment", "sources"} <= set(ids)


def test_every_figure_says_where_it_is_from(finished: Site, text: str) -> None:
    cells = re.findall(r'<td data-column="([^"]+)"( title="[^"]+")?[^>]*><span>(.*?)</span>', text)
    assert len(cells) > 40
    for column, title, content in cells:
        value = re.sub("<.*", "", content)
        if column in (*TEXT_COLUMNS, "What the figures are") or re.match(r"not |none|$", value):
            assert "href" not in content
        else:
            assert 'href="#source-' in content, column
            assert ".json: " in title or "published/published.csv, line " in title
    sources = re.findall(r'<li id="source-\d+"><code>(.*?)</code>: (.*?)</li>', text)
    records = [*finished.trained, *finished.evaluated, *finished.looked]
    assert len(sources) == len(records) + 4
    assert all(source[1] for source in sources)


def test_npu_stands_beside_gpu(text: str) -> None:
    one, eight = (
        text.partition(f"<caption>NPU-{n}P against GPU-{n}P, measured")[2] for n in (1, 8)
    )
    figures = re.sub(r"<sup>.*?</sup>|<[^>]+>", " ", one.partition("</table>")[0]).split()
    assert "".join(figures).find("FPS10.008.00×0.800") > 0
    assert "× 1.033" in eight.partition("</table>")[0]


def test_what_the_plots_found(text: str) -> None:
    assert "Largest difference: NPU-1P − GPU-1P: road +2.00; NPU-8P − GPU-8P: road +2.00" in text
    assert "Best and worst class: GPU-1P from motorcycle 77.0 % to road 60.0 %" in text
    assert "rider taken for person" in text
    assert "Efficiency: GPU-8P 75 %, NPU-8P 97 %." in text
    assert "Loss at the end: GPU-1P 0.012" in text


def test_the_answer_comes_first(text: str) -> None:
    plain = html.unescape(" ".join(re.sub(r"<sup>.*?</sup>|<[^>]+>", " ", text).split()))
    said = "NPU-8P does not match GPU-8P in accuracy (semantics refuted: modules: network.norm"
    assert plain.index(said) < plain.index("All rows")
    assert "seeds undecided best mIoU: +0.00 points" in plain
    assert "speed shown 1.033 of the other row's FPS" in plain


def test_flips_stand_by_class_with_their_picture(small_site: Site, tmp_path: Path) -> None:
    made = small_site.make("cross", row={"device": "npu", "processes": 1, "threads": 1})
    flips = {"of_class": [3, 0, 50], "share_of_class": [3e-4, 0.0, 0.02]}
    made["figures"]["flips"] |= {"pixels": 53, **flips}
    made["figures"]["difference"]["iou"] = [-0.25, 0.0, None]
    same = copy.deepcopy(made)
    same["figures"]["flips"] |= {"pixels": 0, "of_class": [0, 0, 0]}

    told, none = cross_section.tables(
        {"a": made, "b": same}, {"a": small_site.picture, "b": small_site.picture}
    )

    assert told["title"] == "NPU-1P with the weights of CPU-1P, seed 0"
    assert told["said"].startswith("53 of 1,000,000 labelled pixels get another class; ")
    assert told["lines"] == [
        ["building", "50", "2.0e-02", "none"],
        ["road", "3", "3.0e-04", "-0.250"],
    ]
    assert told["picture"]["width"] == 1400
    assert (none["lines"], none["picture"]) == ([], None)
    assert none["said"] == "0 of 1,000,000 labelled pixels get another class."
    # a bundle brings no picture
    (alone,) = cross_section.tables({"a": made}, {"a": tmp_path / "none.png"})
    assert alone["picture"] is None


def test_the_page_shows_where_labels_flip(text: str) -> None:
    section = text.partition('<section id="cross">')[2].partition("</section>")[0]
    assert "CPU-1P with the weights of CPU-1P, seed 0" in section
    assert "<td>1</td>" in section
    assert 'alt="Where labels flip: CPU-1P' in section


def test_which_rule_accepts_which_port_stands_in_one_table() -> None:
    figures = [("loss curves", False), ("operators", True), ("operators", False), ("MFU", None)]
    pair = {
        "port": "NPU-1P",
        "original": "GPU-1P",
        "grounds": [
            {"ground": name, "answer": "shown", "why": "", "from": ["parity.json"]}
            for name in ("semantics", "precision", "chance")
        ] + [{"ground": "speed", "answer": "refuted", "why": "", "from": []}],
        "field": [
            {"figure": name, "accepted": accepted, "from": ["log.json"]}
            for name, accepted in figures
        ],
    }  # fmt: skip
    faulty = copy.deepcopy(pair) | {"port": "NPU-8P", "field": pair["field"][1:2]}
    faulty["grounds"][2]["answer"] = "refuted"
    undecided = copy.deepcopy(pair)
    undecided["grounds"][0]["answer"] = "undecided"

    told = rules.lines([pair, faulty, undecided, {**pair, "field": []}])

    assert [[cell.text for cell in line] for line in told] == [
        ["NPU-1P against GPU-1P", "accepted", "refused", "refused", "not judged"],
        ["NPU-8P against GPU-1P", "refused", "not measured", "accepted", "not measured"],
        ["NPU-1P against GPU-1P", "undecided", "refused", "refused", "not judged"],
    ]
    assert told[0][1].origins == ("parity.json",)
    assert told[0][2].origins == ("log.json",)


# of each pair the sentence and the grounds below it: text, and the corners
VERDICTS = """
return [...document.querySelectorAll('p.verdict, p.states span')].map(e => {
  const box = e.getBoundingClientRect();
  return [e.innerText, box.left, box.top, box.right, box.bottom];
});
"""


@pytest.mark.parametrize(
    ("width", "height", "media", "pairs"),
    [(1400, 900, "screen", 2), (400, 800, "screen", 1), (700, 1000, "print", 2)],  # A4 but margins
)
def test_the_verdict_fits_on_the_first_screen(
    chromium: Browser, finished: Site, width: int, height: int, media: str, pairs: int
) -> None:
    chromium.open(finished.folder / "report/page.html", width, height, "light", media)
    shown = chromium.run(VERDICTS)[: pairs * (1 + len(GROUNDS))]
    sentence, *grounds = [text for text, *_ in shown[: 1 + len(GROUNDS)]]
    assert sentence.startswith("NPU-1P does not match GPU-1P in accuracy (semantics refuted: ")
    assert grounds == [
        "semantics refuted", "precision undecided", "chance shown", "data shown",
        "same weights not run", "seeds undecided", "speed refuted",
    ]  # fmt: skip
    for text, left, top, right, bottom in shown:
        assert 0 <= left < right <= width, text
        assert 0 <= top < bottom <= height, text
    # nothing on the page is wider than it
    assert chromium.run("return document.documentElement.scrollWidth") == width


def test_the_rules_stand_below_the_sentences(text: str) -> None:
    assert text.count(rules.CAPTION) == 1
    line = re.sub(r"<sup>.*?</sup>|<[^>]+>", " ", text.partition(rules.CAPTION)[2])
    plain = " ".join(line.split())
    assert "NPU-8P against GPU-8P refused accepted refused" in plain
    assert plain.index("NPU-8P against GPU-8P refused") < plain.index("What others accept")


def test_what_the_looks_found(text: str) -> None:
    plain = html.unescape(" ".join(re.sub(r"<sup>.*?</sup>|<[^>]+>", " ", text).split()))
    begin = "NPU-8P semantics: modules refuted network.norm (Norm, torch/norm.py:7): output 0 is"
    assert begin in plain
    assert "GPU-8P semantics: modules shown 2 modules, the largest ratio is 2.00" in plain
    assert "the NPU's ratio is at most 25 times the GPU's (network.norm: 50 and 2)" in plain
    worst = "network.norm Norm, torch/norm.py:7 output 0 1.0e-05 not needed 50.00 failed"
    assert worst in plain
    assert "2 of 2 modules gave equal bits in two runs. Two passes through the whole gave" in plain
    assert "runs of each step gave other bits in gradients of step 31 and 1 more." in plain
    assert "gradients 2.00 2.0e-06" in plain
    assert "Of 16 painted samples 3 of 9000 pixels that were compared are not of" in plain
    assert "NPU-8P against GPU-8P, semantics: modules" in plain


@pytest.mark.parametrize("name", PLOTS)
def test_plots_are_svg_with_text(finished: Site, name: str) -> None:
    text = (finished.folder / f"report/{name}.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    words = "".join(root.itertext())
    assert "NPU-8P" in words
    if name in ("classes", "difference", "confusion"):
        assert all(label in words for label in CITYSCAPES_CLASSES)
    # in the page it is drawn in the page's ink
    assert "currentColor" in text
    assert "#000000" not in text.replace("fill: #000000", "")


def test_the_same_runs_give_the_same_files(finished: Site, site: Site) -> None:
    site.report()
    for name in PLOTS:
        first, second = (made.folder / f"report/{name}.svg" for made in (finished, site))
        assert first.read_bytes() == second.read_bytes(), name


def test_classes_have_the_colours_of_their_data_set(finished: Site) -> None:
    text = (finished.folder / "report/classes.svg").read_text(encoding="utf-8")
    for colour in ("#804080", "#f423e8", "#4682b4", "#dc143c"):  # road, sidewalk, sky, person
        assert colour in text


def test_what_cannot_be_drawn_says_why(small_site: Site) -> None:
    text = small_site.report()
    why = "This table has no NPU row with an accuracy beside a GPU row of the same recipe."
    assert why in text
    assert why in (small_site.folder / "report/difference.svg").read_text(encoding="utf-8")
    assert "Communication was not measured" not in text
    for record in small_site.trained.values():
        del record["figures"]["speed"]["communication_share"]
        del record["figures"]["peak_memory_bytes"]
    text = small_site.report()
    assert "Communication was not measured for GPU-8P" in text
    assert "No run in this table says how much memory it held." in text
    small_site.trained = {n: r for n, r in small_site.trained.items() if r["mode"] == "performance"}
    small_site.evaluated = {}
    text = small_site.report()
    assert "No full run is in this table." in text
    assert "Nobody has looked at the devices of this table's rows." in html.unescape(text)
    assert text.count("No accuracy is in this table.") == 2


def test_rows_of_another_recipe_are_not_subtracted(site: Site) -> None:
    for name, record in {**site.trained, **site.evaluated}.items():
        if name.startswith("npu-1p"):
            record["recipe"] = recipe(global_batch=4, learning_rate=1.0)
    text = site.report()
    assert "Largest difference: NPU-8P − GPU-8P: road +2.00 points." in text
    assert "not compared: differ in training.learning_rate" in text
    assert "Efficiency: GPU-8P 75 %, NPU-8P 97 %." not in text
    assert "Efficiency: GPU-8P 75 %." in text


def test_a_bundle_of_another_data_set_is_not_drawn_under_these_classes(
    small_site: Site, tmp_path: Path, make_record: Any
) -> None:
    other = Site(tmp_path, make_record, "other")
    other.add("npu", 8)
    for record in (*other.trained.values(), *other.evaluated.values()):
        record["recipe"] = {**record["recipe"], "dataset": "ade20k"}
    for record in other.evaluated.values():
        record["figures"]["best"]["iou"] = [1.0] * 150
    small_site.imported = [other]
    text = small_site.report()
    assert text.count("Of another data set and not drawn: NPU-8P (kept apart).") == 2
    assert "Loss at the end: GPU-8P 0.012, NPU-8P (kept apart) 0.012." in text


def test_one_npu_stands_beside_each_of_two_gpus(tmp_path: Path, make_record: Any) -> None:
    """Two machines of one name, measured on one day."""
    here = Site(tmp_path, make_record)
    here.add("npu", 1)
    first, second = (Site(tmp_path, make_record, "gpus") for _ in range(2))
    for site, fps, iou in ((first, 10.0, 58.0), (second, 20.0, 50.0)):
        site.add("gpu", 1)
        for record in site.trained.values():
            record["figures"]["speed"]["fps"] = fps
        for line in itertools.chain.from_iterable(site.logs.values()):
            if "seconds" in line:
                line["seconds"] = BATCHES[1] / fps
        for record in site.evaluated.values():
            record["figures"]["best"]["iou"] = [iou] * 18 + [None]
            record["digest"] = digest_of(fps)
        for kind in ("trained", "evaluated", "logs", "pictures"):
            named = {f"{fps}{name}": made for name, made in getattr(site, kind).items()}
            setattr(site, kind, named)
        for name, record in site.trained.items():
            record["digest"] = digest_of(name)
    here.imported = [first, second]
    text = here.report()
    tables = text.split("<caption>NPU-1P against GPU-1P")[1:]
    figures = [
        "".join(re.sub(r"<sup>.*?</sup>|<[^>]+>", " ", one.partition("</table>")[0]).split())
        for one in tables
    ]
    assert any("FPS10.008.00×0.800" in told for told in figures)
    assert any("FPS20.008.00×0.400" in told for told in figures)
    assert "NPU-1P − GPU-1P: motorcycle +21.00" in text
    assert "NPU-1P − GPU-1P (2): motorcycle +29.00" in text
    words = (tmp_path / "report/difference.svg").read_text(encoding="utf-8")
    assert "NPU-1P − GPU-1P (2)" in words
    environment = text.partition('id="environment"')[2].partition("</table>")[0]
    assert environment.count('<th scope="col">GPU-1P') == 2


def test_other_hardware_is_no_measure_of_scaling(
    small_site: Site, tmp_path: Path, make_record: Any
) -> None:
    other = Site(tmp_path, make_record, "other")
    other.add("gpu", 1)
    for record in other.trained.values():
        record["device"]["name"] = "a slower one"
    small_site.imported = [other]
    assert "GPU-8P 75 %" not in small_site.report()


def test_a_row_with_a_planted_fault_is_marked(small_site: Site) -> None:
    """Beside the same device on one process, of which it is no measure of scaling."""
    for record in (*small_site.trained.values(), *small_site.evaluated.values()):
        record["row"]["planted_fault"] = "gelu_tanh"
    small_site.add("gpu", 1)
    text = small_site.report()
    assert "GPU-8P (planted: gelu_tanh)" in text
    assert "GPU-8P 75 %" not in text


def test_names_are_texts(small_site: Site) -> None:
    odd = "<script>alert(1)</script>&\"'"
    for record in small_site.trained.values():
        record["device"]["name"] = odd
        record["run"]["command"] = odd
    text = small_site.report(odd)
    Page(text)
    assert "<script" not in text


def test_captions_are_plain_sentences() -> None:
    assert {*TITLES, "environment"} == {*CAPTIONS} - {"workflow"}
    for name in (*TITLES, "environment"):
        assert CAPTIONS[name].endswith(".")
        assert not re.search(r"[`*_|<>{}\\]", CAPTIONS[name]), name


def test_a_broken_picture_is_named(small_site: Site) -> None:
    small_site.picture.write_bytes(small_site.picture.read_bytes()[:60])
    with pytest.raises(InputError, match=r"predictions\.png: cannot be read as an image"):
        small_site.report()


def test_many_classes_are_drawn(small_site: Site) -> None:
    """Without names at the matrix, where there is no room for them."""
    rng = np.random.default_rng(0)
    for record in (*small_site.trained.values(), *small_site.evaluated.values()):
        record["recipe"] = {**record["recipe"], "dataset": "ade20k"}
    for record in small_site.evaluated.values():
        confusion = rng.integers(0, 9, (150, 150)).tolist()
        record["figures"]["best"] |= {"iou": [50.0] * 150, "confusion": confusion}
    small_site.report()
    assert "wall" in (small_site.folder / "report/classes.svg").read_text(encoding="utf-8")
    assert "wall" not in (small_site.folder / "report/confusion.svg").read_text(encoding="utf-8")


def test_a_picture_of_very_many_images_is_shown_smaller(small_site: Site) -> None:
    Image.new("RGB", (100, 20_000), "white").save(small_site.picture)
    assert 'height="16383"' in small_site.report()

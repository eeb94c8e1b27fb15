"""The demonstration at the size of a toy: a healthy port is cleared, each fault is named."""

import csv
import zipfile
from typing import Any

import pytest
import yaml

from ..conftest import read_json
from .conftest import REPOSITORY, TINY, Checkout

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

MODULES, STEPS, CHANCE = "semantics: modules", "semantics: steps", "chance"
# by planted fault: the looks that refute the row, and what the first of them says
REFUTED: dict[str, tuple[set[str], str]] = {
    "none": (set(), ""),
    "gelu_tanh": ({MODULES, STEPS}, "layers.0.blocks.0.mlp.act (GELU"),
    "drop_path_never_fires": ({CHANCE}, "layers.0): bernoulli_ keeps 100.00%, where "),
    "decay_everything": ({STEPS}, "(spared weights)"),
    "gradients_not_averaged": ({STEPS}, "gradients by a median ratio of "),
}


def name_of(fault: str) -> str:
    return f"CPU-2P (planted: {fault})"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = Checkout(tmp_path_factory.mktemp("demonstration") / "checkout")
    demonstration = yaml.safe_load((REPOSITORY / "experiments/port_demo.yaml").read_text("utf-8"))
    made.configure(demonstration)
    small = {key: TINY[key] for key in ("dataset", "training", "performance", "evaluation")}
    parity = {"looks": ["semantics", "chance"], "size": [32, 32], "steps": 1}
    rows = [{**row, "modes": ["full"]} for row in demonstration["rows"]]
    made.configure({**small, "parity": parity, "rows": rows})
    made.snakemake()
    made.snakemake("--", "results/port_demo/bundle.zip")
    return made


@pytest.fixture(scope="module")
def table(shown: Checkout) -> dict[str, Any]:
    made: dict[str, Any] = read_json(shown.folder / "results/port_demo/table.json")
    return made


def grounds(table: dict[str, Any], name: str) -> dict[str, dict[str, str]]:
    [line] = [line for line in table["rows"] if line["name"] == name]
    return {each["ground"]: each for each in line["parity"]["grounds"]}


@pytest.mark.parametrize("fault", REFUTED)
def test_what_parity_says(table: dict[str, Any], fault: str) -> None:
    found = grounds(table, name_of(fault))
    looks, said = REFUTED[fault]
    assert {look for look, each in found.items() if each["answer"] == "refuted"} == looks
    assert {each["answer"] for look, each in found.items() if look not in looks} <= {"shown"}
    first = next((each["why"] for look, each in found.items() if look in looks), "")
    assert said in first


def test_the_original_is_cleared(table: dict[str, Any]) -> None:
    assert {each["answer"] for each in grounds(table, "CPU-2P").values()} == {"shown"}


def test_every_figure_is_marked(shown: Checkout, table: dict[str, Any]) -> None:
    results = shown.folder / "results/port_demo"
    names = ["CPU-2P", *map(name_of, REFUTED)]
    assert [line["name"] for line in table["rows"]] == names
    lines = csv.DictReader((results / "table.csv").read_text("utf-8").splitlines())
    assert [line["name"] for line in lines] == names
    for form in ("table.md", "report/page.html"):
        text = (results / form).read_text("utf-8")
        assert all(name in text for name in names)
    for fault in REFUTED:
        records = [*(results / f"cpu-2p-{fault}").rglob("*.json")]
        assert {path.name for path in records} >= {"train.json", "evaluate.json", "parity.json"}
        assert {read_json(path)["row"]["planted_fault"] for path in records} == {fault}


def test_planted_rows_travel(shown: Checkout) -> None:
    with zipfile.ZipFile(shown.folder / "results/port_demo/bundle.zip") as bundle:
        folders = {name.partition("/")[0] for name in bundle.namelist()} - {"bundle.json"}
    assert folders == {"cpu-2p", *(f"cpu-2p-{fault}" for fault in REFUTED)}

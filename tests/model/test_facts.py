"""Facts of models against the recorded ones of the original implementation, and against sums."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from semask.base.errors import InputError
from semask.base.records import read_record
from semask.model import VARIANTS, SeMaskFPN
from semask.model.facts import SIZES, gmac, model_facts, on_meta, variants_tables

from ..conftest import REPOSITORY
from ..warm import run_script

PAPERS = ("tiny", "small", "base", "large")


@pytest.fixture(scope="module", autouse=True)
def counted_once() -> Iterator[None]:
    """Each model is built, and its work at a size counted, once for all of these tests."""
    built = cache(lambda settings: on_meta(json.loads(settings)))

    def build(settings: dict[str, Any]) -> SeMaskFPN:
        return built(json.dumps(settings))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("semask.model.facts.on_meta", build)
        patch.setattr("semask.model.facts.gmac", cache(gmac))
        yield


@pytest.mark.parametrize("variant", PAPERS)
def test_facts_are_the_recorded_ones(oracle: Path, variant: str) -> None:
    known = json.loads((oracle / "counts.json").read_text(encoding="utf-8"))[f"{variant}_c19"]

    facts = model_facts({"variant": variant, "num_classes": 19})

    assert facts["parameters"] == {
        "total": known["params"],
        "backbone": known["backbone"],
        "semantic_layers": known["semantic"],
        "decoder": known["head"],
    }
    assert facts["buffers"] == known["buffers"]
    recorded = {key.rpartition("_")[2] for key in known if key.startswith("GMAC_")}
    assert set(facts["gmac"]) == recorded
    for size, figures in facts["gmac"].items():
        # the records have two digits
        assert round(figures["total"], 2) == known[f"GMAC_{size}"]
        assert round(figures["backbone"], 2) == known[f"GMAC_backbone_{size}"]
        assert round(figures["semantic_layers"], 2) == known[f"GMAC_semantic_{size}"]


def semantic_gmac(height: int, width: int, window: int | None, num_classes: int) -> float:
    """Products of nano's semantic layers, summed by hand."""
    total = 0
    for stage in range(4):
        channels, stride = VARIANTS["nano"]["embed"] * 2**stage, 4 * 2**stage
        rows, columns = height // stride, width // stride
        group = rows * columns
        if window is not None:
            rows, columns = (-(-side // window) * window for side in (rows, columns))
            group = window**2
        tokens = rows * columns
        projections = tokens * channels * (2 * num_classes + 2 * channels)
        total += projections + tokens * group * (num_classes + channels)
    return total / 1e9


@pytest.mark.parametrize(("attention", "window"), [("windowed", 7), ("global", None)])
def test_semantic_layers_by_hand(attention: str, window: int | None) -> None:
    facts = model_facts(
        {"variant": "nano", "num_classes": 150, "semantic_attention": [attention] * 4}
    )
    for height, width in SIZES:
        found = facts["gmac"][f"{height}x{width}"]["semantic_layers"]
        assert found == pytest.approx(semantic_gmac(height, width, window, 150), rel=1e-12)


def test_settings_that_change_no_product_change_no_fact() -> None:
    plain = model_facts({"variant": "nano", "num_classes": 19})
    other = model_facts(
        {"variant": "nano", "num_classes": 19, "fused_attention": True, "norm": "syncbn",
         "drop_path": 0.0, "gelu": "fast"}
    )  # fmt: skip
    assert other == plain


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="unknown variant 'huge'"):
        model_facts({"variant": "huge", "num_classes": 19})


def test_documented_figures_are_the_computed_ones() -> None:
    documented = (REPOSITORY / "docs" / "model.md").read_text(encoding="utf-8")
    tables = variants_tables().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        assert len(table.splitlines()) == 2 + len(PAPERS)
        assert table in documented
    assert "python -m workflow_scripts.facts --variants" in documented


def test_the_script_makes_a_record_of_the_embedded_model(
    config: dict[str, Any], tmp_path: Path
) -> None:
    model = {key: value for key, value in config["model"].items() if key != "pretrained"}
    record = tmp_path / "facts.json"

    done = run_script("facts", "--model", json.dumps(model), "--record", record)

    assert done.status == 0, done.stderr
    figures = read_record(record, "facts")["figures"]
    assert figures == model_facts(model)
    assert figures["variant"] == "nano"

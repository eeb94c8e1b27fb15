"""Two clean checkouts make one table: a CPU site in the place of the GPU's, a simulated NPU site.

Each has its own folder, its own `.snakemake` and data of its own, made from the same seed. Only a
bundle goes from the one to the other.
"""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ..ssh import new_key
from .conftest import Checkout
from .test_bad_input import error_lines

pytestmark = pytest.mark.workflow

NPU_ROWS: list[dict[str, Any]] = [
    {"device": "npu", "processes": 1, "threads": 1, "modes": ["full", "performance"], "seeds": [0]},
    {"device": "npu", "processes": 2, "threads": 1, "modes": ["full"], "seeds": [0]},
]


@pytest.fixture(scope="module")
def npu_site(
    tmp_path_factory: pytest.TempPathFactory, simulated_npu: Callable[[], dict[str, str]]
) -> Checkout:
    """A checkout with a table of NPU rows; not to be changed by a test."""
    made = Checkout(tmp_path_factory.mktemp("npu") / "NPU site")
    made.surroundings = simulated_npu()
    made.configure({"rows": NPU_ROWS, "npu": {"forbid_fallbacks": True}})
    made.snakemake()
    return made


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def losses(log: Path) -> list[float]:
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def measured(site: Checkout) -> dict[str, Any]:
    rows = read_json(site.folder / "results/table.json")["rows"]
    return {row["name"]: row for row in rows if row["kind"] == "measured" and not row["apart"]}


def test_npu_rows_from_the_data_to_the_table(npu_site: Checkout, finished: Checkout) -> None:
    rows = measured(npu_site)
    assert list(rows) == ["NPU-1P", "NPU-2P"]
    assert rows["NPU-1P"]["fps"]["value"] > 0
    for name in ("NPU-1P", "NPU-2P"):
        assert rows[name]["acc1"]["value"] >= 0
    # one code path: the first losses are those of the CPU
    on_npu, on_cpu = (
        losses(site.folder / f"results/{row}-1p/full/seed0/log.jsonl")
        for site, row in ((npu_site, "npu"), (finished, "cpu"))
    )
    assert on_npu == pytest.approx(on_cpu, rel=1e-5)
    origins = read_json(npu_site.folder / "results/table.json")["records"].values()
    assert [origin["device"] for origin in origins].count("Simulated NPU") == 5
    assert not npu_site.planned()


def packed(site: Checkout, bundle: Path) -> str:
    """Has a site pack its rows, copies what it made, gives back the digest that was printed."""
    printed = site.snakemake("bundle")
    for suffix in ("", ".sig"):
        shutil.copyfile(site.folder / f"results/bundle.zip{suffix}", f"{bundle}{suffix}")
    return printed.partition("files, digest ")[2].split()[0]


@pytest.fixture
def sites(
    npu_site: Checkout, copy_of_finished: Callable[[], Checkout], tmp_path: Path
) -> tuple[Checkout, Checkout]:
    """The CPU site, with all bundles of the NPU site in its config; and the NPU site."""
    here, there = copy_of_finished(), npu_site.copy(tmp_path / "there")
    key = there.folder / "a key"
    new_key(key)
    signers = f"npu@site {Path(f'{key}.pub').read_text(encoding='utf-8')}"
    (here.folder / "those who sign").write_text(signers, encoding="utf-8")
    there.configure({"bundle": {"sign": key.name}})
    digest = packed(there, here.folder / "the NPUs' bundle.zip")
    # the same machine, another time, with another learning rate
    there.configure({"training": {"learning_rate": 0.002}})
    there.configure({"rows": [{**NPU_ROWS[0], "modes": ["performance"]}]})
    packed(there, here.folder / "other.zip")
    here.configure(
        {
            "imports": {
                "allowed_signers": "those who sign",
                "npu_site": {"file": "the NPUs' bundle.zip", "digest": digest},
                "other_recipe": {"file": "other.zip", "digest": None},
            }
        }
    )
    return here, there


@pytest.mark.slow
def test_two_sites_make_one_table(sites: tuple[Checkout, Checkout]) -> None:
    here, there = sites
    results = here.folder / "results"
    assert here.planned() == {"unpack": 2, "table": 1}
    here.snakemake()
    assert here.planned() == {}

    table = pd.read_csv(results / "table.csv")
    rows = table[table["kind"] == "measured"].set_index("name")
    assert list(rows.index) == ["CPU-1P", "CPU-2P", "NPU-1P", "NPU-2P", "NPU-1P"]
    sources = [source.split(", ")[0] for source in rows["source"]]
    assert rows["signed_by"].fillna("").tolist() == ["", "", *["npu@site"] * 3]
    host = socket.gethostname()
    assert sources == [f"measured here ({host}"] * 2 + [f"measured on {host}"] * 3
    assert rows["apart"].fillna("").tolist() == ["", "", "", "", "training.learning_rate"]
    # nobody takes a simulated NPU for an Ascend NPU, nor a CPU for a GPU
    assert rows["device"].tolist()[2:] == ["Simulated NPU"] * 3
    assert set(table[table["name"].str.startswith("GPU")]["kind"]) == {"published"}
    for path in results.rglob("*-*p/*/seed*/train.json"):
        record = read_json(path)
        is_npu = "imported" in path.parts
        assert record["row"]["device"] == ("npu" if is_npu else "cpu")
        assert record["device"]["cuda"] is None
        if is_npu:
            versions = [record["device"][key] for key in ("torch_npu", "cann", "driver")]
            assert all("simulated" in version for version in versions)

    # every figure has its source, a record that is there and says the same; NPU figures are those
    # of the NPU site's own table
    for name, row in measured(here).items():
        for key, cell in row.items():
            if isinstance(cell, dict) and "state" in cell and cell["value"] is not None:
                assert cell["from"], (name, key)
                assert all((here.folder / path).is_file() for path in cell["from"])
        if name.startswith("NPU"):
            theirs = measured(there)[name]
            for key in ("acc1", "last_miou", "fps", "pytorch"):
                assert row[key]["value"] == theirs[key]["value"]
                assert all("/imported/npu_site/" in x for x in row[key].get("from", ()))
    logs = ("imported/npu_site/npu-1p/full/seed0/log.jsonl", "cpu-1p/full/seed0/log.jsonl")
    on_npu, on_cpu = (losses(results / log) for log in logs)
    assert on_npu == pytest.approx(on_cpu, rel=1e-5)

    # no GPU was measured, so no NPU is compared with one
    pairs = read_json(results / "table.json")["npu_over_gpu"]
    assert {pair["kind"] for pair in pairs} == {"published"}
    together, _, apart = (
        (results / "table.md").read_text(encoding="utf-8").partition("## Kept apart")
    )
    assert together.count("| measured on ") == 2
    assert "differs from this machine's rows in training.learning_rate." in apart

    _an_edited_bundle_is_refused(here)


def _an_edited_bundle_is_refused(here: Checkout) -> None:
    """Whatever its time is; the table stays as it was."""
    table, bundle = here.folder / "results/table.md", here.folder / "the NPUs' bundle.zip"
    text, whole, when = (
        table.read_text(encoding="utf-8"),
        bundle.read_bytes(),
        bundle.stat().st_mtime,
    )
    bundle.write_bytes(whole.replace(b'"miou"', b'"mioU"', 1))
    [line] = error_lines(here.snakemake(ok=False))
    assert line.startswith(f"error: {bundle.name}: was changed after it was signed")
    here.configure({"imports": {"allowed_signers": None}})
    [line] = error_lines(here.snakemake(ok=False))
    assert line.startswith(f"error: {bundle.name}: member ")
    assert line.endswith("; ask for the bundle again where it was made")
    here.configure({"imports": {"allowed_signers": "those who sign"}})
    assert table.read_text(encoding="utf-8") == text
    bundle.write_bytes(whole)
    here.snakemake()
    assert table.read_text(encoding="utf-8") == text
    # another bundle in its place that is older than what was unpacked
    shutil.copyfile(here.folder / "other.zip", bundle)
    os.utime(bundle, (when - 9, when - 9))
    assert here.planned() == {"unpack": 1, "table": 1}
    [line] = error_lines(here.snakemake(ok=False))
    assert "was changed after it was signed" in line
    shutil.copyfile(here.folder / "other.zip.sig", f"{bundle}.sig")
    os.utime(f"{bundle}.sig", (when - 9, when - 9))
    [line] = error_lines(here.snakemake(ok=False))
    assert "is the one with digest" in line
    # before anything is unpacked
    Path(f"{bundle}.sig").unlink()
    printed = here.snakemake(ok=False)
    assert f"error: {bundle.name}: is not signed, and allowed_signers is set" in printed

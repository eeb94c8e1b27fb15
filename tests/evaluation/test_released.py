"""Released checkpoints: scored through the command line, and their table."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from semask.base.records import read_record
from semask.comparison.published import published_accuracy
from semask.data.labels import convert_part
from semask.data.manifest import merge, write_manifest
from semask.data.sets import streets
from semask.data.streets import generate
from semask.model import build
from semask.model.weights import export_reference
from semask.report.released_table import build_released_table, write_released_table

from ..conftest import REPOSITORY
from ..warm import run_script

MODEL = {"variant": "nano", "num_classes": 19, "drop_path": 0.3, "norm": "syncbn",
         "semantic_attention": ["windowed", "windowed", "global", "global"]}  # fmt: skip
CONFIG: dict[str, Any] = {
    "experiment": "test",
    "dataset": "streets",
    "row": {"device": "cpu", "processes": 1, "threads": 1},
    "model": MODEL,
    "numerics": {"gelu": "exact", "reduced_matmul": False, "reduced_convolution": False,
                 "deterministic": False, "shared_chance": False},
    "evaluation": {
        "scale": [64, 32],
        "sliding_window": None,
        "multi_scale": {"ratios": [0.5, 1.0], "flip": True},
    },
    "workers": 0,
    "forbid_fallbacks": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five validation scenes in `streets`, labels and manifest in `labels`, a checkpoint."""
    folder = tmp_path_factory.mktemp("released")
    cities = {"train": {"alder": 1}, "val": {"elm": 5}}
    generate(folder / "streets", seed=1, width=64, height=32, cities=cities)
    made = convert_part(streets, folder / "streets", "val", "elm", folder / "labels")
    write_manifest(folder / "labels/val.json", merge([made]))
    torch.manual_seed(0)
    state = export_reference(build(**MODEL))
    state["decode_head.conv_seg.bias"].copy_(torch.linspace(0, 1, 19))
    torch.save({"state_dict": state, "meta": {"CLASSES": ["road"], "epoch": 1}, "optimizer": {}},
               folder / "semask_nano.pth")  # fmt: skip
    return folder


def score(data: Path, record: Path, ok: bool = True, **changes: Any) -> str:
    config = {**CONFIG, **changes}
    done = run_script(
        "released",
        *("--config", json.dumps(config), "--weights", data / "semask_nano.pth"),
        *("--val-manifest", data / "labels/val.json"),
        *("--root", data / "streets", "--labels", data / "labels", "--record", record),
    )
    assert (done.status == 0) == ok, done.stdout + done.stderr
    return done.stderr


def test_one_and_two_processes_find_the_same(data: Path, tmp_path: Path) -> None:
    score(data, tmp_path / "one.json")
    score(data, tmp_path / "two.json", row={"device": "cpu", "processes": 2, "threads": 1})
    one, two = (read_record(tmp_path / f"{name}.json", "released") for name in ("one", "two"))
    assert one["figures"] == two["figures"]
    manifest = json.loads((data / "labels/val.json").read_text(encoding="utf-8"))
    for scores in (one["figures"]["single_scale"], one["figures"]["multi_scale"]):
        assert sum(map(sum, scores["confusion"])) == sum(manifest["pixels"][:-1])
    assert one["figures"]["single_scale"]["confusion"] != one["figures"]["multi_scale"]["confusion"]


def test_a_checkpoint_of_another_model_is_refused(data: Path, tmp_path: Path) -> None:
    printed = score(data, tmp_path / "a.json", ok=False, model={**MODEL, "depths": [1, 1, 1, 1]})
    assert all(line.startswith("error: ") for line in printed.splitlines())
    assert "semask_nano.pth" in printed
    assert not (tmp_path / "a.json").exists()


def test_the_table_in_three_forms(data: Path, tmp_path: Path) -> None:
    score(data, tmp_path / "nano.json")
    record = read_record(tmp_path / "nano.json", "released")
    published = {
        "nano": {"crop": "64x64", "miou_single_scale": 77.13, "miou_multi_scale_flip": None,
                 "params_m": 5.0, "line": 7, "val_images": 5.0, "scale": "64x32",
                 "ms_ratios": None},
    }  # fmt: skip
    table = build_released_table({"nano.json": record}, published)
    [row] = table["rows"]
    miou = record["figures"]["single_scale"]["miou"]
    assert row["miou"] == miou
    assert row["difference_miou"] == pytest.approx(miou - 77.13)
    assert row["miou_multi_scale"] == record["figures"]["multi_scale"]["miou"]
    assert row["difference_miou_multi_scale"] is None
    assert row["record"]["digest"] == record["digest"]

    files = [tmp_path / f"table.{suffix}" for suffix in ("md", "csv", "json")]
    write_released_table(table, *files)
    text = files[0].read_text(encoding="utf-8")
    assert f"| nano    | 64x64 | {miou:.2f}" in text
    assert f"77.13 ({miou - 77.13:+.2f})" in text
    assert "not published" in text
    # weights of one's own, of a model that others published weights of
    mine = build_released_table({"a `b`/nano_mine.json": record}, {})
    write_released_table(mine, files[0], tmp_path / "mine.csv", tmp_path / "mine.json")
    text = files[0].read_text(encoding="utf-8")
    assert "- nano_mine: `` a `b`/nano_mine.json ``: " in text
    assert "published: nothing" in text
    frame = pd.read_csv(files[1])
    assert frame["miou"][0] == miou
    assert frame["parameters_m"].dtype == float
    assert json.loads(files[2].read_text(encoding="utf-8")) == table


def test_on_a_simulated_npu(
    data: Path, tmp_path: Path, simulated_npu: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    score(data, tmp_path / "cpu.json")
    for name, value in simulated_npu(SIMULATED_NPU_UNSUPPORTED="aten::topk").items():
        monkeypatch.setenv(name, value)
    score(data, tmp_path / "npu.json", row={"device": "npu", "processes": 1, "threads": 1})
    cpu, npu = (read_record(tmp_path / f"{name}.json", "released") for name in ("cpu", "npu"))
    found, expected = (record["figures"]["single_scale"]["miou"] for record in (npu, cpu))
    assert found == pytest.approx(expected, abs=0.2)
    assert npu["figures"]["cpu_fallbacks"] == []
    assert cpu["figures"]["cpu_fallbacks"] is None
    # evaluation resizes its logits
    monkeypatch.setenv("SIMULATED_NPU_UNSUPPORTED", "aten::upsample_bilinear2d.out")
    row = {"device": "npu", "processes": 1, "threads": 1}
    printed = score(data, tmp_path / "no.json", ok=False, row=row, forbid_fallbacks=True)
    assert printed.startswith(
        "error: npu.forbid_fallbacks: the NPU lacks aten::upsample_bilinear2d"
    )
    assert not (tmp_path / "no.json").exists()


def test_another_number_of_images_shows_no_difference(data: Path, tmp_path: Path) -> None:
    score(data, tmp_path / "nano.json")
    record = read_record(tmp_path / "nano.json", "released")
    theirs = {"crop": "64x64", "miou_single_scale": 77.13, "miou_multi_scale_flip": 79.14,
              "params_m": 5.0, "line": 7, "val_images": 500.0, "scale": "64x32",
              "ms_ratios": "0.5 1.0 1.5"}  # fmt: skip
    table = build_released_table({"nano.json": record}, {"nano": theirs})
    [row] = table["rows"]
    assert row["difference_miou"] is None
    assert row["difference_miou_multi_scale"] is None
    assert row["differing"]["miou"] == ["5 images of 500"]
    assert row["differing"]["miou_multi_scale"] == ["5 images of 500", "evaluation.multi_scale"]
    files = [tmp_path / f"table.{suffix}" for suffix in ("md", "csv", "json")]
    write_released_table(table, *files)
    assert "77.13 (not the same: 5 images of 500)" in files[0].read_text(encoding="utf-8")


def test_published_accuracy_by_variant() -> None:
    path = REPOSITORY / "published/published.csv"
    found = published_accuracy(path, "semask_repo", "coco_stuff10k")
    assert list(found) == ["tiny", "small", "base", "large"]
    assert found["large"]["miou_multi_scale_flip"] == 48.54
    assert found["tiny"]["line"] == 14

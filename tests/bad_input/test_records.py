"""Records, and the published figures beside them: what is evaluated, exported and tabulated."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semask.base.files import digest_of, sha256
from semask.base.records import write_record
from semask.data.label_maps import pack_label_maps, save_label_map

from .conftest import Case, Place, named, nothing

TRAIN, EVALUATE = "run/train.json", "run/evaluate.json"
BASELINES, FACTS = "run/baselines.json", "run/facts.json"
PUBLISHED = "published/published.csv"
ROW = {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0]}
TABLE = {
    "--rows": [ROW],
    "--trained": TRAIN,
    "--evaluated": EVALUATE,
    "--baselines": BASELINES,
    "--facts": FACTS,
    "--published": PUBLISHED,
    "--sources": "ascend_port",
    "--equivalence": {"margin": 0.5, "speed": 0.05},
    "--markdown": "table.md",
    "--csv": "table.csv",
    "--json": "table.json",
}
SCORING = {
    "processes": 1,
    "workers": 0,
    "execution": {"compile": [], "fused_attention": [], "checkpointing": []},
    "multi_scale": None,
    "predictions": 1,
    "forbid_fallbacks": False,
}
EVALUATION = {
    "--train-record": TRAIN,
    "--best": "run/best.safetensors",
    "--last": "run/last.safetensors",
    "--val-manifest": "labels/val.json",
    "--root": "data",
    "--labels": "labels",
    "--run": SCORING,
    "--pictures": "out/predictions.png",
    "--record": "out/evaluate.json",
}
CROSS: dict[str, Any] = {
    "--evaluate-record": EVALUATE,
    "--best": "run/best.safetensors",
    "--label-maps": "run/label_maps.zip",
    "--val-manifest": "labels/val.json",
    "--root": "data",
    "--labels": "labels",
    "--run": {
        "device": "cpu",
        "processes": 1,
        "threads": 1,
        "workers": 0,
        "execution": {"compile": [], "fused_attention": [], "checkpointing": []},
        "predictions": 1,
        "forbid_fallbacks": False,
    },
    "--pictures": "out/flips.png",
    "--matrices": "out/matrices.npz",
    "--record": "out/cross.json",
}
AGREEMENT = {
    "--evaluate-record": EVALUATE,
    "--saved-predictions": "run/predictions.json",
    "--val-manifest": "labels/val.json",
    "--root": "data",
    "--labels": "labels",
    "--record": "run/agreement.json",
}


def folder(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return spoil


def edited(name: str, change: Callable[[Any], object]) -> Callable[[Place], None]:
    return lambda place: place.edit(name, change)


def forged(name: str, change: Callable[[Any], object]) -> Callable[[Place], None]:
    """A record that another version or hand has written, with a digest of its own."""

    def both(record: Any) -> None:
        change(record)
        del record["digest"]
        record["digest"] = digest_of(record)

    return lambda place: place.edit(name, both)


def column(old: str, new: str) -> Callable[[Place], None]:
    return lambda place: place.replace(PUBLISHED, old, new)


def prediction(**entry: Any) -> Callable[[Place], None]:
    """A manifest of saved predictions with one entry, of the right evaluation."""

    def spoil(place: Place) -> None:
        record = json.loads((place / EVALUATE).read_text(encoding="utf-8"))
        same = {key: record[key] for key in ("data_fingerprint", "weights_digest")}
        place.write("run/predictions.json", json.dumps({**same, "files": {"best": [entry]}}))

    return spoil


def other_size(place: Place) -> None:
    image = place / "data/leftImg8bit/val/bonn/bonn_000000_000019_leftImg8bit.png"
    image.unlink()
    Image.new("RGB", (8, 8)).save(image)


TABLE_CASES = [
    Case("truncated", lambda p: p.cut(TRAIN), [TRAIN, "not valid JSON"]),
    Case("empty", lambda p: p.write(EVALUATE, ""), [EVALUATE, "the file is empty"]),
    Case("list", lambda p: p.write(FACTS, "[]"), [FACTS, "not a record"]),
    Case("folder", folder(BASELINES), [BASELINES, "cannot be read"]),
    Case("not there", lambda p: (p / FACTS).unlink(), [FACTS, "no such file"]),
    Case("edited", edited(EVALUATE, lambda r: r["figures"]["best"].update(miou=99)),
         [EVALUATE, "changed after it was written"]),
    Case("NaN", edited(TRAIN, lambda r: r["figures"]["last"].update(loss=float("nan"))),
         [TRAIN]),
    Case("old schema", forged(TRAIN, lambda r: r.update(schema=2)), [TRAIN, "schema version 2"]),
    Case("without digest", edited(TRAIN, lambda r: r.pop("digest")), [TRAIN, "'digest'"]),
    Case("without figure", forged(TRAIN, lambda r: r["figures"]["speed"].pop("fps")),
         [TRAIN, "figures.speed", "'fps'"]),
    Case("share as percent", forged(TRAIN, lambda r: r["figures"]["speed"].update(
        data_wait_share=10)), [TRAIN, "data_wait_share"]),
    Case("recipe without crop", forged(TRAIN, lambda r: r["recipe"].pop("training")),
         [TRAIN, "recipe"]),
    Case("best without a score", forged(TRAIN, lambda r: r["figures"].update(best={})),
         [TRAIN, "best"]),
    Case("score of no matrix", forged(EVALUATE, lambda r: r["figures"]["best"].update(miou=99)),
         [EVALUATE, "figures.best.miou is 99", "confusion matrix"]),
    Case("speed of no log", forged(TRAIN, lambda r: r["figures"]["speed"].update(fps=99)),
         [TRAIN, "figures.speed.fps is 99 but 10", "log.jsonl"]),
    Case("no log", lambda p: (p / "run/log.jsonl").unlink(), ["run/log.jsonl", "no such file"]),
    Case("garbled log", lambda p: p.write("run/log.jsonl", b"\0\xff\n"),
         ["run/log.jsonl", "line 1 is damaged"]),
    Case("evaluation as training", nothing, [EVALUATE, "kind 'evaluate'"],
         {"--trained": EVALUATE}),
    Case("facts as baselines", nothing, [FACTS, "kind 'facts'"], {"--baselines": FACTS}),
    Case("evaluation of another run", forged(EVALUATE, lambda r: r.update(seed=7)),
         [EVALUATE, "no training"]),
    Case("evaluation of other weights", forged(EVALUATE, lambda r: r.update(
        weights_digest={"best": "1" * 64, "last": "1" * 64})), [EVALUATE, "no training"]),
    Case("baselines of other images", forged(BASELINES, lambda r: r.update(
        data_fingerprint="1" * 64)), [BASELINES, "other data"]),
    Case("row without a run", nothing, ["gpu-1p"], {"--rows": [{**ROW, "device": "gpu"}]}),
    Case("rows no list", nothing, ["--rows"], {"--rows": "{}"}),
    Case("row without device", nothing, ["--rows", "0.device"], {"--rows": [{"processes": 1}]}),
    Case("rows no JSON", nothing, ["--rows", "JSON"], {"--rows": "cpu"}),
    Case("output a folder", nothing, ["labels", "folder"], {"--markdown": "labels"}),
    Case("output below a file", nothing, [TRAIN, "folder"], {"--csv": f"{TRAIN}/table.csv"}),
    Case("no published figures", lambda p: (p / PUBLISHED).unlink(), [PUBLISHED, "No such file"]),
    Case("empty CSV", lambda p: p.write(PUBLISHED, ""), [PUBLISHED]),
    Case("binary CSV", lambda p: p.write(PUBLISHED, b"\xff\xfe\0"), [PUBLISHED]),
    Case("folder as CSV", folder(PUBLISHED), [PUBLISHED]),
    Case("column missing", column("acc_at_1", "acc"), [PUBLISHED, "acc_at_1"]),
    Case("bad number", column(",9.521,", ",9.5 img/s,"), [PUBLISHED, "line 2", "fps", "9.5 img/s"]),
    Case("NaN as figure", column(",9.521,", ",inf,"), [PUBLISHED, "line 2", "fps"]),
    Case("cells too many", column(",9.521,", ",9,5,2,1,"), [PUBLISHED, "line 2"]),
    Case("source not there", nothing, [PUBLISHED, "nobody"], {"--sources": "nobody"}),
]  # fmt: skip

EVALUATION_CASES = [
    Case("truncated record", lambda p: p.cut(TRAIN), [TRAIN, "not valid JSON"]),
    Case("record of another kind", nothing, [EVALUATE, "'evaluate'"], {"--train-record": EVALUATE}),
    Case("record of another run", forged(TRAIN, lambda r: r["weights_digest"].update(
        best="1" * 64)), ["run/best.safetensors", "not the weights that the record speaks of"]),
    Case("performance run", forged(TRAIN, lambda r: r.update(weights_digest={})),
         [TRAIN, "keeps no best weights"]),
    Case("recipe without numerics", forged(TRAIN, lambda r: r["recipe"].pop("numerics")),
         [TRAIN, "recipe"]),
    Case("weights not there", nothing, ["no.safetensors", "cannot be read"],
         {"--best": "no.safetensors"}),
    Case("settings no JSON", nothing, ["--run", "JSON"], {"--run": "{processes"}),
    *(Case(f"{key} {value}", nothing, ["--run", *says],
           {"--run": {**SCORING, key: value}})
      for key, value, says in (
          ("workers", -1, ["workers", "-1"]),
          ("processes", 0, ["processes", "0"]),
          ("processes", 1.5, ["processes", "1.5"]),
          ("predictions", 0, ["predictions", "0"]),
          ("execution", {"compile": ["tpu"], "fused_attention": [], "checkpointing": []},
           ["compile.0", "tpu"]),
          ("execution", {}, ["execution", "compile", "missing"]),
          ("multi_scale", {"flip": True}, ["ratios"]),
          ("multi_scale", {"flip": True, "ratios": [0]}, ["ratios.0", "0"]),
      )),
    Case("image of another size", other_size, ["bonn_000000", "not what it was", "--forcerun"]),
    Case("record a folder", nothing, ["labels", "folder"], {"--record": "labels"}),
]  # fmt: skip


def kept(*sizes: tuple[int, int], change: Callable[[Any], object] = nothing) -> Any:
    """Label maps of such sizes (height, width), and a record that knows them, changed."""

    def spoil(place: Place) -> None:
        for number, size in enumerate(sizes):
            save_label_map(place / "maps", number, np.zeros(size, np.uint8))
        path = place / "run/label_maps.zip"
        pack_label_maps(path, place / "maps", len(sizes))

        def know(record: Any) -> None:
            record["figures"]["label_maps_digest"] = sha256(path)
            change(record)

        forged(EVALUATE, know)(place)

    return spoil


def without(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        kept(SIZE)(place)
        (place / name).unlink()

    return spoil


SIZE = 16, 32
CROSS_CASES = [
    Case("no label maps kept", nothing, [EVALUATE, "kept no label maps"]),
    Case("label maps gone", without("run/label_maps.zip"),
         ["run/label_maps.zip", "cannot be read", "restore it"]),
    Case("weights gone", without("run/best.safetensors"),
         ["run/best.safetensors", "cannot be read", "restore the file"]),
    Case("other label maps", kept(SIZE, change=lambda r: r["figures"].update(
        label_maps_digest="1" * 64)), ["run/label_maps.zip", "not the label maps that the record"]),
    Case("other weights", kept(SIZE, change=lambda r: r["weights_digest"].update(best="1" * 64)),
         ["run/best.safetensors", "not the weights that the record"]),
    Case("other images", kept(SIZE, change=lambda r: r.update(data_fingerprint="1" * 64)),
         [EVALUATE, "scored on other images or labels than those of labels/val.json"]),
    Case("record of another kind", kept(SIZE), [TRAIN, "kind 'train'"],
         {"--evaluate-record": TRAIN}),
    Case("maps of more images", kept(SIZE, SIZE), ["run/label_maps.zip", "has 2 label maps"]),
    Case("map of another size", kept((8, 8)), ["run/label_maps.zip", "is 8x8, its label 32x16"]),
    Case("other labels", kept(SIZE), ["run/label_maps.zip", "scores otherwise than its record"]),
    Case("no such device", kept(SIZE), ["--run: device", "tpu"],
         {"--run": {**CROSS["--run"], "device": "tpu"}}),
]  # fmt: skip

AGREEMENT_CASES = [
    Case("no predictions", nothing, ["run/predictions.json", "no such file"]),
    Case("another manifest", lambda p: shutil.copy(p / TRAIN, p / "run/predictions.json"),
         ["run/predictions.json", "not a manifest of predictions"]),
    Case("prediction that is gone", prediction(file="a.png", sha256="0" * 64),
         ["run/a.png", "cannot be read"]),
    Case("prediction that changed", prediction(file="facts.json", sha256="0" * 64),
         [FACTS, "changed after it was saved"]),
    Case("prediction elsewhere", prediction(file="/etc/hostname", sha256="0" * 64),
         ["run/predictions.json", "/etc/hostname"]),
    Case("prediction outside", prediction(file="../a.png", sha256="0" * 64),
         ["run/predictions.json", "../a.png"]),
    Case("prediction without name", prediction(file=3, sha256="0" * 64), ["run/predictions.json"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [("table", TABLE), ("evaluate", EVALUATION)])
def test_good_input(place: Place, name: str, options: dict[str, Any]) -> None:
    ended = place.run(name, options)
    assert ended.status == 0, ended


@named(TABLE_CASES)
def test_table(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("table", {**TABLE, **case.options}, case.says)


def test_a_look_in_a_storage_is_named_by_its_copy(place: Place, make_record: Any) -> None:
    content = make_record("parity")
    painted = {"samples": 16, "pixels": 100, "wrong": 3}
    content["figures"]["looks"] = {"data": {"painted": painted, "batches": [], "faults": []}}
    (place / "copies/cpu-1p").mkdir(parents=True)
    write_record(place / "copies/cpu-1p/parity.json", "parity", **content)
    options = {**TABLE, "--looked": "copies/cpu-1p/parity.json", "--copies": "copies"}
    line = place.refusal("table", options, ["figures.looks.data.faults does not follow"])
    assert line.startswith("error: copies/cpu-1p/parity.json: ")


@named(EVALUATION_CASES)
def test_evaluation(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("evaluate", {**EVALUATION, **case.options}, case.says)


@named(CROSS_CASES)
def test_cross(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("cross", {**CROSS, **case.options}, case.says)


@named(AGREEMENT_CASES)
def test_agreement(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("agreement", {**AGREEMENT, **case.options}, case.says)


@pytest.mark.parametrize("name", [TRAIN, BASELINES])
def test_cost_of_a_record_that_is_none(place: Place, name: str) -> None:
    place.cut(name)
    place.refusal("cost", {"--record": name}, [name, "not valid JSON"])


def test_released_table_of_another_record(place: Place) -> None:
    options = {
        "--records": TRAIN,
        "--published": PUBLISHED,
        "--dataset": "cityscapes",
        **{f"--{form}": f"released.{form}" for form in ("markdown", "csv", "json")},
    }
    place.refusal("released_table", options, [TRAIN, "kind 'train', not 'released'"])

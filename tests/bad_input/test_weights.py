"""Files of weights: published ones, ones to train from, ones of a run."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from semask.base.files import digest_of, sha256
from semask.config.layers import assemble

from .conftest import HEIGHT, REPOSITORY, WIDTH, Case, Place, named, nothing

PTH = "run/semask_nano.pth"
BEST = "run/best.safetensors"
CONFIG = assemble([yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))])
MODEL = {key: value for key, value in CONFIG["model"].items() if key != "pretrained"}


def released_config(**model: Any) -> dict[str, Any]:
    return {
        "experiment": "streets",
        "dataset": "streets",
        "row": {"device": "cpu", "processes": 1, "threads": 1},
        "model": {**MODEL, **model},
        "numerics": CONFIG["numerics"],
        "evaluation": {"scale": [WIDTH, HEIGHT], "sliding_window": None, "multi_scale": None},
        "workers": 0,
        "forbid_fallbacks": False,
    }


SWIN = {"name": "swin.pth", "url": "https://example.org/swin.pth"}
PUBLISHED = {**SWIN, "digest": f"sha256:{'0' * 64}", "digest_from": "somebody"}
RELEASED = {
    "--config": released_config(),
    "--weights": PTH,
    "--val-manifest": "labels/val.json",
    "--root": "data",
    "--labels": "labels",
    "--record": "released.json",
}
EXPORT = {"--train-record": "run/train.json", "--output": "exported.pth"}
PREDICT = {"--weights": BEST, "--images": "data", "--output": "out"}
FETCH = {
    "--source": SWIN,
    "--fetched": PTH,
    "--lock": "pins.json",
    "--output": "weights/swin.pth",
}


class RunsAProgram:
    def __reduce__(self) -> Any:
        return os.mkdir, ("was here",)


def saved(content: Any) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / PTH).unlink()
        torch.save(content, place / PTH)

    return spoil


def changed(change: Callable[[dict[str, Any]], object], name: str = PTH) -> Callable[[Place], None]:
    """The good checkpoint with something of its state dict changed."""

    def spoil(place: Place) -> None:
        content = torch.load(place / name, weights_only=True)
        change(content["state_dict"])
        (place / name).unlink()
        torch.save(content, place / name)

    return spoil


def as_safetensors(change: Callable[[dict[str, Any]], object]) -> Callable[[Place], None]:
    """The run's best weights changed, and its record made to speak of these."""

    def spoil(place: Place) -> None:
        tensors = load_file(place / BEST)
        change(tensors)
        (place / BEST).unlink()
        save_file(tensors, place / BEST)
        vouched(place)

    return spoil


def vouched(place: Place) -> None:
    """Has the run's record speak of the weights as they are."""

    def change(record: dict[str, Any]) -> None:
        record["weights_digest"]["best"] = sha256(place / BEST)
        del record["digest"]
        record["digest"] = digest_of(record)

    place.edit("run/train.json", change)


def junk_safetensors(data: bytes) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        place.write(BEST, data)
        vouched(place)

    return spoil


def folder(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return spoil


def zip_of_something_else(place: Place) -> None:
    (place / PTH).unlink()
    with zipfile.ZipFile(place / PTH, "w") as archive:
        archive.writestr("readme.txt", "no weights")


CONV = "decode_head.conv_seg.weight"

RELEASED_CASES = [
    Case("truncated", lambda p: p.cut(PTH), [PTH, "damaged"]),
    Case("empty file", lambda p: p.write(PTH, b""), [PTH, "damaged"]),
    Case("web page", lambda p: p.write(PTH, "<!DOCTYPE html>Quota"), [PTH, "a web page"]),
    Case("JSON", lambda p: p.write(PTH, json.dumps({"state_dict": {}})), [PTH, "damaged"]),
    Case("pointer to a large file", lambda p: p.write(PTH, "version https://git-lfs"), [PTH]),
    Case("another zip", zip_of_something_else, [PTH, "damaged"]),
    Case("folder", folder(PTH), [PTH, "cannot be read"]),
    Case("not there", nothing, ["no.pth", "no such file"], {"--weights": "no.pth"}),
    Case("not those published", nothing, [PTH, f"expected sha256:{'0' * 64} (somebody)"],
         {"--source": PUBLISHED, "--lock": "pins.json"}),
    Case("runs a program", saved({"state_dict": {"a": RunsAProgram()}}), [PTH, "posix.mkdir"]),
    Case("plain pickle", lambda p: p.write(PTH, pickle.dumps({"a": RunsAProgram()}, 2)), [PTH]),
    Case("newer pickle", lambda p: p.write(PTH, pickle.dumps({"a": RunsAProgram()}, 5)), [PTH]),
    Case("list", saved([torch.ones(1)]), [PTH, "holds a list"]),
    Case("no tensors", saved({"state_dict": {}}), [PTH, "0 names"]),
    Case("nested in itself", saved({"state_dict": {"state_dict": {}}}), [PTH, "0 names"]),
    Case("names as numbers", saved({1: torch.ones(1)}), [PTH, "such as 1"]),
    Case("names of lines", saved({"a\nb": torch.ones(1)}), [PTH, "names"]),
    Case("another model", nothing, [PTH, "embed 32", "embed 96"],
         {"--config": released_config(variant="tiny")}),
    Case("other classes", nothing, [PTH, "19 classes", "for 20"],
         {"--config": released_config(num_classes=20)}),
    Case("NaN", changed(lambda s: s[CONV].fill_(float("nan"))), [PTH, "NaN", CONV]),
    Case("infinite", changed(lambda s: s[CONV].view(-1)[0].fill_(float("inf"))), [PTH, "infinity"]),
    Case("tensor missing", changed(lambda s: s.pop(CONV)), [PTH, "1 missing", CONV]),
    Case("tensor too many", changed(lambda s: s.update(a=torch.ones(1))), [PTH, "1 unknown", "a"]),
    Case("number as tensor", changed(lambda s: s.update({CONV: 3.0})), [PTH, CONV]),
    Case("array as tensor", changed(lambda s: s.update({CONV: s[CONV].numpy()})), [PTH, CONV]),
    Case("complex", changed(lambda s: s.update({CONV: s[CONV] + 1j})), [PTH, CONV]),
    Case("sparse", changed(lambda s: s.update({CONV: s[CONV].to_sparse()})), [PTH]),
    Case("without a value", changed(lambda s: s.update({CONV: s[CONV].to("meta")})), [PTH, CONV]),
    Case("too large", changed(lambda s: s.update({CONV: s[CONV].double() + 1e300})), [PTH, "inf"]),
    Case("small floats", changed(lambda s: s.update({CONV: s[CONV].to(torch.float8_e5m2)})),
         [PTH, CONV, "float8"]),
    Case("scalar as bias table",
         changed(lambda s: s.update({
             "backbone.layers.0.blocks.0.attn.relative_position_bias_table": torch.tensor(1.0)})),
         [PTH, "relative_position_bias_table"]),
]  # fmt: skip

EXPORT_CASES = [
    Case("other weights", lambda p: p.write(BEST, "x"), [BEST, "not the weights"]),
    Case("not there", lambda p: (p / BEST).unlink(), [BEST, "cannot be read"]),
    Case("folder", folder(BEST), [BEST, "cannot be read"]),
    Case("junk", junk_safetensors(b"\xff" * 99), [BEST, "damaged"]),
    Case("huge header", junk_safetensors(b"\xff" * 7 + b"\x7f{}"), [BEST, "damaged"]),
    Case("tensor missing", as_safetensors(lambda s: s.pop(CONV)), [BEST, CONV]),
    Case("NaN", as_safetensors(lambda s: s[CONV].fill_(float("nan"))), [BEST, "NaN"]),
    Case("name of the output", nothing, ["weights.onnx", ".pth"], {"--output": "weights.onnx"}),
]

PREDICT_CASES = [
    Case("other weights", lambda p: p.write(BEST, "x"), [BEST, "not the weights", "train.json"]),
    Case("not there", nothing, ["no.pth", "no such file"], {"--weights": "no.pth"}),
    Case("truncated", lambda p: p.cut(PTH), [PTH, "damaged"], {"--weights": PTH}),
    Case("of no experiment", nothing, [PTH, "nano with 19 classes"], {"--weights": PTH}),
    Case("another record", nothing, [PTH, "not the weights"],
         {"--weights": PTH, "--train-record": "run/train.json"}),
    Case("no record", lambda p: p.write("run/train.json", "{}"), ["train.json", "not a record"]),
    Case("no such experiment", nothing, ["my.yaml", "cannot be read"], {"--configfile": "my.yaml"}),
    Case("no images", lambda p: p.write("none/a.txt", ""), ["none: no images"],
         {"--images": "none"}),
    Case("output in the images", nothing, ["data/out", "within"], {"--output": "data/out"}),
    Case("output a file", nothing, [PTH, "not a folder"], {"--output": PTH}),
    Case("no such device", nothing, ["device npu is not present"], {"--device": "npu"}),
]  # fmt: skip

FETCH_CASES = [
    Case("truncated", lambda p: p.cut(PTH), [PTH, "damaged"]),
    Case("web page", lambda p: p.write(PTH, "<html>no</html>"), [PTH, "web page"]),
    Case("empty", lambda p: p.write(PTH, ""), [PTH, "is empty"]),
    Case("no tensors", saved({}), [PTH, "holds nothing"]),
    Case("folder", folder(PTH), [PTH]),
]


def pinned(place: Place) -> None:
    (place.folder / "pins.json").write_text(
        json.dumps({"swin.pth": {"sha256": "1" * 64}}), encoding="utf-8"
    )


TRAIN_CASES = [
    Case(
        "not those published",
        nothing,
        [PTH, f"expected sha256:{'0' * 64} (somebody)"],
        {"--pretrained-source": PUBLISHED, "--lock": "pins.json"},
    ),
    Case(
        "not those pinned",
        pinned,
        [PTH, f"expected sha256:{'1' * 64} (pins.json)"],
        {"--pretrained-source": PUBLISHED, "--lock": "pins.json"},
    ),
    Case("truncated", lambda p: p.cut(PTH), [PTH, "damaged"]),
    Case(
        "truncated, and nobody published a digest",
        lambda p: p.cut(PTH),
        [PTH, "damaged"],
        {"--pretrained-source": SWIN, "--lock": "pins.json"},
    ),
    Case("of a segmentor", nothing, [PTH, "none of the file's"]),
    Case("not there", nothing, ["no.pth", "cannot be read"], {"--pretrained": "no.pth"}),
]

RUN = {"device": "cpu", "processes": 1, "threads": 1, "mode": "full", "seed": 0,
       "forbid_fallbacks": False}  # fmt: skip


def train_options() -> dict[str, Any]:
    keys = ("experiment", "training", "numerics", "execution", "port_faults", "loader",
            "performance")  # fmt: skip
    config = {key: CONFIG[key] for key in keys}
    augmentation = {**CONFIG["training"]["augmentation"], "crop": [8, 8], "scale": [32, 16]}
    training = {**CONFIG["training"], "augmentation": augmentation, "iterations": 1}
    scoring = {"scale": [WIDTH, HEIGHT], "sliding_window": None}
    config |= {"dataset": "streets", "model": MODEL, "training": training, "evaluation": scoring}
    return {
        "--config": config,
        "--run": RUN,
        "--train-manifest": "labels/train.json",
        "--val-manifest": "labels/val.json",
        "--root": "data",
        "--labels": "labels",
        "--work": ".work",
        "--output-log": "out/log.jsonl",
        "--best": "out/best.safetensors",
        "--last": "out/last.safetensors",
        "--fault-tolerance": CONFIG["fault_tolerance"],
        "--pretrained": PTH,
        "--record": "out/train.json",
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [("released", RELEASED), ("export_weights", EXPORT), ("predict", PREDICT)],
)
def test_good_input(place: Place, name: str, options: dict[str, Any]) -> None:
    ended = place.run(name, options)
    assert ended.status == 0, ended


@named(RELEASED_CASES)
def test_released_weights(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("released", {**RELEASED, **case.options}, case.says)
    assert not (place / "was here").exists()


@named(EXPORT_CASES)
def test_weights_of_a_run(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("export_weights", {**EXPORT, **case.options}, case.says)


@named(PREDICT_CASES)
def test_weights_to_predict_with(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("predict", {**PREDICT, **case.options}, case.says)


@named(FETCH_CASES)
def test_fetched_weights(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("fetch", {**FETCH, **case.options}, case.says)


@named(TRAIN_CASES)
def test_weights_to_train_from(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("train", {**train_options(), **case.options}, case.says)
    pins = place / "pins.json"
    assert not pins.exists() or SWIN["url"] not in pins.read_text(encoding="utf-8")

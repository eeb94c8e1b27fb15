"""Config mistakes and their messages: one line that names the key and what is allowed."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from semask.base.errors import InputError
from semask.config.checks import check_all, check_config
from semask.config.layers import assemble
from semask.model import VARIANTS

REPOSITORY = Path(__file__).parents[2]
SCHEMA = REPOSITORY / "schemas" / "config.schema.yaml"


def changed(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The config with a dotted key set, or removed where the value is Ellipsis."""
    config = copy.deepcopy(config)
    *parents, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    inner: Any = config
    for part in parents:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return config


def test_the_embedded_experiment_is_valid(config: dict[str, Any]) -> None:
    check_config(config, SCHEMA)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model.variant", "huge", ["model.variant", "'huge'", "nano, tiny, small, base, large"]),
        ("model.num_classes", 10, ["model.num_classes", "10", "streets has 19 classes"]),
        ("model.num_classes", 256, ["model.num_classes", "256", "255"]),
        ("model.num_classes", 0, ["model.num_classes", "0"]),
        ("model.semantic_attention", ["windowed"], ["model.semantic_attention"]),
        ("model.semantic_attention.2", "local", ["semantic_attention.2", "windowed, global"]),
        ("model.drop_path", 1.0, ["model.drop_path", "1"]),
        ("model.depth", 3, ["model.depth", "unknown key", "variant"]),
        ("trainig", {}, ["trainig", "unknown key", "training"]),
        ("training.learning_rate", "1e-3", ["training.learning_rate", "'1e-3'", "0.001"]),
        ("training.learning_rate", 0, ["training.learning_rate", "0"]),
        ("training.iterations", 2.5, ["training.iterations", "2.5", "integer"]),
        ("training.iterations", 0, ["training.iterations", "0"]),
        ("training.epochs", "ten", ["training.epochs", "'ten'", "integer or null"]),
        ("training.batch.per", "process", ["training.batch.per", "run, device"]),
        ("training.batch.size", -8, ["training.batch.size", "-8"]),
        ("training.precision", "fp8", ["training.precision", "fp32, bf16, fp16"]),
        ("training.batch.micro_batch", 0, ["training.batch.micro_batch", "0"]),
        ("numerics.gelu", "fast", ["numerics.gelu", "exact, tanh"]),
        ("npu.forbid_fallbacks", "yes", ["npu.forbid_fallbacks", "boolean"]),
        ("training.hard_pixels", 0, ["training.hard_pixels", "0"]),
        ("port_faults.fixed_loss_scale", 128, ["port_faults.fixed_loss_scale", "fp16"]),
        ("port_faults.slow", True, ["port_faults.slow", "unknown key", "fast_gelu"]),
        ("training.warmup_ratio", 2, ["training.warmup_ratio", "2"]),
        ("training.augmentation.crop", [112], ["training.augmentation.crop"]),
        ("training.augmentation.crop", [112, 0], ["training.augmentation.crop.1", "0"]),
        ("training.augmentation.flip", "yes", ["training.augmentation.flip", "number"]),
        ("training.augmentation.cat_max_ratio", 0, ["cat_max_ratio"]),
        ("loader.workers", -1, ["loader.workers", "-1"]),
        ("loader", ..., ["loader", "missing"]),
        ("performance.repeats", 0, ["performance.repeats", "0"]),
        ("performance.warmup_iterations", 40, ["performance.warmup_iterations", "40"]),
        ("performance.log_window.ends_at", 1000, ["performance.log_window", "1000"]),
        ("equivalence.margin", 0, ["equivalence.margin", "0"]),
        ("equivalence.margin", "half", ["equivalence.margin", "'half'", "number"]),
        ("equivalence.speed", 1, ["equivalence.speed", "1"]),
        ("equivalence", {"margin": 0.5}, ["equivalence.speed", "missing"]),
        ("equivalence", ..., ["equivalence", "missing"]),
        ("evaluation.scale", [256], ["evaluation.scale"]),
        ("evaluation.multi_scale", {"ratios": [], "flip": True}, ["multi_scale.ratios"]),
        ("evaluation.multi_scale", {"ratios": [1.0]}, ["multi_scale.flip", "missing"]),
        ("evaluation.sliding_window", 768, ["sliding_window", "768", "object or null"]),
        (
            "evaluation.sliding_window",
            {"size": [64, 64], "stride": [64, 65]},
            ["sliding_window.stride", "[64, 65]", "[64, 64]"],
        ),
        ("evaluation.agreement", True, ["evaluation.agreement", "save_predictions"]),
        ("dataset.root", "", ["dataset.root"]),
        ("dataset.labels", "data/streets", ["dataset.labels", "dataset.root"]),
        ("dataset.name", "kitti", ["dataset.name", "ade20k, cityscapes, coco_stuff10k, streets"]),
        ("dataset.name", "../x", ["dataset.name", "../x"]),
        ("dataset.name", "ade20k", ["model.num_classes: 19", "ade20k has 150 classes"]),
        ("dataset.complete", True, ["dataset.complete", "nothing is published of streets"]),
        ("dataset.complete", "yes", ["dataset.complete", "'yes'", "boolean"]),
        ("dataset.streets.width", 10, ["dataset.streets.width", "10", "64"]),
        ("dataset.streets.cities.train", {}, ["dataset.streets.cities.train"]),
        ("dataset.streets.cities.train", {"a/b": 1}, ["dataset.streets.cities.train", "a/b"]),
        ("results", "a{b}", ["results", "'a{b}'", "braces"]),
        ("results", "results/", ["results", "write it as 'results'"]),
        ("results", ".", ["results", "a folder of its own"]),
        ("dataset.root", "~/data", ["dataset.root", "~", "whole name"]),
        ("dataset.root", "-data", ["dataset.root", "option", "whole name"]),
        ("dataset.labels", "a//b", ["dataset.labels", "write it as 'a/b'"]),
        ("dataset.labels", "a\0b", ["dataset.labels", "cannot be the name of a file"]),
        ("dataset.labels", "a\udcffb", ["dataset.labels", "cannot be the name of a file"]),
        ("dataset.prepared", "./x", ["dataset.prepared", "write it as 'x'"]),
        ("downloads.weights", "s3://bucket/x", ["downloads.weights", "URL"]),
        ("downloads.lock", "{lock}", ["downloads.lock", "braces"]),
        ("model.pretrained", "~me/a.pth", ["model.pretrained", "~"]),
        ("downloads.mirrors", {"https://a.org": "ftp:b"}, ["downloads.mirrors", "ftp:b"]),
        ("rows", [], ["rows"]),
        ("rows.0.device", "tpu", ["rows.0.device", "'tpu'", "cpu, gpu, npu"]),
        ("rows.0.processes", 0, ["rows.0.processes", "0"]),
        ("rows.0.modes", ["fast"], ["rows.0.modes.0", "full, performance"]),
        ("rows.0.seeds", [-1], ["rows.0.seeds.0", "-1"]),
        ("rows.0.seeds", [1, 1], ["rows.0.seeds"]),
        ("rows.1.processes", 1, ["rows.1", "cpu-1p", "twice"]),
        ("training.learning_rate", float("nan"), ["training.learning_rate", "finite"]),
        ("training.augmentation.ratio_range.1", float("inf"), ["ratio_range.1", "finite"]),
        ("table.published", ["someone"], ["table.published.0", "ascend_port"]),
        ("experiment", "a b", ["experiment", "a b"]),
    ],
)
def test_mistakes(config: dict[str, Any], key: str, value: Any, says: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        check_config(changed(config, key, value), SCHEMA)
    message = str(caught.value)
    assert "\n" not in message
    for part in says:
        assert part in message


@pytest.mark.parametrize("name", ["../a b", '/data/it\'s "100%"\n$HOME `größe`', "a\\b", "*?[x]"])
def test_names_of_all_kinds(config: dict[str, Any], name: str) -> None:
    for key in ("results", "dataset.root", "dataset.labels", "dataset.prepared"):
        check_config(changed(config, key, name), SCHEMA)


@pytest.mark.parametrize("mirror", ["https://me:s3cret@b.org/x", "ftp://me:s3cret@b.org", 5])
@pytest.mark.parametrize("start", ["https://a.org", "https://me:s3cret@a.org"])
def test_a_login_in_a_mirror_is_not_repeated(
    config: dict[str, Any], start: str, mirror: object
) -> None:
    with pytest.raises(InputError, match=r"downloads\.mirrors") as caught:
        check_config(changed(config, "downloads.mirrors", {start: mirror}), SCHEMA)
    assert "s3cret" not in str(caught.value)


def test_the_whole_of_evaluation(config: dict[str, Any]) -> None:
    settings = {
        "sliding_window": {"size": [64, 64], "stride": [43, 64]},
        "multi_scale": {"ratios": [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2.0], "flip": True},
        "save_predictions": True,
        "agreement": True,
    }
    check_config({**config, "evaluation": {**config["evaluation"], **settings}}, SCHEMA)


@pytest.fixture
def layers() -> list[dict[str, Any]]:
    """The embedded experiment, and over it one with four variants."""
    files = ("config.yaml", "experiments/cityscapes.yaml")
    return [yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8")) for file in files]


def test_all_variants_are_checked(layers: list[dict[str, Any]]) -> None:
    assert check_all(layers, SCHEMA)["variant"] == "small"
    layers[1]["variants"]["large"]["modle"] = {}
    with pytest.raises(InputError, match="config: with variant large: modle: unknown key"):
        check_all(layers, SCHEMA)


def test_an_experiment_with_variants_needs_one(layers: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match=r"variant: null, but this experiment has .*tiny, small"):
        assemble([*layers, {"variant": None}])


def test_weights_of_a_variant_that_is_not_there(layers: list[dict[str, Any]]) -> None:
    assert assemble([*layers, {"released": {"weights": {"large": "a.pth"}}}])
    with pytest.raises(InputError, match=r"released\.weights\.larg: .*tiny, small, base, large"):
        assemble([*layers, {"released": {"weights": {"larg": "a.pth"}}}])


def test_every_object_of_the_schema_is_closed() -> None:
    def objects(node: Any) -> Any:
        if isinstance(node, dict):
            if "properties" in node:
                yield node
            for value in node.values():
                yield from objects(value)
        elif isinstance(node, list):
            for value in node:
                yield from objects(value)

    found = list(objects(yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))))
    assert len(found) > 8
    assert all(node["additionalProperties"] is False for node in found)


def test_the_schema_names_the_variants_there_are() -> None:
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    assert schema["properties"]["model"]["properties"]["variant"]["enum"] == list(VARIANTS)


# no YAML, no date, or with what looks like a comment
WRITTEN = {"at": "@data", "tag": "!x", "date": "2026-13-45", "hash": "a #b"}


def test_nested_values_of_the_command_line_are_not_texts() -> None:
    from semask.config.layers import typed

    given = {
        "variant": "large",
        "model": {"pretrained": "null", "drop_path": "0.1"},
        "dataset": {"download": "True", "root": "/data/x"},
        "a": ["1", "b"],
        "e": {"f": ""},
        "texts": {**WRITTEN, "quoted": "'1'", "empty": "''", "comment": "5 # b", "number": "#1"},
    }
    assert typed(given) == {
        "variant": "large",
        "model": {"pretrained": None, "drop_path": 0.1},
        "dataset": {"download": True, "root": "/data/x"},
        "a": [1, "b"],
        "e": {"f": ""},
        "texts": {**WRITTEN, "quoted": "1", "empty": "", "comment": "5 # b", "number": "#1"},
    }


def test_a_crop_that_no_image_holds_is_refused(config: dict[str, Any]) -> None:
    """Before the results of a run that it would replace are gone."""
    sizes = config["training"]["augmentation"]
    for crop in ([129, 129], [112, 257], [512, 512]):
        sizes["crop"] = crop
        with pytest.raises(InputError, match=r"config: training\.augmentation\.crop: "):
            check_config(config, SCHEMA)
    # of an image that stands upright
    sizes["crop"] = [256, 128]
    check_config(config, SCHEMA)

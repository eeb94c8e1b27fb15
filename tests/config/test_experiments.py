"""The shipped experiments: their settings are those of the original's and the port's files."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from semask.config.checks import check_config
from semask.config.layers import assemble
from semask.config.recipe import resolve
from tests.conftest import ORACLE, REPOSITORY

PUBLISHED = json.loads((ORACLE / "configs.json").read_text(encoding="utf-8"))
# images per iteration over all devices, which the original's files say per device only
GLOBAL_BATCH = {"cityscapes": 8, "ade20k": 16, "coco_stuff10k": 16}
EXPERIMENTS = sorted(path.stem for path in (REPOSITORY / "experiments").glob("*.yaml"))


def layers(*experiments: str) -> list[dict[str, Any]]:
    files = ["config.yaml", *(f"experiments/{name}.yaml" for name in experiments)]
    return [yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8")) for file in files]


def stack_of(experiment: str) -> list[str]:
    return ["ascend", experiment] if experiment == "ascend_as_published" else [experiment]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_variant_is_valid(experiment: str) -> None:
    stack = layers(*stack_of(experiment))
    for variant in stack[-1].get("variants") or [None]:
        check_config(assemble(stack, variant), REPOSITORY / "schemas" / "config.schema.yaml")


# where the reference in float64 on the host would take too long: docs/parity.md
SMALLER_LOOKS = {("cityscapes", "base"): 512, ("cityscapes", "large"): 384,
                 ("ade20k", "large"): 320, ("coco_stuff10k", "large"): 320}  # fmt: skip


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_devices_are_looked_at_with_the_recipes_crop(experiment: str) -> None:
    stack = layers(*stack_of(experiment))
    for variant in stack[-1].get("variants") or [None]:
        config = assemble(stack, variant)
        side = SMALLER_LOOKS.get((experiment, variant))
        crop = config["training"]["augmentation"]["crop"]
        assert config["parity"]["size"] == ([side, side] if side else crop)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_epochs(experiment: str) -> None:
    stack = [*layers(*stack_of(experiment)), {"training": {"epochs": 2}}]
    for variant in stack[-2].get("variants") or [None]:
        config = assemble(stack, variant)
        check_config(config, REPOSITORY / "schemas" / "config.schema.yaml")
        batch = config["training"]["batch"]
        for processes in (1, 8):
            seen = batch["size"] * (processes if batch["per"] == "device" else 1)
            recipe = resolved(config, processes)["training"]
            assert (recipe["iterations"] - 1) * seen < 2 * 2975 <= recipe["iterations"] * seen


@pytest.mark.parametrize(
    "theirs",
    [p for p in PUBLISHED if p["src"] == "ref"],
    ids=lambda theirs: f"{theirs['dataset']}-{theirs['variant']}",
)
def test_all_twelve_published_recipes(theirs: dict[str, Any]) -> None:
    config = assemble(layers(theirs["dataset"]), theirs["variant"])
    check_same(config, theirs)
    recipe = resolved(config, processes=8)
    assert recipe["training"]["global_batch"] == GLOBAL_BATCH[theirs["dataset"]]
    assert recipe["training"]["warmup_ratio"] == theirs["warmup_ratio"]
    assert config["model"]["norm"] == theirs["norm"].lower()
    assert config["training"]["iterations"] == theirs["max_iters"]
    assert not any(recipe["port_faults"].values())


def test_the_ascend_port() -> None:
    [theirs] = [p for p in PUBLISHED if p["src"] == "ascend" and p["variant"] == "small"]
    config = assemble(layers("ascend"))
    check_same(config, theirs)
    batch = {"size": theirs["samples_per_gpu"], "per": "device", "micro_batch": None}
    assert config["training"]["batch"] == batch
    assert config["loader"]["workers"] == theirs["workers"]
    assert config["training"]["warmup_ratio"] == theirs["warmup_ratio"]
    assert config["model"]["norm"] == theirs["norm"].lower()
    # its scripts override the 10000 iterations of its file
    assert config["training"]["iterations"] == 80000
    rows = {(row["device"], row["processes"]) for row in config["rows"]}
    assert rows == {("gpu", 1), ("gpu", 8), ("npu", 1), ("npu", 8)}
    assert all(row["modes"] == ["full", "performance"] for row in config["rows"])


def test_the_ascend_port_with_its_faults() -> None:
    right, published = (
        assemble(layers("ascend")),
        assemble(layers(*stack_of("ascend_as_published"))),
    )
    assert resolved(published, processes=8)["port_faults"] == {
        "drop_path_never_fires": True,
        "decay_everything": True,
        "fixed_loss_scale": 128,
        "fast_gelu": True,
    }
    for name in ("model", "dataset", "rows", "performance", "evaluation"):
        assert right[name] == published[name]
    assert {**right["training"], "precision": "fp16"} == published["training"]


def check_same(config: dict[str, Any], theirs: dict[str, Any]) -> None:
    training, model = config["training"], config["model"]
    augmentation = training["augmentation"]
    assert config["dataset"]["name"] == theirs["dataset"]
    assert model["variant"] == theirs["variant"]
    assert model["num_classes"] == theirs["head_num_classes"]
    late = "global" if theirs["var"] == "large" else "windowed"
    assert model["semantic_attention"] == ["windowed", "windowed", late, late]
    assert model["drop_path"] == theirs["dpr"]
    assert training["learning_rate"] == theirs["lr"]
    assert training["weight_decay"] == theirs["wd"]
    assert training["warmup_iterations"] == theirs["warmup_iters"]
    assert training["evaluate_every"] == theirs["eval_interval"]
    assert training["hard_pixels"] == (100000 if theirs["sampler"] else None)
    assert augmentation["crop"] == theirs["crop"]
    assert augmentation["scale"] == theirs["img_scale"]
    assert augmentation["cat_max_ratio"] == theirs["cat_max_ratio"]
    ratios = augmentation["ratios"] or augmentation["ratio_range"]
    assert ratios == theirs["ratio_range"]
    assert (augmentation["ratios"] is None) == (len(ratios) == 2)
    assert augmentation["flip"] == 0.5
    assert augmentation["photometric"] is True
    assert config["evaluation"]["scale"] == theirs["test_scale"]
    assert config["evaluation"]["sliding_window"] is None
    assert f"swin_{theirs['variant']}_" in model["pretrained"]


def resolved(config: dict[str, Any], processes: int) -> dict[str, Any]:
    model = {key: value for key, value in config["model"].items() if key != "pretrained"}
    return resolve(
        {**config, "dataset": config["dataset"]["name"], "model": model},
        mode="full",
        processes=processes,
        training_images=2975,
    ).as_dict()


def test_a_later_layer_has_the_last_word_over_a_variant() -> None:
    base = {"a": 1, "b": {"c": 1, "d": 1}, "variant": None, "variants": {}}
    experiment = {
        "a": 2,
        "variant": "x",
        "variants": {"x": {"a": 3, "b": {"c": 3}}, "y": {"b": {"d": 4}}},
    }
    assert assemble([base, experiment]) == {"a": 3, "b": {"c": 3, "d": 1}, "variant": "x"}
    assert assemble([base, experiment, {"a": 5}])["a"] == 5
    assert assemble([base, experiment, {"variant": "y"}]) == {
        "a": 2, "b": {"c": 1, "d": 4}, "variant": "y",
    }  # fmt: skip
    mine = {"variants": {"x": {"b": {"c": 9}}}}
    assert assemble([base, experiment, mine])["b"] == {"c": 9, "d": 1}
    assert base == {"a": 1, "b": {"c": 1, "d": 1}, "variant": None, "variants": {}}


@pytest.mark.parametrize("known", [{}, {"x": {}, "y": {}}])
def test_a_variant_that_is_not_there(known: dict[str, Any]) -> None:
    from semask.base.errors import InputError

    with pytest.raises(InputError, match="config: variant: 'z' is not a name under variants"):
        assemble([{"variant": "z", "variants": known}])


def test_experiments_are_found() -> None:
    assert len(EXPERIMENTS) >= 6
    assert {Path(name).stem for name in GLOBAL_BATCH} <= set(EXPERIMENTS)


@pytest.mark.parametrize("wrong", [{"variant": ["a"]}, {"variants": 5}, {"variants": {"small": 5}}])
def test_variants_of_the_wrong_type(wrong: dict[str, Any]) -> None:
    from semask.base.errors import InputError

    with pytest.raises(InputError, match="config: variant"):
        assemble([*layers("cityscapes"), wrong])

"""Command lines that are wrong in themselves, and how every refusal is shown."""

from typing import Any

import pytest

from .conftest import Place, arguments_of
from .test_labels import LABELS
from .test_records import EVALUATION
from .test_weights import RELEASED, train_options

TRAINING = train_options()

COMMANDS = ("agreement", "baselines", "cost", "cross", "dataset", "download", "evaluate",
            "export_weights", "facts", "fetch", "labels", "manifest", "plan", "predict", "prepare",
            "released", "released_table", "stale_arrays", "table", "train", "verify")  # fmt: skip


def usage_error(place: Place, name: str, arguments: list[str]) -> str:
    """The line that a command line that cannot be parsed gives."""
    before = place.files()
    ended = place.commands.run(name, arguments, place.folder)
    assert ended.status == 1
    assert ended.stdout == ""
    assert place.files() == before
    [line] = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f"; see python -m workflow_scripts.{name} --help")
    return line


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "cost"])
def test_nothing_given(place: Place, name: str) -> None:
    assert "required" in usage_error(place, name, [])


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option(place: Place, name: str) -> None:
    line = usage_error(place, name, ["--coulour", "red"])
    assert ("--coulour" if name == "cost" else "required") in line


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("cost", ["--coulour"], "unrecognized arguments: --coulour"),
        ("cost", ["--fps", "1", "--record", "x"], "not allowed with"),
        ("export_weights", ["--which", "worst"], "argument --which"),
        ("facts", ["--model"], "argument --model: expected one argument"),
        ("facts", ["--model", '{"variant": "nano", "num_classes": 19}'], "--record"),
        ("train", ["--attempt"], "argument --attempt"),
        ("manifest", ["--parts"], "argument --parts"),
    ],
)
def test_wrong_options(place: Place, name: str, arguments: list[str], says: str) -> None:
    assert says in usage_error(place, name, arguments)


@pytest.mark.parametrize("fps", ["-1", "0", "inf", "nan", "many"])
def test_a_speed_that_is_none(place: Place, fps: str) -> None:
    place.refusal("cost", {"--fps": fps}, [f"--fps: '{fps}' is not a number above 0; give one"])


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_a_limit_that_ends_the_run_at_once(place: Place, minutes: str) -> None:
    says = [f"--stall-minutes: '{minutes}' is not a number above 0; give one"]
    place.refusal("evaluate", {**EVALUATION, "--stall-minutes": minutes}, says)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("{", ["--model", "JSON"]),
        ("null", ["--model", "object"]),
        ('{"variant": "huge", "num_classes": 19}', ["huge"]),
        ('{"variant": "nan\udcc3", "num_classes": 19}', ["--model", r"'\udcc3' is no character"]),
        ('{"variant": "nano"}', ["--model", "num_classes"]),
        ('{"variant": "nano", "num_classes": NaN}', ["--model", "num_classes", "finite"]),
        ('{"variant": "nano", "num_classes": -1}', ["num_classes", "-1"]),
        ('{"variant": "nano", "num_classes": 19, "colour": 1}', ["colour"]),
    ],
)
def test_a_model_that_is_none(place: Place, model: str, says: list[str]) -> None:
    place.refusal("facts", {"--model": model, "--record": "facts.json"}, says)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{}", ["--config", "missing"]),
        ({**RELEASED["--config"], "row": {"device": "tpu"}}, ["--config", "row"]),
        ({**RELEASED["--config"], "workers": -1}, ["--config", "workers", "-1"]),
        ({**RELEASED["--config"], "numerics": {}}, ["--config", "numerics"]),
        ({**RELEASED["--config"], "evaluation": None}, ["--config", "evaluation"]),
    ],
)
def test_released_settings(place: Place, config: Any, says: list[str]) -> None:
    place.refusal("released", {**RELEASED, "--config": config}, says)


def training(part: str, **changes: Any) -> dict[str, Any]:
    """Options of a trainer with another part of the config."""
    config = TRAINING["--config"]
    return {"--config": {**config, part: {**config[part], **changes}}}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"--config": "{}"}, ["--config", "missing"]),
        ({"--config": "{"}, ["--config", "JSON"]),
        ({"--config": {**TRAINING["--config"], "experiment": "\udcff"}}, ["--config", r"'\udcff'"]),
        ({"--config": {**TRAINING["--config"], "loader": None}}, ["--config", "loader"]),
        (training("training", learning_rate=0), ["--config", "training.learning_rate"]),
        (training("training", colour=1), ["--config", "training.colour", "unknown key"]),
        (training("numerics", gelu="relu"), ["--config", "numerics.gelu", "relu"]),
        (training("model", variant="huge"), ["huge"]),
        (training("evaluation", scale=[1]), ["--config", "evaluation.scale"]),
        ({"--fault-tolerance": "{}"}, ["--fault-tolerance", "missing"]),
        ({"--fault-tolerance": '{"keep_checkpoints": 0}'}, ["--fault-tolerance"]),
        ({"--run": {**TRAINING["--run"], "device": "tpu"}}, ["--run: device", "tpu"]),
        ({"--run": {**TRAINING["--run"], "seed": "one"}}, ["--run: seed", "'one'"]),
        ({"--run": {**TRAINING["--run"], "processes": 0}}, ["--run: processes", "0"]),
        ({"--attempt": "0"}, ["--attempt", "'0'"]),
        ({"--work": "labels/train.json"}, ["labels/train.json", "not a folder"]),
        ({"--record": "labels"}, ["labels: a folder"]),
    ],
)
def test_training_settings(place: Place, options: dict[str, Any], says: list[str]) -> None:
    place.refusal("train", {**TRAINING, "--pretrained": ..., **options}, says)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("labels", {**LABELS, "--root": "nowhere"}, "nowhere: no images"),
        ("evaluate", {**EVALUATION, "--best": "no.safetensors"}, "no.safetensors: cannot be read"),
    ],
)
def test_without_a_log(place: Place, name: str, options: dict[str, Any], says: str) -> None:
    """In a process of its own, the line is all that there is on standard error."""
    before = place.files()
    ended = place.commands.run_afresh(name, arguments_of(options), place.folder)
    assert ended.status == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: {says}")
    assert len(ended.stderr.splitlines()) == 1
    assert place.files() == before

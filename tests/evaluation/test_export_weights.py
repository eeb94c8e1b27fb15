"""Export of a run's weights under the original names."""

import json
import pickletools
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from semask.base.errors import InputError
from semask.base.files import sha256
from semask.base.records import write_record
from semask.evaluation.weight_files import read_state_dict
from semask.model import build, load_reference
from workflow_scripts import export_weights

from ..conftest import recipe
from ..warm import run_script

Run = Callable[..., Any]


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The script, with arguments."""

    def run_main(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["export_weights", *map(str, arguments)])
        export_weights.main()

    return run_main


@pytest.fixture
def run(tmp_path: Path, make_record: Any) -> Run:
    """Makes the record and the weights of a finished run."""

    def make(variant: str = "nano", mode: str = "full", dataset: str = "streets") -> Path:
        digests = {}
        for seed, name in enumerate(("best", "last") if mode == "full" else ()):
            torch.manual_seed(seed)
            weights = tmp_path / f"{name}.safetensors"
            save_file(build(variant, 19).state_dict(), weights)
            digests[name] = sha256(weights)
        model = {"variant": variant, "num_classes": 19, "semantic_attention": ["windowed"] * 4,
                 "drop_path": 0.3, "norm": "syncbn"}  # fmt: skip
        write_record(
            tmp_path / "train.json",
            "train",
            **make_record(
                "train", mode=mode, weights_digest=digests,
                recipe={**recipe(), "dataset": dataset, "model": model},
            ),
        )  # fmt: skip
        return tmp_path / "train.json"

    return make


@pytest.mark.parametrize(
    ("variant", "names"),
    [
        ("nano", "narrow_c19_2x128x160"),
        ("tiny", "tiny_c19"),
        pytest.param("small", "small_c19", marks=pytest.mark.slow),
        pytest.param("base", "base_c19", marks=pytest.mark.slow),
        pytest.param("large", "large_c19", marks=pytest.mark.slow),
    ],
)
def test_names_shapes_and_values(
    run: Run, export: Run, oracle: Path, tmp_path: Path, variant: str, names: str
) -> None:
    record, output = run(variant), tmp_path / "out" / "semask.pth"

    export("--train-record", record, "--output", output)

    content = torch.load(output, map_location="cpu", weights_only=True)
    known = json.loads((oracle / f"{names}.keys.json").read_text(encoding="utf-8"))["state_dict"]
    assert {
        name: [list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
        for name, tensor in content["state_dict"].items()
    } == known
    weights = read_state_dict(record.with_name("best.safetensors"))
    assert all(torch.equal(content["state_dict"][name], weights[name]) for name in weights)
    assert content["meta"]["iter"] == 200
    assert content["meta"]["CLASSES"][:2] == ("road", "sidewalk")
    assert content["meta"]["PALETTE"][0] == [128, 64, 128]
    assert len(content["meta"]["CLASSES"]) == len(content["meta"]["PALETTE"]) == 19
    assert content["meta"]["semask_bench"]["recipe"]["model"]["variant"] == variant


def test_the_export_is_a_released_checkpoint_to_us(run: Run, export: Run, tmp_path: Path) -> None:
    output = tmp_path / "semask.pth"
    export("--train-record", run(), "--which", "last", "--output", output)
    model = build("nano", 19)

    report = load_reference(model, read_state_dict(output))

    assert report.missing == report.unused == []
    weights = read_state_dict(tmp_path / "last.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_an_old_torch_knows_all_that_the_file_is_made_of(
    run: Run, export: Run, tmp_path: Path
) -> None:
    """The original's tools run on torch 1.8, which reads zip files and pickle protocol 2."""
    output = tmp_path / "semask.pth"
    export("--train-record", run(), "--output", output)

    with zipfile.ZipFile(output) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        operations = list(pickletools.genops(archive.read(name)))

    assert max(operation.proto for operation, _, _ in operations) <= 2
    assert {value for operation, value, _ in operations if operation.name == "GLOBAL"} <= {
        "torch._utils _rebuild_tensor_v2",
        "torch FloatStorage",
        "torch LongStorage",
        "collections OrderedDict",
    }


def test_the_command(tmp_path: Path) -> None:
    nowhere, output = tmp_path / "nowhere.json", tmp_path / "semask.pth"
    done = run_script("export_weights", "--train-record", nowhere, "--output", output)
    assert done.status == 1
    assert done.stderr.startswith(f"error: {tmp_path}/nowhere.json: no such file")


def test_what_cannot_be_exported_is_one_line(run: Run, export: Run, tmp_path: Path) -> None:
    record, output = run(), tmp_path / "semask.pth"

    def refused(*arguments: object) -> str:
        with pytest.raises(InputError) as error:
            export("--train-record", record, "--output", output, *arguments)
        assert not output.exists()
        [line] = str(error.value).splitlines()
        return line

    last = tmp_path / "last.safetensors"
    assert "last.safetensors: not the weights that the record" in refused("--weights", last)
    last.write_bytes(last.read_bytes()[:-100])
    assert "last.safetensors: not the weights that the record" in refused("--which", "last")
    assert "nowhere.safetensors: cannot be read (No such file" in refused(
        "--weights", tmp_path / "nowhere.safetensors"
    )
    assert "semask.zip: not a name for a checkpoint" in refused("--output", tmp_path / "semask.zip")
    run(mode="performance")
    assert "keeps no best weights, as a performance run" in refused()

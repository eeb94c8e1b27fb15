"""Settings of a recipe, seen in what training does: weights to start from, hard pixels, faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from semask.devices import variables
from semask.model import build

from .conftest import Trainer

Make = Callable[[str], Trainer]


FOUR: dict[str, Any] = {"iterations": 4, "evaluate_every": 4}


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Four iterations with no setting changed."""
    made = Trainer(data, tmp_path_factory.mktemp("plain") / "run")
    made.run(**FOUR)
    return made


@pytest.fixture(scope="module")
def scaled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """The same in half precision with a fixed scale of the loss."""
    made = Trainer(data, tmp_path_factory.mktemp("scaled") / "run")
    made.run(**FOUR, precision="fp16", faults={"fixed_loss_scale": 128})
    return made


@pytest.mark.parametrize("name", ["TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE"])
def test_a_run_that_compiles_nothing_does_not_say_that_it_did(trainer: Make, name: str) -> None:
    run = trainer("a")
    compiled = {"execution": {"compile": ["cpu"]}}
    off = {name: "1"}
    # of its own: torch reads the variable when it is imported
    own = {"wrapper": ["env"], "parts": compiled, **FOUR}
    assert "overrides execution.compile" in run.run(ok=False, environment=off, **own)
    accepted = {**off, variables.ACCEPTED: name}
    said = run.run(ok=False, environment=accepted, **own).splitlines()
    assert said[-1].startswith("error: execution.compile: nothing was compiled"), said
    assert run.lines(run.folder / "work/log.jsonl") == []


def test_attention_that_is_not_fused_ends_the_run(trainer: Make) -> None:
    run = trainer("a")
    said = run.run(ok=False, parts={"execution": {"fused_attention": ["cpu"]}}, **FOUR)
    assert said.startswith("error: execution.fused_attention: torch has no fused operator"), said
    assert len(said.splitlines()) == 1


def losses(run: Trainer) -> list[float]:
    return [line["loss"] for line in run.curve() if "loss" in line]


def swin_weights(path: Path, **changes: Any) -> Path:
    """A file as the Swin authors publish them, for a nano backbone; None in changes drops a key."""
    torch.manual_seed(7)
    trunk = build("nano", 19).backbone.state_dict()
    kept = {
        key: value
        for key, value in trunk.items()
        if "semantic_layer" not in key and not key.startswith("norm")
    }
    classifier = {"norm.weight": torch.ones(256), "norm.bias": torch.zeros(256),
                  "head.weight": torch.ones(1000, 256), "head.bias": torch.zeros(1000)}  # fmt: skip
    state = {**kept, **classifier, **changes}
    torch.save({"model": {k: v for k, v in state.items() if v is not None}}, path)
    return path


def test_training_starts_from_pretrained_weights(
    trainer: Make, plain: Trainer, tmp_path: Path
) -> None:
    file = swin_weights(tmp_path / "swin.pth")
    tuned = trainer("tuned")
    printed = tuned.run(iterations=2, pretrained=file)
    assert "swin.pth" in printed
    assert losses(tuned)[0] != losses(plain)[0]
    record = tuned.record()
    assert record["recipe"]["model"]["pretrained"].startswith("sha256:")
    report = record["figures"]["pretrained"]
    assert report["file"] == "swin.pth"
    assert "backbone.patch_embed.proj.weight" in report["loaded"]
    assert {name.split(".")[0] for name in report["unused"]} == {"norm", "head"}
    assert report["converted"] == ["from its 'model'"]
    assert "of the file not used; from its 'model'" in printed
    assert all(
        "semantic_layer" in name or "backbone.norm" in name or name.startswith("decode_head")
        for name in report["missing"]
    )
    assert plain.record()["figures"]["pretrained"] is None
    assert plain.record()["recipe"]["model"]["pretrained"] is None


def test_half_a_file_of_weights_is_no_start(trainer: Make, tmp_path: Path) -> None:
    half = {"layers.1.blocks.0.attn.qkv.weight": None, "layers.1.blocks.0.attn.qkv.bias": None}
    run = trainer("a")
    printed = run.run(ok=False, pretrained=swin_weights(tmp_path / "half.pth", **half))
    [line] = printed.splitlines()
    assert line.startswith("error: ")
    assert "half.pth" in line
    assert "layers.1.blocks.0.attn.qkv" in printed
    assert not (run.folder / "train.json").exists()


def test_missing_weights_are_named(trainer: Make, tmp_path: Path) -> None:
    run = trainer("a")
    [line] = run.run(ok=False, pretrained=tmp_path / "nowhere.pth").splitlines()
    assert line.startswith("error: ")
    assert "nowhere.pth" in line
    assert "model.pretrained" in line


def test_other_weights_do_not_go_on(trainer: Make, tmp_path: Path) -> None:
    run = trainer("a")
    run.killed_after(2)
    [line] = [
        line
        for line in run.run(ok=False, pretrained=swin_weights(tmp_path / "swin.pth")).splitlines()
        if line.startswith("error: ")
    ]
    assert "recipe.model.pretrained" in line


def test_only_the_hardest_pixels_have_a_loss(trainer: Make, plain: Trainer) -> None:
    runs = {pixels: trainer(f"hard {pixels}") for pixels in (32 * 32, 100)}
    for pixels, run in runs.items():
        run.run(iterations=1, evaluate_every=1, hard_pixels=pixels)
    runs[None] = plain
    main = {pixels: run.curve()[0]["loss_ce"] for pixels, run in runs.items()}
    assert main[32 * 32] == pytest.approx(main[None])
    # a hundred pixels of each image count, the mean is still over all: at most their share, and
    # more than that share of the mean since they are the hardest
    share = 100 / (32 * 32)
    assert share * main[None] < main[100] < main[None] / 2
    semantic = {run.curve()[0]["loss_semantic"] for run in runs.values()}
    assert len(semantic) == 1


def test_each_fault_of_the_port_changes_the_run(
    trainer: Make, plain: Trainer, scaled: Trainer
) -> None:
    settings: dict[str, dict[str, Any]] = {
        "none": {},
        "drop_path_never_fires": {"faults": {"drop_path_never_fires": True}},
        "decay_everything": {"faults": {"decay_everything": True}},
        "fixed_loss_scale": {"faults": {"fixed_loss_scale": 128}, "precision": "fp16"},
        "fast_gelu": {"faults": {"fast_gelu": True}},
    }
    runs = {name: trainer(name) for name in settings}
    runs.update(none=plain, fixed_loss_scale=scaled)
    for name, run in runs.items():
        if run not in (plain, scaled):
            run.run(**FOUR, **settings[name])
    curves = {}
    for name, setting in settings.items():
        run = runs[name]
        assert run.record()["recipe"]["port_faults"] == {
            "drop_path_never_fires": False,
            "decay_everything": False,
            "fixed_loss_scale": None,
            "fast_gelu": False,
            **setting.get("faults", {}),
        }
        curves[name] = losses(run)
    first = {name: curve[0] for name, curve in curves.items()}
    assert first["decay_everything"] == first["none"]
    assert first["fixed_loss_scale"] == pytest.approx(first["none"], rel=0.01)
    assert first["fast_gelu"] == pytest.approx(first["none"], rel=0.05)
    assert len({curve[-1] for curve in curves.values()}) == len(curves)


def test_a_loss_scale_is_taken_off_the_gradients(trainer: Make, scaled: Trainer) -> None:
    """With fp16 the scaled run follows one of another scale: 128 is a power of two."""
    other = trainer("other")
    other.run(**FOUR, precision="fp16", faults={"fixed_loss_scale": 1024})
    a, b = (losses(run)[2] for run in (scaled, other))
    assert a == pytest.approx(b, rel=0.01)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_follow_fp32(trainer: Make, plain: Trainer, precision: str) -> None:
    run = trainer(precision)
    run.run(**FOUR, precision=precision)
    full, low = losses(plain), losses(run)
    assert low != full
    assert low[0] == pytest.approx(full[0], rel=0.01)
    # a step or more is skipped while the loss scale is found
    assert low[-1] == pytest.approx(full[-1], rel=0.2)
    [process] = run.record()["ran"]["processes"]
    lower = {"bf16": "bfloat16", "fp16": "float16"}[precision]
    assert process["dtypes"] == {
        "class_scores": lower, "logits": "float32", "gradients": "float32"
    }  # fmt: skip
    figures = run.record()["figures"]["precision"]
    if precision == "bf16":
        assert figures == {"skipped_steps": 0, "loss_scale": None}


def test_steps_that_overflow_are_skipped_and_counted(trainer: Make) -> None:
    """With a huge learning rate activations grow until gradients overflow in fp16."""
    run = trainer("fp16")
    run.run(iterations=4, evaluate_every=2, precision="fp16", **overflowing(run))
    skipped = [line["iteration"] for line in run.lines() if line.get("skipped")]
    figures = run.record()["figures"]["precision"]
    assert figures["skipped_steps"] == len(skipped) > 0
    assert figures["loss_scale"] == 2.0**100 * 0.5 ** len(skipped)


def test_the_loss_scale_survives_an_interruption(trainer: Make) -> None:
    whole, cut = trainer("whole"), trainer("cut")
    settings: dict[str, Any] = {"precision": "fp16", **overflowing(whole)}
    whole.run(**settings)
    cut.killed_after(2, **settings)
    cut.run(**settings)
    assert cut.curve() == whole.curve()
    assert cut.record()["figures"]["precision"] == whole.record()["figures"]["precision"]


def overflowing(run: Trainer) -> dict[str, Any]:
    """A trainer whose loss scales start so high that the first gradients overflow."""
    run.folder.mkdir(exist_ok=True)
    (run.folder / "overflowing.py").write_text(
        "import torch\n"
        "from semask.workflow import guard\n"
        "from workflow_scripts import train\n"
        "plain = torch.amp.GradScaler\n"
        "def scaler(device, enabled):\n"
        "    return plain(device, init_scale=2.0**100, enabled=enabled)\n"
        "torch.amp.GradScaler = scaler\n"
        "guard.run(train.main)\n",
        "utf-8",
    )
    environment = {"PYTHONPATH": str(run.folder)}
    return {"script": ("-m", "overflowing"), "environment": environment}


def test_numerics_change_the_run_and_are_recorded(trainer: Make, plain: Trainer) -> None:
    run = trainer("tanh")
    run.run(iterations=2, evaluate_every=2, parts={"numerics": {"gelu": "tanh"}})
    assert run.record()["recipe"]["numerics"]["gelu"] == "tanh"
    assert plain.record()["recipe"]["numerics"]["gelu"] == "exact"
    exact, tanh = losses(plain)[0], losses(run)[0]
    assert exact != tanh
    assert exact == pytest.approx(tanh, rel=1e-3)

"""The rivals compute what we compute, and every benchmark runs."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from benchmarks import measurements, pairing
from benchmarks.first_hour import PARTS
from benchmarks.original import (
    OriginalModel,
    original_areas,
    original_losses,
    original_predict,
    original_sample,
)
from semask.data.inputs import network_input
from semask.data.reading import read_image, read_label
from semask.data.transforms import Augmentation, augment
from semask.evaluation.prediction import predict
from semask.evaluation.split import confusion_matrix
from semask.model import build, segmentation_losses

from .warm import warm_scripts

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = build("nano", 19, drop_path=0.0, dropout=0.0, semantic_dropout=0.0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made


def test_the_rival_is_the_same_model(model):
    images = torch.randn(2, 3, 130, 157)
    labels = torch.randint(0, 19, (2, 130, 157))
    labels[:, :9] = 255
    expected, found = model.logits(images), OriginalModel(model)(images)
    for own, rival in zip(expected, found, strict=True):
        torch.testing.assert_close(rival, own, rtol=1e-4, atol=1e-5)
    total = segmentation_losses(*expected, labels).total
    torch.testing.assert_close(original_losses(*found, labels), total)


def test_the_rival_predicts_and_counts_the_same(model):
    model.eval()
    image, label = torch.randn(1, 3, 96, 128), torch.randint(0, 19, (96, 128), dtype=torch.uint8)
    label[:20] = 255
    with torch.inference_mode():
        found = original_predict(OriginalModel(model), image, (96, 128))
        expected = predict(model, image, (96, 128))[0]
    assert (found == expected.numpy()).mean() > 0.9999
    right, predicted, labelled = original_areas(expected.numpy(), label.numpy(), 19)
    matrix = confusion_matrix(expected, label, 19)
    assert torch.equal(right.long(), matrix.diag())
    assert torch.equal(predicted.long(), matrix.sum(0))
    assert torch.equal(labelled.long(), matrix.sum(1))


@pytest.mark.parametrize("crop", [(48, 48), (90, 200)])
def test_our_samples_are_the_rivals(tmp_path, crop):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (64, 128, 3), np.uint8)
    image, label = tmp_path / "image.png", tmp_path / "label.png"
    cv2.imwrite(str(image), cv2.GaussianBlur(noise, (0, 0), 2))
    blocks = rng.choice([0, 1, 5, 255], (8, 16)).astype(np.uint8)
    cv2.imwrite(str(label), np.kron(blocks, np.ones((8, 8), np.uint8)))
    settings = Augmentation((128, 64), (0.5, 2.0), None, crop, 0.5)
    for seed in range(60):
        expected, target = original_sample(
            image.read_bytes(), label.read_bytes(), settings, np.random.default_rng(seed)
        )
        sample = augment(
            partial(read_image, image), read_label(label), settings, np.random.default_rng(seed)
        )
        sizes = torch.tensor(sample.size)[None]
        found = network_input(torch.from_numpy(sample.image)[None], sizes)[0]
        assert torch.equal(found, expected)
        assert torch.equal(torch.from_numpy(sample.label).long(), target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("model", []),
        ("train_step", []),
        ("input_pipeline", []),
        ("evaluation", []),
        ("labels", []),
        ("whole_run", []),
    ],
)
def test_every_benchmark_runs(name, options, tmp_path):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--output", tmp_path, *options],
        cwd=REPOSITORY, capture_output=True, encoding="utf-8", timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((tmp_path / f"{name}-quick.json").read_text(encoding="utf-8"))
    assert kept["machine"]["torch"]
    assert kept["results"]


def test_what_ran_is_kept_where_a_later_case_fails(tmp_path, capsys):
    calls = []

    def fails():
        calls.append(None)
        if len(calls) > 3:  # in the second round
            raise RuntimeError("no\ncompiler")

    cases = [pairing.Case("rival", lambda: time.sleep(0.001)), pairing.Case("late", fails),
             pairing.Case("never", lambda: 1 / 0), pairing.Case("ours", lambda: None)]  # fmt: skip
    rows = pairing.compare("of four", cases, 3)
    assert "RuntimeError: no compiler" in capsys.readouterr().out
    assert [row.get("fault", "") for row in rows] == [
        "", "RuntimeError: no compiler", "ZeroDivisionError: division by zero", "",
    ]  # fmt: skip
    assert rows[3]["ratio"]["median"] > 1
    arguments = pairing.parser("").parse_args(["--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="2 of the cases failed; the first: RuntimeError: no"):
        pairing.keep("some", arguments, {"of four": rows, "another": 1})
    kept = json.loads((tmp_path / "some.json").read_text(encoding="utf-8"))
    assert kept["results"]["of four"] == rows
    with pytest.raises(ZeroDivisionError):  # nothing to compare with
        pairing.compare("of two", [cases[2], cases[3]], 1)


def first_hour(output, *options):
    return [
        *(sys.executable, "-m", "benchmarks.first_hour", "--device", "cpu", "--quick"),
        *("--output", str(output), *options),
    ]


def parts_of(output):
    return json.loads((output / "first_hour.json").read_text(encoding="utf-8"))["parts"]


@pytest.mark.slow
def test_the_first_hour_keeps_what_all_parts_find(tmp_path):
    # the limits are for a machine of which nobody else uses the cores
    unhurried = [f"{name}=1000" for name in PARTS]
    done = subprocess.run(
        first_hour(tmp_path, "--budget", "4000", "--limit", *unhurried),
        cwd=REPOSITORY, capture_output=True, encoding="utf-8", timeout=2000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((tmp_path / "first_hour.json").read_text(encoding="utf-8"))
    assert kept["torch"] == torch.__version__
    assert kept["ended"]
    parts = kept["parts"]
    measured = ["train", "profile", "evaluation", "input", "smoke"]
    assert [parts[name]["state"] for name in measured] == ["done"] * len(measured), parts
    assert parts["graphs"]["reason"] == "a cpu has no CUDA graphs"
    rows = {row["name"]: row for row in parts["train"]["found"]["batch_2"]}
    assert rows["ours, bf16"]["ratio"]["median"] > 0
    assert rows["ours, bf16, compiled"]["not_run"]
    assert parts["profile"]["found"]["ours, bf16"]["parts"]["decoder"] > 0
    assert parts["input"]["found"]["whole_run"]["fps"] > 0
    assert parts["smoke"]["found"]["table"].startswith("# ")
    assert parts["smoke"]["found"]["killed"] == {"killed": True, "tries": 2, "equal": True}


@pytest.mark.slow
def test_a_part_that_fails_or_is_late_does_not_stop_the_others(tmp_path):
    options = ("--only", "train", "evaluation", "input", "--variant", "none", "--budget", "400")
    done = subprocess.run(
        first_hour(tmp_path, *options, "--limit", "input=1", "evaluation=1000"),
        cwd=REPOSITORY, capture_output=True, encoding="utf-8", timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    parts = parts_of(tmp_path)
    assert parts["train"]["state"] == "failed"
    assert "none" in parts["train"]["reason"]
    assert parts["train"]["printed"]
    assert parts["input"]["state"] == "out of time"
    assert parts["evaluation"]["state"] == "done"
    assert parts["evaluation"]["limit"] < 400  # no more than is left for all of them
    assert parts["smoke"]["reason"] == "left out by --only or --skip"


@pytest.mark.slow
def test_no_part_is_begun_when_the_budget_is_spent(tmp_path):
    done = subprocess.run(
        first_hour(tmp_path, "--only", "train", "evaluation", "--budget", "1"),
        cwd=REPOSITORY, capture_output=True, encoding="utf-8", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    parts = parts_of(tmp_path)
    for name in ("train", "evaluation"):
        assert (parts[name]["state"], parts[name]["reason"]) == ("not run", "the budget was spent")


@pytest.mark.slow
def test_a_first_hour_that_is_killed_keeps_what_it_found(tmp_path):
    running = subprocess.Popen(
        first_hour(
            tmp_path, "--only", "train", "evaluation", "--limit", "train=1000", "--rounds", "200"
        ),
        cwd=REPOSITORY,
    )
    deadline = time.monotonic() + 900
    while not (tmp_path / "first_hour.json").exists() or not parts_of(tmp_path)["train"].get(
        "found"
    ):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(2)
    kept = (tmp_path / "first_hour.json").read_bytes()
    parts = parts_of(tmp_path)
    assert parts["train"]["state"] == "running"
    assert parts["train"]["found"]["ceilings"]["fp32"] > 0
    assert parts["evaluation"] == {"state": "not run", "reason": "not reached"}
    time.sleep(5)
    # the part went with its parent
    assert (tmp_path / "first_hour.json").read_bytes() == kept


def test_a_gpu_that_is_not_there_is_one_line(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    done = warm_scripts().run("benchmarks.first_hour", ["--output", str(tmp_path)], REPOSITORY)
    assert done.status == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "gpu is not present" in done.stderr


def test_the_page_of_measurements_is_what_was_kept():
    page = (REPOSITORY / "docs" / "measurements.md").read_text(encoding="utf-8")
    assert page == measurements.page(), "run python -m benchmarks.measurements"
    assert "smoke      | out of time" in page


def test_a_machine_that_measured_nothing_has_only_reasons(tmp_path):
    of_part = {"state": "failed", "reason": "no memory"}
    settings = {"variant": "small", "crop": 768, "budget": 60, "only": [], "skip": [], "limit": {}}
    told = {"device": "a GPU", "torch": "2.11", "driver": "1", "code_version": "1"}
    kept = {**told, "settings": settings, "machine": {"cores": 8}, "parts": {"train": of_part}}
    kept["started"] = "2026-01-01T00:00:00"
    (tmp_path / "first_hour-a.json").write_text(json.dumps(kept), encoding="utf-8")
    page = measurements.page(tmp_path)
    assert "| train      | failed: no memory |" in page
    assert "| parity     | not begun         |" in page
    assert "images/s" not in page

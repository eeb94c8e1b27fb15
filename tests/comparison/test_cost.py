"""The cost model: against sums, against autograd on a CPU, against a process's memory."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from semask.base.errors import InputError
from semask.base.records import write_record
from semask.base.row_names import as_recorded
from semask.comparison.cost import (
    BYTES_PER_PARAMETER,
    Autocast,
    gmac_of,
    rate_of,
    recipe_of,
    row_work,
    saved_bytes,
    training_memory,
)
from semask.config.layers import assemble
from semask.data.labels import convert_part
from semask.data.manifest import merge, write_manifest
from semask.data.sets import cityscapes
from semask.data.streets import generate
from semask.model import build
from semask.model.facts import on_meta
from workflow_scripts.cost import configs_of, main

from ..conftest import REPOSITORY
from ..warm import run_script

NANO = {"variant": "nano", "num_classes": 19}
DOCUMENTED = (REPOSITORY / "docs" / "cost.md").read_text(encoding="utf-8")
LINUX = Path("/proc/self/status").exists()


def test_parameters_take_16_bytes_and_activations_are_linear_in_the_batch() -> None:
    memory = training_memory(NANO, (64, 64), "fp32")
    model = on_meta(NANO).train()
    assert memory.parameters == BYTES_PER_PARAMETER * sum(x.numel() for x in model.parameters())
    assert BYTES_PER_PARAMETER == 16
    for batch in (2, 5):
        saved = saved_bytes(model, (64, 64), batch, nullcontext())
        assert memory.of(batch) == memory.parameters + saved
    alone = saved_bytes(model, (64, 64), 1, nullcontext())
    assert memory.of(1) - memory.parameters == pytest.approx(alone, rel=0.05)
    # statistics of the batch norms
    assert 0 < memory.constant < 100_000


def test_activations_grow_with_the_area() -> None:
    # sides that windows of 7 tokens fill at every stride
    small, large = (training_memory(NANO, (side, side), "fp32") for side in (224, 448))
    assert large.per_image == pytest.approx(4 * small.per_image, rel=0.02)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_reduced_precision_takes_less_for_an_image_and_more_for_the_weights(precision: str) -> None:
    full, reduced = (training_memory(NANO, (128, 128), p) for p in ("fp32", precision))
    assert 0.5 * full.per_image < reduced.per_image < full.per_image
    assert reduced.parameters == full.parameters
    # weights of the products, in 2 bytes each
    assert full.constant < reduced.constant < full.parameters / 8 + full.constant


@pytest.mark.parametrize("attention", ["windowed", "global"])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_count_is_that_of_a_real_step(attention: str, batch: int) -> None:
    settings = {**NANO, "semantic_attention": [attention] * 4}
    counted, real = on_meta(settings).train(), build(**settings)

    def saved(model: Any, casts: Any) -> int:
        return saved_bytes(model, (64, 96), batch, casts)

    assert saved(counted, nullcontext()) == saved(real, nullcontext())
    # a CPU's autocast keeps nothing in fp32
    on_cpu = Autocast(torch.bfloat16, in_full=())
    assert saved(counted, on_cpu) == saved(real, torch.autocast("cpu", torch.bfloat16))


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command in this process, where the work of most models is known already."""

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["cost", *map(str, arguments)])
        monkeypatch.chdir(REPOSITORY)
        main()
        return capsys.readouterr().out

    return run


def config_of(experiment: str, variant: str | None = None, **changes: Any) -> dict[str, Any]:
    files = (REPOSITORY / "config.yaml", REPOSITORY / "experiments" / f"{experiment}.yaml")
    return assemble(
        [*(yaml.safe_load(path.read_text(encoding="utf-8")) for path in files), changes], variant
    )


def record_of(
    path: Path, make_record: Any, config: dict[str, Any], row: dict[str, Any], fps: float
) -> Path:
    content = make_record(
        "train",
        mode="performance",
        row=as_recorded(row),
        recipe=recipe_of(config, row, "performance").as_dict(),
    )
    content["figures"]["speed"]["fps"] = fps
    write_record(path, "train", **content)
    return path


def test_what_was_measured_is_predicted_as_images_per_second(
    tmp_path: Path, make_record: Any
) -> None:
    config = config_of("ascend")
    row = config["rows"][1]
    rate = rate_of(record_of(tmp_path / "train.json", make_record, config, row, fps=63.15))

    work = row_work(config, row)

    assert rate.hours(work.training, 8) == pytest.approx(80000 * 32 / 63.15 / 3600)
    assert rate.hours(work.performance, 8) == pytest.approx(3 * 1000 * 32 / 63.15 / 3600)
    assert rate.hours(work.training, 1) == pytest.approx(8 * rate.hours(work.training, 8))
    assert (rate.device, rate.precision, rate.processes) == ("gpu", "fp32", 8)


def test_a_planted_fault_is_no_speed(tmp_path: Path, make_record: Any) -> None:
    config = config_of("port_demo")
    path = record_of(tmp_path / "train.json", make_record, config, config["rows"][2], fps=1.0)
    with pytest.raises(InputError, match=r"planted fault \(gelu_tanh\).*of another row"):
        rate_of(path)


def test_evaluations_by_hand() -> None:
    config = config_of(
        "cityscapes", "tiny", evaluation={"multi_scale": {"ratios": [0.5, 1.0], "flip": True}}
    )
    settings = {key: value for key, value in config["model"].items() if key != "pretrained"}
    whole, half = gmac_of(settings, 1024, 2048), gmac_of(settings, 512, 1024)

    # ten on the way, the best and the last weights, then four views
    assert row_work(config, config["rows"][1]).evaluation == pytest.approx(
        500 * (12 * whole + 2 * whole + 2 * half)
    )
    assert row_work(config, config["rows"][0]).evaluation == 0
    assert whole == pytest.approx(306.14, abs=0.005)


def test_seeds_and_sliding_windows_by_hand() -> None:
    config = config_of(
        "cityscapes", "tiny",
        evaluation={
            "multi_scale": None, "sliding_window": {"size": [768, 768], "stride": [512, 512]}
        },
    )  # fmt: skip
    row = {**config["rows"][1], "seeds": [0, 1, 2]}
    window = gmac_of({"variant": "tiny", "num_classes": 19}, 768, 768)
    work = row_work(config, row)
    config["performance"]["repeats"] = 5
    again = {**row, "modes": ["performance"]}
    assert row_work(config, again).performance == pytest.approx(5 * 3 * 1000 * 8 * window)
    # 2 windows high, 4 wide
    assert work.evaluation == pytest.approx(3 * 500 * 12 * 8 * window)
    assert work.training == pytest.approx(3 * 3 * 80000 * 8 * window)


def test_the_embedded_experiment_has_the_images_that_it_makes(config: dict[str, Any]) -> None:
    image = gmac_of(NANO, 128, 256)
    assert row_work(config, config["rows"][1]).evaluation == pytest.approx(60 * 4 * image)


def test_a_data_set_of_unknown_size_is_refused(config: dict[str, Any]) -> None:
    del config["dataset"]["streets"]
    config["dataset"]["labels"] = "not/converted"
    with pytest.raises(InputError, match=r"dataset\.name: streets: nothing is published of it"):
        row_work(config, config["rows"][0])


def test_images_that_are_there_are_counted(tmp_path: Path) -> None:
    cities = {"train": {"alder": 3}, "val": {"elm": 1}}
    generate(tmp_path / "mine", seed=1, width=64, height=32, cities=cities)
    for split, city in (("train", "alder"), ("val", "elm")):
        made = convert_part(cityscapes, tmp_path / "mine", split, city, tmp_path / "labels")
        write_manifest(tmp_path / "labels" / f"{split}.json", merge([made]))
    config = config_of("cityscapes")
    config["training"]["epochs"], config["training"]["batch"]["size"] = 2, 1
    row = {**config["rows"][0], "processes": 1}
    assert recipe_of(config, row, "full").training.iterations == 2 * 2975
    config["dataset"]["labels"] = str(tmp_path / "labels")
    assert recipe_of(config, row, "full").training.iterations == 2 * 3


def test_hours_come_from_the_record_that_is_most_like_the_row(
    tmp_path: Path, make_record: Any, cost: Any
) -> None:
    config = config_of("ascend")
    paths = [
        record_of(tmp_path / f"{n}.json", make_record, config, config["rows"][n], fps)
        for n, fps in ((0, 10.0), (1, 64.0))
    ]
    printed = cost("--experiment", "experiments/ascend.yaml", "--record", *paths)
    rates, experiments = (table.splitlines() for table in printed.strip().split("\n\n"))
    assert rates[2].endswith("| 10 | 4.096 | 1.00 |")
    assert rates[3].endswith("| 64 | 3.277 | 0.80 |")
    one, eight, *npu = (line.split(" | ")[-2:] for line in experiments[2:])
    assert one[0] + " |" == one[1]  # a single device
    assert float(eight[1].strip(" |")) == pytest.approx(
        sum(row_work(config, config["rows"][1])) / (0.8 * 4096 * 8 * 3600), abs=0.1
    )
    assert npu == [["no record of npu, fp32", "no record of npu, fp32 |"]] * 2


def test_a_wrong_record_is_one_line(tmp_path: Path) -> None:
    done = run_script("cost", "--record", tmp_path / "none.json")
    assert done.status == 1, done.stdout
    assert done.stderr.startswith(f"error: {tmp_path / 'none.json'}: ")
    assert done.stderr.count("\n") == 1


def test_wrong_overlays_are_refused(tmp_path: Path) -> None:
    contents = {"list": "- 1", "tab": "a: [", "key": "trainig: 1"}
    for name, content in contents.items():
        (tmp_path / f"{name}.yaml").write_text(content, encoding="utf-8")
    for name, said in (
        ("none", "none.yaml: cannot be read"),
        ("list", "list.yaml: not a mapping"),
        ("tab", "tab.yaml: not YAML"),
        ("key", "config: trainig: unknown key"),
    ):
        with pytest.raises(InputError, match=said) as fault:
            list(configs_of([tmp_path / f"{name}.yaml"], None))
        assert "\n" not in str(fault.value)
    with pytest.raises(InputError, match="'huge' is not a name under variants"):
        list(configs_of([REPOSITORY / "experiments/cityscapes.yaml"], "huge"))


def test_documented_rows_are_the_computed_ones(cost: Any) -> None:
    options = ("--fps", "10", "--experiment", "experiments/cityscapes.yaml", "--variant", "tiny")
    lines = cost(*options).splitlines()
    assert len(lines) == 4
    assert set(lines) <= set(DOCUMENTED.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [[], ["--memory"], ["--fps", "10", "--experiment", "experiments/cityscapes.yaml"]],
)
def test_documented_tables_are_the_computed_ones(arguments: list[str]) -> None:
    done = run_script("cost", *arguments, timeout=600)
    assert done.status == 0, done.stderr
    assert done.stdout in DOCUMENTED


# glibc gives a larger piece back as soon as it is freed: what a process holds is what is in use
EXACT = {"MALLOC_MMAP_THRESHOLD_": str(2**17)}
STEPS = """
import sys, torch
from semask.model import build, segmentation_losses
from semask.training.optimization import build_optimizer
torch.set_num_threads(1)
batch = int(sys.argv[1])
model = build("tiny", 19)
optimizer = build_optimizer(model, learning_rate=1e-4, weight_decay=0.05)
images, labels = torch.randn(batch, 3, 256, 256), torch.randint(0, 19, (batch, 256, 256))
for _ in range(2):  # from the second one on there are moments
    optimizer.zero_grad(set_to_none=True)
    segmentation_losses(*model(images), labels).total.backward()
    optimizer.step()
# of this program alone: getrusage may count the one that started it
[line] = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(line.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_memory_of_real_steps() -> None:
    peaks = [
        int(subprocess.run(
            [sys.executable, "-c", STEPS, str(batch)],
            cwd=REPOSITORY, env={**os.environ, **EXACT}, capture_output=True, encoding="utf-8",
            timeout=300, check=True,
        ).stdout)
        for batch in (1, 3)
    ]  # fmt: skip
    predicted = training_memory({"variant": "tiny", "num_classes": 19}, (256, 256), "fp32")
    # what is made anew in the backward pass is predicted, too: a fifth to two fifths
    assert 1 < predicted.per_image / ((peaks[1] - peaks[0]) / 2) < 1.6

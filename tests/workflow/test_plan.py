"""What the rules ask of the config, without Snakemake."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from semask.base.errors import InputError
from semask.base.records import SCHEMA
from semask.comparison.cost import BYTES_PER_PARAMETER, training_memory
from semask.config.repeats import turn
from semask.devices import variables
from semask.model import VARIANTS
from semask.workflow import parity_memory, released_plan
from semask.workflow.crossed import cross_records, left_out
from semask.workflow.plan import Plan
from semask.workflow.start import check_surroundings, layers_of, set_environment

from ..markdown_pages import flat
from ..markdown_pages import read as read_page

REPOSITORY = Path(__file__).parents[2]


def read(name: str) -> Any:
    return yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))


def plan(*overlays: Any) -> Plan:
    return Plan.read([read("config.yaml"), *overlays], REPOSITORY)


def row(device: str, processes: int, **changes: Any) -> dict[str, Any]:
    whole = {"device": device, "processes": processes, "threads": 1}
    return {**whole, "modes": ["full", "performance"], "seeds": [0, 1], **changes}


ROWS = {"rows": [row("gpu", 1), row("npu", 8, modes=["full"], seeds=[3])]}


def test_runs_are_in_the_order_of_the_config() -> None:
    made = plan(ROWS)
    assert made.runs("train.json", "full", "performance") == [
        "results/gpu-1p/full/seed0/train.json",
        "results/gpu-1p/full/seed1/train.json",
        "results/gpu-1p/performance/seed0/train.json",
        "results/gpu-1p/performance/seed1/train.json",
        "results/npu-8p/full/seed3/train.json",
    ]
    assert made.runs("x", "performance") == [
        f"results/gpu-1p/performance/seed{n}/x" for n in (0, 1)
    ]


def test_rows_are_measured_as_often_as_asked_and_take_turns() -> None:
    made = plan(
        {"rows": [row("gpu", 1, seeds=[1]), row("gpu", 8, seeds=[0, 7]), row("npu", 1, seeds=[4],
         modes=["full"])], "performance": {"repeats": 3}}
    )  # fmt: skip
    assert made.runs("x", "performance") == [
        f"results/{name}/performance/seed{seed}/x"
        for name, seeds in (("gpu-1p", (1, 0, 2)), ("gpu-8p", (0, 7, 1)))
        for seed in seeds
    ]
    # only the speed is measured more often
    assert len(made.runs("x", "full")) == 4
    turns = [[turn(made.config, made.row("gpu", n), seed) for seed in seeds]
             for n, seeds in ((1, (1, 0, 2)), (8, (0, 7, 1)))]  # fmt: skip
    assert turns == [[2, 1, 0]] * 2
    # more seeds than repeats: all of them; without repeats nobody has to wait
    several = plan({"rows": [row("gpu", 1, seeds=[0, 1, 2, 3])], "performance": {"repeats": 3}})
    assert len(several.runs("x", "performance")) == 4
    assert turn(plan().config, plan().row("cpu", 1), 0) == 0


def test_a_profile_alone_is_no_figure_for_the_table() -> None:
    profile = row("gpu", 1, modes=["profile"])
    made = plan({"rows": [row("cpu", 1), profile], "cross": []})
    assert [of["device"] for of in json.loads(made.table_rows())] == ["cpu"]
    assert made.parity_records() == ["results/cpu-1p/parity.json"]
    assert made.profiles() == ["results/gpu-1p/profile.json"]
    with pytest.raises(InputError, match="config: rows: a table needs one with the mode full or"):
        plan({"rows": [profile], "cross": []}).table_rows()


def test_a_row_is_found_by_its_wildcards() -> None:
    assert plan(ROWS).row("npu", "8")["seeds"] == [3]
    with pytest.raises(InputError, match="row npu-1p is not in the config; add it to rows"):
        plan(ROWS).row("npu", "1")


def test_rows_are_told_apart_by_their_planted_fault() -> None:
    planted = [{**row("cpu", 2), "planted_fault": fault} for fault in ("none", "gelu_tanh")]
    made = plan({"demonstration": True, "rows": [row("cpu", 2), *planted]})
    folders = ("cpu-2p", "cpu-2p-none", "cpu-2p-gelu_tanh")
    assert made.parity_records() == [f"results/{folder}/parity.json" for folder in folders]
    assert made.row("cpu", "2") == row("cpu", 2)
    found = made.row("cpu", "2", "-gelu_tanh")
    assert found["planted_fault"] == "gelu_tanh"
    assert json.loads(made.run_settings(found, "full", "0"))["planted_fault"] == "gelu_tanh"
    assert json.loads(made.parity_look(found)[1])["planted_fault"] == "gelu_tanh"
    with pytest.raises(InputError, match="row cpu-2p-decay_everything is not in the config"):
        made.row("cpu", "2", "-decay_everything")


def test_gpu_rows_beside_npu_rows_have_the_torch_of_the_npus() -> None:
    beside, alone = plan(ROWS), plan({"rows": [row("gpu", 1)]})
    environments = [beside.environment("gpu"), beside.environment("npu"), alone.environment("gpu")]
    assert environments == ["gpu_beside_npu", "npu", "gpu"]
    elsewhere = {"cross": [{"weights": "gpu-1p", "scored_by": "npu-1p"}]}
    assert plan({"rows": [row("gpu", 1)]}, elsewhere).environment("gpu") == "gpu_beside_npu"


def test_training_reads_nothing_of_what_evaluation_alone_needs() -> None:
    """Else another number of pictures would train again."""
    before = plan().training_config()
    changed = {"evaluation": {"predictions": 1, "multi_scale": {"ratios": [1.0], "flip": True}}}
    assert plan(changed).training_config() == before
    assert plan({"equivalence": {"margin": 1.0, "speed": 0.1}}).training_config() == before
    assert plan({"performance": {"repeats": 3}}).training_config() == before
    assert plan({"evaluation": {"scale": [64, 32]}}).training_config() != before
    assert "pretrained" not in json.loads(before)["model"]


def test_weights_that_are_published_are_fetched_and_others_are_files(tmp_path: Path) -> None:
    published = next(iter(plan().weights))
    own = tmp_path / "own.pth"
    own.touch()

    def of(given: str | None) -> tuple[str, bool] | None:
        return plan({"model": {"pretrained": given}}).pretrained()

    assert of(None) is None
    assert of(published) == (f"weights/{published}", True)
    assert of(str(own)) == (str(own), False)
    with pytest.raises(InputError, match=r"model.pretrained: no.pth: no such file, and not a name"):
        of("no.pth")
    assert json.loads(plan().weights_source(published))["name"] == published


def test_released_checkpoints() -> None:
    with pytest.raises(InputError, match="released: null, nobody released checkpoints"):
        released_plan.records(plan())
    made = plan(read("experiments/cityscapes.yaml"))
    assert made.results.startswith("results/cityscapes/")
    assert released_plan.records(made)[0].startswith("results/cityscapes/released/")
    assert released_plan.weights(made, "small") == ("weights/semask_small_cityscapes.pth", True)
    chosen = json.loads(released_plan.config(made, "large"))
    assert (chosen["model"]["variant"], chosen["forbid_fallbacks"]) == ("large", False)
    gone = {"released": {"weights": {"small": "gone.pth"}}}
    made = plan(read("experiments/cityscapes.yaml"), gone)
    with pytest.raises(InputError, match=r"released.weights.small: gone.pth: no such file"):
        released_plan.weights(made, "small")


def test_a_bundle_has_what_was_asked_for() -> None:
    bare = plan(ROWS).bundled()
    whole = plan({**ROWS, "bundle": {"weights": True}}).bundled()
    assert {*whole} - {*bare} == {
        f"results/{run}/{name}"
        for run in ("gpu-1p/full/seed0", "gpu-1p/full/seed1", "npu-8p/full/seed3")
        for name in ("best.safetensors", "last.safetensors", "label_maps.zip")
    }
    with pytest.raises(InputError, match="bundle there is not in the config"):
        plan().bundle("there")
    named = plan({"imports": {"there": {"file": "no.zip", "digest": None}}})
    with pytest.raises(InputError, match=r"imports.there.file: no.zip: no such file"):
        named.bundle_outline("there")


def test_the_operators_of_an_npu_alone_are_forbidden_to_fall_back() -> None:
    strict = plan({"npu": {"forbid_fallbacks": True}})
    assert [strict.forbids_fallbacks(device) for device in ("cpu", "gpu", "npu")] == [
        False,
        False,
        True,
    ]
    assert not plan({"npu": {"forbid_fallbacks": False}}).forbids_fallbacks("npu")


def test_a_record_is_no_layer(tmp_path: Path) -> None:
    layer, record = tmp_path / "config.yaml", tmp_path / "train.json"
    layer.write_text("b: 1", encoding="utf-8")
    record.write_text(json.dumps({"schema": SCHEMA, "kind": "train", "digest": "0"}), "utf-8")
    with pytest.raises(InputError, match=r"train.json: a record, .* put -- before targets"):
        layers_of([layer, record], {})
    assert layers_of([layer], {"dataset": {"download": "true"}}) == [
        {"b": 1},
        {"dataset": {"download": True}},
    ]


def test_folders_that_cannot_be_borne(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read("config.yaml")
    with pytest.raises(InputError, match="braces in the name of a folder"):
        check_surroundings(Path("/a/{b}"), config, conda=False)
    monkeypatch.setattr("sys.executable", "/a:b/bin/python")
    with pytest.raises(InputError, match="cannot be on PATH"):
        check_surroundings(Path("/a"), config, conda=False)


def test_a_variable_that_overrides_the_config_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    config = read("config.yaml")
    with pytest.raises(InputError, match=r"accept: \[TORCHDYNAMO_DISABLE\]"):
        check_surroundings(Path("/a"), config, conda=False)
    config["surroundings"]["accept"] = ["TORCHDYNAMO_DISABLE"]
    check_surroundings(Path("/a"), config, conda=False)
    environment = {"PATH": "/usr/bin", "TORCHDYNAMO_DISABLE": "1"}
    set_environment(environment, config["surroundings"]["accept"])
    variables.check(environment)


def test_jobs_find_the_interpreter_that_snakemake_runs_in() -> None:
    environment = {"PATH": "/usr/bin"}
    set_environment(environment)
    assert environment["PATH"].endswith("/bin:/usr/bin")
    assert environment["SEMASK_JOB"].isdigit()


def test_a_look_at_a_row_is_one_command() -> None:
    look = {"parity": {"looks": ["chance"], "seed": 3, "size": [64, 32], "batch": 2, "steps": 1}}
    assert plan(ROWS, look).parity_records()[-1].endswith("/npu-8p/parity.json")
    made = plan(ROWS, look)
    words = made.parity_look(made.row("npu", 8))
    assert json.loads(words[1]) == {"device": "npu", "processes": 8, "threads": 1}
    assert words[2:4] == ["--looks", "chance"]
    assert words[4:-2] == ["--seed", "3", "--size", "32", "64", "--batch", "2", "--steps", "1"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_memory_of_looks_follows_the_cost_model(variant: str) -> None:
    settings = {"variant": variant, "num_classes": 150}
    counted = training_memory(settings, (512, 512), "fp32")
    parameters, per_pixel = parity_memory._SIZES[variant]
    assert parameters * BYTES_PER_PARAMETER * 1e6 == pytest.approx(counted.parameters, rel=0.1)
    assert per_pixel * 512 * 512 == pytest.approx(counted.per_image, rel=0.1)


def test_memory_of_looks_grows_with_what_one_process_computes() -> None:
    def asked(variant: str, side: int, processes: int, norm: str = "bn") -> int:
        parity = {"size": [side, side], "batch": 1}
        made = plan(ROWS, {"model": {"variant": variant, "norm": norm}, "parity": parity})
        return made.parity_memory(row("gpu", processes))

    assert asked("nano", 112, 1) == 4000
    # what was measured: 11,970 MB
    assert 12000 <= asked("small", 768, 1) <= 18000
    assert asked("small", 768, 8) - asked("small", 768, 1) == pytest.approx(7 * 11400, abs=2000)
    # of all processes' images at once
    assert asked("small", 768, 8, "syncbn") > asked("small", 768, 8) + 35000


def test_no_look_is_no_record_and_no_command() -> None:
    nothing = plan(ROWS, {"parity": {"looks": []}})
    assert nothing.parity_records() == []
    assert not [file for file in nothing.bundled() if "parity" in file]
    with pytest.raises(InputError, match=r"parity\.looks: empty"):
        nothing.parity_look(nothing.row("npu", 8))


def test_shared_chance_is_not_compiled() -> None:
    both = {"numerics": {"shared_chance": True}, "execution": {"compile": ["gpu"]}}
    with pytest.raises(InputError, match=r"shared_chance.*set it to false, or execution.compile"):
        plan(both)


def written_out(word: str) -> list[str]:
    """A word with braces as bash reads it."""
    found = re.search(r"\{([^{}]*)\}", word)
    if found is None:
        return [word]
    before, after = word[: found.start()], word[found.end() :]
    return [x for part in found[1].split(",") for x in written_out(f"{before}{part}{after}")]


@pytest.mark.parametrize("page", ["docs/npu.md", "docs/kubernetes.md"])
def test_a_guide_names_all_that_the_table_needs_of_devices(page: str) -> None:
    made = plan(read("experiments/ascend.yaml"))
    needed = {
        *made.runs("evaluate.json", "full"),
        *made.runs("train.json", "performance"),
        *made.parity_records(),
        *cross_records(made),
    }
    code = "\n".join(x.content for x in flat(read_page(page)) if x.type == "code_block")
    words = re.findall(r"results/ascend/(?!table)\S+", code)
    named = {target for word in words for target in written_out(word)}
    if page == "docs/kubernetes.md":  # of the NPUs: "likewise", and what only they have
        named |= {target.replace("gpu-", "npu-") for target in named if "/cross/" not in target}
    assert named == needed


def test_the_ports_experiment_has_the_gpus_weights_scored_by_the_npu_or_says_why_not() -> None:
    experiment = read("experiments/ascend.yaml")
    npus = [row for row in experiment["rows"] if row["device"] == "npu"]
    alone = plan(experiment, {"rows": npus})
    assert cross_records(alone) == []
    assert [line.partition(": ")[0] for line in left_out(alone)] == [
        f"weights of gpu-{n}p scored by npu-{n}p" for n in (1, 8)
    ]


def test_planning_imports_no_torch() -> None:
    """Every start of Snakemake, each job's on a cluster, would take a third longer."""
    rules = [REPOSITORY / "Snakefile", *REPOSITORY.glob("rules/*.smk")]
    imports = [
        line
        for path in rules
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("from semask")
    ]
    assert len(imports) > 10
    program = "\n".join([*imports, "import sys; sys.exit('torch' in sys.modules)"])
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, timeout=100)
    assert done.returncode == 0

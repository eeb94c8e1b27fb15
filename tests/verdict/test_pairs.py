"""Verdicts on the rows of a table, from made-up records."""

from collections.abc import Sequence
from typing import Any

import pytest

from semask.base.files import digest_of
from semask.comparison.published import read_published
from semask.devices.data_sheets import peaks_of
from semask.report.table import build_table
from semask.verdict.pairs import Judging

from ..conftest import REPOSITORY, looked_at, recipe

BATCH, SECONDS = 4, 0.4
CHANCE = {"sites": [], "faults": []}
STEPS = {"status": "passed", "rates": {}, "quantities": [{}], "medians": {"gradients": 1.0}}


def data_look(*digits: str, faults: Sequence[str] = ()) -> dict[str, Any]:
    """A look at data that found batches of these digests: of images and of labels, a digit each."""
    painted = {"samples": 16, "pixels": 100, "wrong": 0}
    batches = [{"images": 64 * images, "labels": 64 * labels} for images, labels in digits]
    return {"painted": painted, "batches": batches, "faults": [*faults]}


class Rows:
    """A GPU and an NPU row, which may be changed before they are judged."""

    def __init__(self, make: Any):
        self.make = make
        self.trained: dict[str, Any] = {}
        self.evaluated: dict[str, Any] = {}
        self.looked: dict[str, Any] = {}
        self.crossed: dict[str, Any] = {}
        self.logs: dict[str, Any] = {}
        for device in ("gpu", "npu"):
            for seed, miou in enumerate((79.0, 79.1, 79.2)):
                self.add(device, seed, miou)
            self.look(device)

    def add(self, device: str, seed: int, miou: float, seconds: float = SECONDS) -> None:
        common = {"row": {"device": device, "processes": 1, "threads": 1}, "seed": seed,
                  "recipe": recipe(global_batch=BATCH)}  # fmt: skip
        for mode in ("full", "performance"):
            name = f"{device}/{mode}/{seed}/train.json"
            made = self.made("train", mode=mode, **common)
            speed = made["figures"]["speed"]
            speed |= {"warmup_iterations": 0, "iterations_measured": 300, "fps": BATCH / seconds}
            self.trained[name] = made
            self.logs[name] = [
                {"iteration": n, "loss": 2.0, "seconds": seconds} for n in range(1, 301)
            ]
        scored = self.made("evaluate", mode="full", **common)
        for which in ("best", "last"):
            scored["figures"][which]["miou"] = miou
        self.evaluated[f"{device}/scores/{seed}"] = scored

    def look(self, device: str, **looks: Any) -> None:
        row = {"device": device, "processes": 1, "threads": 1}
        made = self.made("parity", row=row, recipe=recipe(global_batch=BATCH))
        found = {"semantics: modules": looked_at({"norm": 1.0}), "semantics: steps": STEPS,
                 "chance": CHANCE, "data": data_look("11", "22")}  # fmt: skip
        made["figures"]["looks"] = {**found, **looks}
        self.looked[f"{device}/parity"] = made

    def made(self, kind: str, **changes: Any) -> Any:
        made = self.make(kind, **changes)
        digests = {"digest": digest_of(made), "recipe_digest": digest_of(made["recipe"])}
        return {**made, "kind": kind, **digests}

    def judged(self, margin: float = 0.5) -> list[dict[str, Any]]:
        rows = [{"device": d, "processes": 1, "threads": 1} for d in ("gpu", "npu")]
        table = build_table(
            rows, self.trained | self.evaluated | self.looked | self.crossed,
            self.make("baselines"), [], self.make("facts"), (),
            Judging(self.logs.__getitem__, margin, 0.05),
        )  # fmt: skip
        found: list[dict[str, Any]] = table["verdicts"]
        return found


@pytest.fixture
def rows(make_record: Any) -> Rows:
    return Rows(make_record)


def answers(verdict: dict[str, Any]) -> dict[str, str]:
    return {of["ground"]: of["answer"] for of in verdict["grounds"]}


def test_every_ground_is_answered(rows: Rows) -> None:
    (verdict,) = rows.judged()
    assert answers(verdict) == {
        "semantics": "shown",
        "precision": "shown",
        "chance": "shown",
        "data": "shown",
        "same weights": "not run",
        "seeds": "shown",
        "speed": "shown",
    }
    assert verdict["accurate"] == "not run"
    assert verdict["sentence"] == (
        "Whether NPU-1P matches GPU-1P in accuracy was not looked at whole (not run: same "
        "weights); it is as fast"
    )
    by_name = {of["ground"]: of["from"] for of in verdict["grounds"]}
    assert by_name["semantics"] == ["npu/parity"]
    assert by_name["seeds"] == [f"{d}/scores/{n}" for d in ("npu", "gpu") for n in range(3)]
    assert by_name["speed"][0] == "npu/performance/0/train.json"


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        (("11", "32"), "images of batch 2 differ"),
        (("13", "33"), "labels of batch 1 differ"),
        (("11", "33"), "images and labels of batch 2 differ"),
    ],
)
def test_what_is_loaded_otherwise_is_named(rows: Rows, batches: Sequence[str], said: str) -> None:
    rows.look("npu", data=data_look(*batches))
    (verdict,) = rows.judged()
    assert answers(verdict)["data"] == "refuted"
    assert f"data refuted: {said}, though" in verdict["sentence"]


def test_painted_images_that_are_turned_otherwise_refute_and_alone_decide_nothing(
    rows: Rows,
) -> None:
    rows.look("npu", data=data_look("11", "22", faults=["turned otherwise"]))
    assert "data refuted: turned otherwise" in rows.judged()[0]["sentence"]
    rows.look("npu", data=data_look())  # painted images alone
    assert answers(rows.judged()[0])["data"] == "undecided"
    # nor does what another device loaded, or anything beside an original that turns them
    rows.look("npu")
    assert answers(rows.judged()[0])["data"] == "shown"
    rows.looked["npu/parity"]["device"] = {**rows.looked["npu/parity"]["device"], "cann": "8.1"}
    assert answers(rows.judged()[0])["data"] == "undecided"
    rows.look("npu")
    rows.look("gpu", data=data_look("11", "22", faults=["turned otherwise"]))
    assert answers(rows.judged()[0])["data"] == "undecided"


def test_the_configs_margin_decides(rows: Rows) -> None:
    assert answers(rows.judged(margin=0.1)[0])["seeds"] == "undecided"


def test_a_guilty_module_is_in_the_sentence(rows: Rows) -> None:
    rows.look("npu", **{"semantics: modules": looked_at({"norm": 1.0, "act": 2000.0})})
    (verdict,) = rows.judged()
    assert verdict["accurate"] == "refuted"
    begin = "NPU-1P does not match GPU-1P in accuracy (semantics refuted: modules: act (Norm, torch"
    assert verdict["sentence"].startswith(begin)


def test_in_plain_float32_a_fault_is_refuted_once(rows: Rows) -> None:
    faulty = {"status": "failed", "medians": {"gradients": 5000.0}}
    rows.look("npu", **{"semantics: steps": {**STEPS, **faulty}})
    found = answers(rows.judged()[0])
    assert [name for name, answer in found.items() if answer == "refuted"] == ["semantics"]
    assert found["precision"] == "undecided"
    assert rows.judged()[0]["accurate"] == "refuted"
    # what nobody looked at is no more known of the precision
    rows.look("npu", **{"semantics: steps": {"not_run": "no compiler"}})
    assert answers(rows.judged()[0])["precision"] == "not run"


def test_a_faulty_original_is_no_measure(rows: Rows) -> None:
    rows.look("gpu", **{"semantics: modules": looked_at({"act": 2000.0})})
    (verdict,) = rows.judged()
    assert answers(verdict)["semantics"] == "undecided"
    (why,) = [of["why"] for of in verdict["grounds"] if of["ground"] == "semantics"]
    assert why.startswith("the original does not compute what the model defines: modules: act")


def test_a_slower_port(rows: Rows) -> None:
    for seed in range(3):
        rows.add("npu", seed, 79.1, SECONDS * (1.2 + 0.001 * seed))
    (verdict,) = rows.judged()
    assert verdict["fast"] == "refuted"
    assert "it is slower (0.833 of the other row's FPS, 95 % interval" in verdict["sentence"]


def test_reduced_precision_that_nobody_looked_at_is_not_run(rows: Rows) -> None:
    for record in (*rows.trained.values(), *rows.evaluated.values(), *rows.looked.values()):
        record["recipe"] = recipe(global_batch=BATCH, precision="bf16")
    assert answers(rows.judged()[0])["precision"] == "not run"
    precision = {"precision: modules": looked_at({"norm": 3.0})}
    rows.look("npu", **precision)
    rows.looked["npu/parity"]["recipe"] = recipe(global_batch=BATCH, precision="bf16")
    assert answers(rows.judged()[0])["precision"] == "not run"  # no steps
    rows.look("npu", **precision, **{"precision: steps": STEPS})
    rows.looked["npu/parity"]["recipe"] = recipe(global_batch=BATCH, precision="bf16")
    assert answers(rows.judged()[0])["precision"] == "shown"


def test_rows_that_differ_are_not_judged(rows: Rows) -> None:
    for path, record in (rows.trained | rows.looked).items():
        if path.startswith("npu"):
            record["recipe"] = recipe(global_batch=BATCH, learning_rate=0.1)
    *alone, pair = rows.judged()
    assert pair["accurate"] is None
    said = "NPU-1P against GPU-1P is not judged: they differ in training.learning_rate"
    assert pair["sentence"] == said
    # what can be said of each by itself is said
    assert [of["sentence"] for of in alone] == [
        f"{name} computes what the model defines, as float64 on the CPU has it"
        for name in ("GPU-1P", "NPU-1P")
    ]


def test_published_figures_are_never_judged(rows: Rows, make_record: Any) -> None:
    published = read_published(REPOSITORY / "published" / "published.csv", ["ascend_port"])
    table = build_table(
        [{"device": "gpu", "processes": 1, "threads": 1}],
        rows.trained | rows.evaluated | rows.looked,
        make_record("baselines"), published, make_record("facts"), (),
        Judging(rows.logs.__getitem__, 0.5, 0.05),
    )  # fmt: skip
    said = [of["sentence"] for of in table["verdicts"]]
    assert "NPU-8P against GPU-8P is not judged: one published figure each, no spread" in said


def test_what_others_accept_by_stands_beside(rows: Rows) -> None:
    for n in range(3):
        for device, factor in (("gpu", 1.0), ("npu", 1.01)):
            lines = [
                {"iteration": i, "loss": factor * 2.0, "seconds": SECONDS} for i in range(1, 301)
            ]
            rows.logs[f"{device}/full/{n}/train.json"] = lines
    (verdict,) = rows.judged()
    field = {of["figure"]: of for of in verdict["field"]}
    assert field["loss curves"]["said"] == (
        "mean difference 1.00 % over 300 iterations, 1.000 % over the first ten"
    )
    assert field["loss curves"]["accepted"]
    assert field["operators"]["said"] == (
        "semantics: 0 of 1 modules have an output that fails in fp32; worst is norm with a mean "
        "error of 1.0e-06 (below 1.2e-04) and a largest one of 1.0e-04 (below 1.2e-03)"
    )
    assert field["operators"]["accepted"]
    # 3 * 2 * 100 GMAC of 10 images a second, of 20 TFLOP/s
    assert field["MFU"]["said"].startswith("NPU-1P 30.0 %, GPU-1P 30.0 %")
    assert field["MFU"]["accepted"]
    assert field["MFU"]["from"][-1] == "gpu/parity"


def test_the_worst_module_by_the_operator_standard_is_named(rows: Rows) -> None:
    def found() -> list[dict[str, Any]]:
        (verdict,) = rows.judged()
        return [of for of in verdict["field"] if of["figure"] == "operators"]

    look = looked_at({"norm": 1.0, "act": 1.0, "fc": 1.0, "head": 1.0})
    norm, act, fc, head = look["modules"]
    norm["operator_error"] = None  # nothing could be compared
    act["operator_error"] |= {"mean": 1e-4, "largest": 1.3e-3}
    fc["operator_error"] |= {"mean": 1.3e-4, "largest": 1e-3}
    rows.look("npu", **{"semantics: modules": look})
    (of,) = found()
    assert of["said"].startswith("semantics: 2 of 3 modules have an output that fails in fp32; ")
    assert "worst is act with a mean error of 1.0e-04 " in of["said"]
    assert of["accepted"] is False
    head["operator_error"] |= {"largest": None}  # not finite
    assert "worst is head with a mean error of 1.0e-06 " in found()[0]["said"]
    # records of before have no figures, and are no proof
    for module in look["modules"]:
        del module["operator_error"]
    assert found() == []


def utilised(rows: Rows) -> dict[str, Any]:
    (verdict,) = rows.judged()
    (found,) = [of for of in verdict["field"] if of["figure"] == "MFU"]
    return found


def test_the_peak_is_the_best_of_equal_devices(rows: Rows) -> None:
    work = rows.looked["npu/parity"]["figures"]["work"]
    disturbed = work | {"peak": work["peak"] / 5}
    rows.looked["npu/parity"]["figures"]["work"] = disturbed
    # by itself: 150 %, which nothing can reach
    assert utilised(rows)["accepted"] is None
    assert utilised(rows)["said"].startswith("NPU-1P 150.0 %, GPU-1P 30.0 % of ")
    assert "measured beside other work" in utilised(rows)["said"]

    other = rows.made("parity", row={"device": "npu", "processes": 8, "threads": 1})
    rows.looked["npu/another"] = other
    assert utilised(rows)["said"].startswith("NPU-1P 30.0 %, GPU-1P 30.0 % of ")
    assert utilised(rows)["accepted"]
    assert "npu/another" in utilised(rows)["from"]
    # another device, or another product, is no peak of this one
    device, recipe_of = other["device"], other["recipe"]
    for change in (
        {"device": device | {"name": "another NPU"}},
        {"row": other["row"] | {"threads": 7}},
        {"recipe": recipe_of | {"training": recipe_of["training"] | {"precision": "bf16"}}},
        {"recipe": recipe_of | {"numerics": recipe_of["numerics"] | {"reduced_matmul": True}}},
    ):
        rows.looked["npu/another"] = {**other, **change}
        assert utilised(rows)["accepted"] is None, change


def test_the_data_sheets_peak_stands_beside(rows: Rows) -> None:
    def found() -> list[tuple[str, bool | None]]:
        (verdict,) = rows.judged()
        return [(of["said"], of["accepted"]) for of in verdict["field"] if of["figure"] == "MFU"]

    def name(device: str, as_: str) -> None:
        for records in (rows.trained, rows.evaluated, rows.looked):
            for path, record in records.items():
                if path.startswith(device):
                    record["device"] = {**record["device"], "name": as_}

    name("gpu", "Tesla V100-SXM2-32GB")
    assert len(found()) == 1  # of the port it is not known
    name("npu", "NVIDIA A100-SXM4-80GB")
    (_, by_measured), (said, accepted) = found()
    # 6 TFLOP/s of 19.5 and of 15.7
    assert said.startswith("NPU-1P 30.8 %, GPU-1P 38.2 % of its data sheet's peak (NVIDIA A100 ")
    assert "; NVIDIA V100 Tensor Core GPU data sheet, https://" in said
    assert by_measured
    assert accepted
    # another precision, another peak: of 156, and of none, for a V100 has no TF32
    for of in (rows.looked, rows.trained, rows.evaluated):
        for record in of.values():
            numerics = record["recipe"]["numerics"]
            record["recipe"] = {**record["recipe"], "numerics": numerics | {"reduced_matmul": True}}
    said, accepted = found()[1]
    assert said.startswith("NPU-1P 3.8 % of its")
    assert accepted is False
    name("npu", "NVIDIA A100-SXM4-40GB MIG 1g.5gb")
    assert len(found()) == 1


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", {"fp32": 66.9, "reduced": 494.7, "fp16": 989.4, "bf16": 989.4}),
        ("A100-PCIE-40GB", {"fp32": 19.5, "reduced": 156, "fp16": 312, "bf16": 312}),
        ("Tesla V100-PCIE-16GB", {"fp32": 14, "fp16": 112}),
        ("Ascend910A", {"fp16": 256}),
        ("Ascend910B3", None),  # its maker's data sheets are of servers
        ("AMD EPYC", None),
    ],
)
def test_data_sheets(name: str, tflops: dict[str, float] | None) -> None:
    found = peaks_of(name)
    assert (found and found.tflops) == tflops
    assert found is None or ", https://" in found.source


def test_the_originals_weights_on_the_ports_device_complete_the_claim(rows: Rows) -> None:
    scores = rows.evaluated["gpu/scores/0"]
    made = rows.made("cross", row={"device": "npu", "processes": 1, "threads": 1})
    best = scores["figures"]["best"]
    scores["weights_digest"] = {"best": "8" * 64}
    made["weights_of"] |= {key: scores[key] for key in ("row", "seed")}
    made["weights_of"] |= {
        "weights_digest": "8" * 64, "evaluate_record_digest": scores["digest"],
    }  # fmt: skip
    made["figures"] |= {key: scores["figures"][key] for key in ("images", "labelled_pixels")}
    made["figures"]["there"] = {key: best[key] for key in ("miou", "iou")}
    made["recipe_digest"] = scores["recipe_digest"]
    rows.crossed["npu/cross/gpu/seed0.json"] = made
    (verdict,) = rows.judged()
    assert answers(verdict)["same weights"] == "shown"
    assert verdict["sentence"] == "NPU-1P is as accurate as GPU-1P, and as fast"
    # of other weights, or by another device, it shows nothing
    device = made["device"]
    for other in ({"name": "another NPU"}, {"cann": "8.1"}):
        made["device"] = {**device, **other}
        assert answers(rows.judged()[0])["same weights"] == "not run"
    made["device"] = device
    # nor does what a row of that name elsewhere computed
    rows.crossed["site/npu/cross/gpu/seed0.json"] = rows.crossed.pop("npu/cross/gpu/seed0.json")
    assert answers(rows.judged()[0])["same weights"] == "not run"
    rows.crossed["npu/cross/gpu/seed0.json"] = rows.crossed.pop("site/npu/cross/gpu/seed0.json")
    made["weights_of"] |= dict.fromkeys(("weights_digest", "evaluate_record_digest"), "7" * 64)
    assert answers(rows.judged()[0])["same weights"] == "not run"


def test_weights_scored_elsewhere_are_told_without_a_pair(rows: Rows) -> None:
    rows.crossed["cross"] = rows.made("cross", row={"device": "cpu", "processes": 2, "threads": 1})
    rows.crossed["cross"]["weights_of"]["weights_digest"] = "8" * 64
    _, told = rows.judged()
    assert told["sentence"].startswith("With the weights of CPU-1P, CPU-2P predicts the same: ")
    rows.crossed["cross"]["figures"]["flips"]["share"] = 0.5
    assert (
        "CPU-2P predicts the same with the weights of CPU-1P is refuted: "
        in (rows.judged()[1]["sentence"])
    )

"""The table and its comparisons, from made-up records."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from semask.base.errors import InputError
from semask.base.records import read_record, write_record
from semask.comparison.published import read_published, same_experiment, schedule_differences
from semask.report.cells import COLUMNS
from semask.report.markdown import first_rows, to_markdown
from semask.report.table import build_table, write_table

from ..conftest import REPOSITORY, conditions, recipe
from ..markdown_pages import flat

PUBLISHED = REPOSITORY / "published" / "published.csv"


class Records:
    """Records written to files and read again, as the table rule sees them."""

    def __init__(self, folder: Path, make_record: Any):
        self.folder, self.make = folder, make_record
        self.trained: dict[str, Any] = {}
        self.evaluated: dict[str, Any] = {}
        self.baselines = self._written("baselines", "baselines")
        self.facts = self._written("facts", "facts")

    def _written(self, name: str, kind: str, **changes: Any) -> Any:
        path = self.folder / f"{name}.json"
        write_record(path, kind, **self.make(kind, **changes))
        return read_record(path, kind)

    def add(self, device: str, processes: int, mode: str, seed: int = 0, **changes: Any) -> None:
        row = {"device": device, "processes": processes, "threads": 1}
        name = f"{device}-{processes}p-{mode}-{seed}"
        common = {"row": row, "mode": mode, "seed": seed, **changes}
        figures = common.pop("figures", {})
        self.trained[name] = self._written(
            name, "train", **common, **({"figures": figures["train"]} if figures else {})
        )
        if mode == "full":
            self.evaluated[f"{name}-e"] = self._written(
                f"{name}-e", "evaluate", **common,
                **({"figures": figures["evaluate"]} if "evaluate" in figures else {}),
            )  # fmt: skip

    def table(self, rows: list[tuple[str, int]]) -> dict[str, Any]:
        return build_table(
            [{"device": d, "processes": p, "threads": 1} for d, p in rows],
            {**self.trained, **self.evaluated},
            self.baselines,
            read_published(PUBLISHED, ["ascend_port"]),
            self.facts,
        )


@pytest.fixture
def records(tmp_path: Path, make_record: Any) -> Records:
    return Records(tmp_path, make_record)


def rows_by_name(table: dict[str, Any]) -> dict[str, Any]:
    return {row["name"]: row for row in table["rows"]}


def test_published_figures_of_the_same_experiment_stand_beside(records: Records) -> None:
    records.add("npu", 8, "full")
    records.add("npu", 8, "performance", recipe=recipe(iterations=1000))
    table = records.table([("npu", 8)])
    assert [row["name"] for row in table["rows"]] == ["NPU-8P", "GPU-1P", "GPU-8P", "NPU-1P"]
    row = table["rows"][0]
    assert row["published"]["fps"] == 62.126
    assert row["published"]["acc1"] == 79.02
    assert row["difference"]["acc1"] == pytest.approx(45.0 - 79.02)
    # the seed's FPS is compared with the figure of the seed's definition
    assert row["difference"]["fps"] == pytest.approx(9.5 / 62.126)


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {**recipe(), "dataset": "streets"}},
        {"recipe": {**recipe(), "model": {"variant": "tiny", "num_classes": 19}}},
        {"recipe": recipe(global_batch=8)},
        {"recipe": recipe(augmentation={"crop": [512, 512]})},
    ],
)
def test_another_experiment_shows_no_difference(records: Records, changes: Any) -> None:
    records.add("npu", 8, "full", **changes)
    records.add("npu", 8, "performance", **changes)
    table = records.table([("npu", 8)])
    row = table["rows"][0]
    assert row["published"] is None
    assert row["difference"] is None
    # the published row stays, on its own
    assert [r["kind"] for r in table["rows"] if r["name"] == "NPU-8P"] == ["measured", "published"]


@pytest.mark.parametrize(
    ("changed", "differing"),
    [
        ({"training": {"iterations": 40000}}, "training.iterations"),
        ({"training": {"shuffle_labels": True}}, "training.shuffle_labels"),
        ({"evaluation": {"scale": [1024, 512]}}, "evaluation.scale"),
        (
            {"evaluation": {"sliding_window": {"size": [512, 512], "stride": [256, 256]}}},
            "evaluation.sliding_window",
        ),
        ({"images": 4}, "4 images of 500"),
    ],
)
def test_accuracy_that_was_found_otherwise_shows_no_difference(
    records: Records, changed: Any, differing: str
) -> None:
    made = recipe(**changed.get("training", {}))
    made["evaluation"] = {**made["evaluation"], **changed.get("evaluation", {})}
    records.add("npu", 8, "full", recipe=made)
    for record in records.evaluated.values():
        record["figures"]["images"] = changed.get("images", 500)
    table = records.table([("npu", 8)])
    row = table["rows"][0]
    assert row["published"]["acc1"] is None
    assert row["difference"]["acc1"] is None
    assert row["published"]["differing"]["acc1"] == [differing]
    # its speed is the same experiment's all the same
    assert row["published"]["fps"] == 62.126
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    assert f"not the same: {differing}" in (folder / "t.md").read_text(encoding="utf-8")


def test_speed_with_accumulation_shows_no_ratio(records: Records) -> None:
    records.add("npu", 8, "performance", recipe=recipe(iterations=1000, accumulation=2))
    row = records.table([("npu", 8)])["rows"][0]
    assert row["published"]["fps"] is None
    assert row["difference"]["fps"] is None
    assert row["published"]["differing"]["fps"] == ["training.accumulation"]


@pytest.mark.parametrize(
    ("views", "differing"),
    [
        ({"ratios": [0.5, 0.75, 1.0, 1.25, 1.5, 1.75], "flip": True}, []),
        (
            {"ratios": [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0], "flip": True},
            ["evaluation.multi_scale"],
        ),
        ({"ratios": [0.5, 0.75, 1.0, 1.25, 1.5, 1.75], "flip": False}, ["evaluation.multi_scale"]),
    ],
)
def test_multi_scale_is_compared_with_the_same_views(
    records: Records, views: Any, differing: list[str]
) -> None:
    records.add("gpu", 8, "full", recipe=recipe(global_batch=8))
    for record in records.evaluated.values():
        record["evaluation"] = {**recipe()["evaluation"], "multi_scale": views}
        record["figures"]["best_multi_scale"] = record["figures"]["best"]
    lines = build_table(
        [{"device": "gpu", "processes": 8, "threads": 1}],
        {**records.trained, **records.evaluated},
        records.baselines,
        read_published(PUBLISHED, ["semask_repo"]),
        records.facts,
    )["rows"]
    found = lines[0]["published"]
    assert found["acc1"] == 77.13
    assert found["differing"]["multi_scale_miou"] == differing
    assert (found["multi_scale_miou"] is None) == bool(differing)


def test_torch_of_another_minor_version_is_not_compared(records: Records) -> None:
    small = recipe(global_batch=4)
    for device, torch in (("gpu", "2.13.0+cu130"), ("npu", "2.12.0")):
        records.add(device, 1, "full", recipe=small)
        records.trained[f"{device}-1p-full-0"]["device"]["torch"] = torch
    table = records.table([("gpu", 1), ("npu", 1)])
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert pair["differing"] == ["torch (2.12 and 2.13)"]
    assert pair["acc1_difference"] is None


def test_skipped_steps_and_fallbacks_are_said(records: Records) -> None:
    records.add("npu", 8, "full")
    [trained], [evaluated] = records.trained.values(), records.evaluated.values()
    trained["figures"]["precision"] = {"skipped_steps": 3, "loss_scale": 1024.0}
    trained["figures"]["cpu_fallbacks"] = ["aten::a"]
    evaluated["figures"]["cpu_fallbacks"] = ["aten::b", "aten::a"]
    table = records.table([("npu", 8)])
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    text = (folder / "t.md").read_text(encoding="utf-8")
    assert "- NPU-8P: 3 steps were skipped because fp16 gradients overflowed." in text
    assert "- NPU-8P: the NPU lacks aten::a, aten::b, which ran on the host's CPU." in text
    frame = pd.read_csv(folder / "t.csv").set_index("name")
    assert frame["skipped_steps"]["NPU-8P"] == 3
    assert frame["cpu_fallbacks"]["NPU-8P"] == 2


def test_accuracy_published_without_naming_devices_stands_beside(records: Records) -> None:
    original = recipe(global_batch=8, iterations=80000)
    records.add("gpu", 8, "full", recipe=original)
    lines = build_table(
        [{"device": "gpu", "processes": 8, "threads": 1}],
        {**records.trained, **records.evaluated},
        records.baselines,
        read_published(PUBLISHED, ["semask_repo", "ascend_port"]),
        records.facts,
    )["rows"]
    assert lines[0]["published"]["acc1"] == 77.13
    assert lines[0]["published"]["multi_scale_miou"] == 79.14
    assert lines[0]["published"]["fps"] is None
    assert lines[0]["difference"]["acc1"] == pytest.approx(45.0 - 77.13)
    assert lines[0]["difference"]["multi_scale_miou"] is None  # not measured
    # twelve rows without devices are not listed on their own, the port's four are
    assert [line["source"].split()[2].rstrip(":") for line in lines[1:]] == ["ascend_port"] * 4


def test_another_schedule_shows_no_accuracy_difference(records: Records) -> None:
    records.add("npu", 8, "full", recipe=recipe(iterations=40000))
    row = records.table([("npu", 8)])["rows"][0]
    assert row["published"]["acc1"] is None
    assert row["difference"]["acc1"] is None


def test_npu_against_gpu(records: Records, make_record: Any) -> None:
    for device, fps, miou in (("gpu", 10.0, 42.0), ("npu", 8.0, 42.5)):
        figures = {kind: make_record(kind)["figures"] for kind in ("train", "evaluate")}
        figures["train"]["speed"]["fps"] = fps
        figures["evaluate"]["best"]["miou"] = miou
        alike = {"figures": figures, "recipe": recipe(global_batch=4)}
        records.add(device, 1, "full", **alike)
        records.add(device, 1, "performance", **alike)
    table = records.table([("gpu", 1), ("npu", 1)])
    mine, *others = table["npu_over_gpu"]
    assert (mine["npu"], mine["kind"], mine["differing"]) == ("NPU-1P", "measured", [])
    assert (mine["fps_ratio"], mine["acc1_difference"]) == (0.8, 0.5)
    # of published figures the same way round: 62.126 / 63.150
    assert [round(pair["fps_ratio"], 3) for pair in others] == [0.984]
    text = to_markdown(table, records.folder)
    assert re.search(r"\| NPU-1P / GPU-1P \| 0\.800 +\| \+0\.50 ", text)


def test_records_of_other_recipes_are_not_compared(records: Records) -> None:
    records.add("gpu", 1, "full", recipe=recipe(global_batch=4))
    records.add(
        "npu", 1, "full", recipe=recipe(global_batch=4, learning_rate=0.1),
        data_fingerprint="1" * 64,
    )  # fmt: skip
    table = records.table([("gpu", 1), ("npu", 1)])
    pair = next(pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured")
    assert pair["differing"] == ["data_fingerprint", "training.learning_rate"]
    assert pair["fps_ratio"] is None
    assert pair["acc1_difference"] is None
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    markdown = (folder / "t.md").read_text(encoding="utf-8")
    assert "not compared: differ in data_fingerprint, training.learning_rate" in markdown


def test_seeds_give_mean_and_spread(records: Records, make_record: Any) -> None:
    for seed, miou in enumerate((40.0, 42.0, 47.0)):
        figures = {
            "train": make_record("train")["figures"],
            "evaluate": make_record("evaluate")["figures"],
        }
        figures["evaluate"]["best"]["miou"] = miou
        records.add("cpu", 1, "full", seed, figures=figures)
    table = records.table([("cpu", 1)])
    cell = rows_by_name(table)["CPU-1P"]["acc1"]
    assert cell["value"] == 43
    assert cell["sd"] == pytest.approx(3.6056, abs=1e-4)
    assert len(cell["from"]) == 3
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    assert "43.00 ± 3.61 (3 seeds)" in (folder / "t.md").read_text(encoding="utf-8")
    frame = pd.read_csv(folder / "t.csv")
    assert frame["acc1_seeds"][0] == 3
    assert json.loads((folder / "t.json").read_text(encoding="utf-8")) == table


def test_not_measured_is_said(records: Records) -> None:
    records.add("cpu", 1, "performance")
    row = records.table([("cpu", 1)])["rows"][0]
    assert row["acc1"] == {"value": None, "state": "not measured"}
    assert row["fps"]["state"] == "measured"


def test_multi_scale_stands_beside_the_last_miou(records: Records, make_record: Any) -> None:
    figures = {
        "train": make_record("train")["figures"],
        "evaluate": make_record("evaluate")["figures"],
    }
    figures["evaluate"]["best_multi_scale"] = {**figures["evaluate"]["best"], "miou": 46.25}
    records.add("cpu", 1, "full", figures=figures)
    records.add("cpu", 2, "full")
    table = records.table([("cpu", 1), ("cpu", 2)])
    rows = rows_by_name(table)
    cell = rows["CPU-1P"]["multi_scale_miou"]
    assert cell["value"] == 46.25
    assert cell["from"] == ["cpu-1p-full-0-e"]
    assert rows["CPU-2P"]["multi_scale_miou"] == {"value": None, "state": "not measured"}
    assert rows["NPU-8P"]["multi_scale_miou"]["state"] == "not published"
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    lines = (folder / "t.md").read_text(encoding="utf-8").splitlines()
    [header] = [number for number, line in enumerate(lines) if "| mIoU ms+flip" in line]
    names, first = (
        [cell.strip() for cell in lines[number].strip("|").split("|")]
        for number in (header, header + 2)
    )
    assert first[0] == "CPU-1P"
    assert first[names.index("mIoU ms+flip")] == "46.25"
    frame = pd.read_csv(folder / "t.csv").set_index("name")
    assert frame["multi_scale_miou"]["CPU-1P"] == 46.25
    assert frame["multi_scale_miou"].isna()["CPU-2P"]


def test_the_models_facts_stand_under_the_table(records: Records) -> None:
    records.add("cpu", 1, "performance")
    table = records.table([("cpu", 1)])
    assert table["facts"] == records.facts["figures"]
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    line = "SeMask-tiny, 19 classes: 34.24 M parameters; GMAC per image: 85.8 at 768×768."
    assert line in (folder / "t.md").read_text(encoding="utf-8").splitlines()


def test_published_rows_agree_with_the_seed() -> None:
    rows = {row["row"]: row for row in read_published(PUBLISHED, ["ascend_port"])}
    assert {name: row["fps"] for name, row in rows.items()} == {
        "GPU-1P": 9.521,
        "GPU-8P": 63.15,
        "NPU-1P": 8.153,
        "NPU-8P": 62.126,
    }
    assert rows["GPU-8P"]["acc_at_1"] == rows["NPU-8P"]["acc_at_1"] == 79.02
    assert rows["GPU-1P"]["acc_at_1"] is None
    assert {row["pytorch"] for row in rows.values()} == {"1.5"}
    assert same_experiment(rows["GPU-8P"], recipe())
    assert schedule_differences(rows["GPU-8P"], recipe()) == []
    assert not same_experiment(rows["GPU-1P"], recipe())


def test_bad_published_files(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    with pytest.raises(InputError, match=r"published\.csv"):
        read_published(path, ["ascend_port"])
    path.write_text(
        PUBLISHED.read_text(encoding="utf-8").replace(",fps,", ",speed,"), encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"published\.csv: column fps"):
        read_published(path, ["ascend_port"])
    path.write_text(PUBLISHED.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(InputError, match="nobody"):
        read_published(path, ["nobody"])


def test_accuracy_below_the_constant_prediction_is_warned_of(records: Records) -> None:
    records.add("cpu", 1, "full")
    for record in records.evaluated.values():
        record["figures"]["best"]["miou"] = 1.5
    table = records.table([("cpu", 1)])
    [said] = table["rows"][0]["warnings"]
    assert said.startswith("Acc@1 of 1.50 is below the 2.00 of the best constant prediction")
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    assert f"- **CPU-1P**: {said}." in (folder / "t.md").read_text(encoding="utf-8")
    assert pd.read_csv(folder / "t.csv")["warnings"].tolist()[0] == 1


def test_what_happened_in_a_run_is_said(records: Records) -> None:
    records.add("cpu", 1, "full")
    start = {"started": "s", "host": "h", "code_version": "1", "device": "d", "torch": "2"}
    for record in records.trained.values():
        record["figures"]["warnings"] = ["iteration 40: the loss has risen"]
        record["figures"]["tries"] = [
            {**start, "from": 0, "code_digest": "0" * 64},
            {**start, "from": 300, "code_digest": "1" * 64},
        ]
    assert records.table([("cpu", 1)])["rows"][0]["warnings"] == [
        "full run, seed 0: iteration 40: the loss has risen",
        "full run, seed 0: interrupted, and continued with other code (from 0, 300)",
    ]


def test_disturbances_are_told_beside_the_speed(records: Records, make_record: Any) -> None:
    figures = make_record("train")["figures"]
    figures["speed"]["conditions"] = [conditions(0.34)]
    records.add("cpu", 1, "performance", figures={"train": figures})
    figures["speed"]["conditions"] = [conditions(0.05)]
    records.add("cpu", 2, "performance", figures={"train": figures})
    table = records.table([("cpu", 1), ("cpu", 2)])
    text = to_markdown(table, records.folder)
    assert re.search(r"\| CPU-1P .*\| 10\.00 \(disturbed\) \|", text)
    told = "- **CPU-1P**: performance run, seed 0: other programs took 34 % of its cores' time"
    assert told in text
    assert "10.00 (disturbed)" in first_rows(table)
    assert re.search(r"\| CPU-2P .*\| 10\.00 +\|", text)
    assert rows_by_name(table)["CPU-2P"]["warnings"] == []


def test_odd_names_of_records_stay_in_one_line(records: Records) -> None:
    records.add("cpu", 1, "full")
    _, record = records.trained.popitem()
    records.trained["a `b`\nc/train.json"] = record
    table = records.table([("cpu", 1)])
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    assert "- `` a `b` c/train.json ``: a processor" in (folder / "t.md").read_text(
        encoding="utf-8"
    )


def test_variables_that_not_all_rows_had_are_told(records: Records) -> None:
    for row in (("gpu", 1), ("npu", 1)):
        for mode in ("full", "performance"):
            records.add(*row, mode)
    alike = {"OMP_PROC_BIND": "true", "CUDA_VISIBLE_DEVICES": "0"}
    for path, record in (*records.trained.items(), *records.evaluated.items()):
        # what no GPU's library reads keeps an NPU's row apart from other NPUs' rows only
        own = {"TASK_QUEUE_ENABLE": "2"} if "npu" in path else {}
        record["device"]["environment"] = alike | own
    assert not any(row["warnings"] for row in records.table([("gpu", 1), ("npu", 1)])["rows"])
    for path, record in records.trained.items():
        if "npu" in path:
            record["device"]["environment"]["ONEDNN_MAX_CPU_ISA"] = "SSE41"
    table = records.table([("gpu", 1), ("npu", 1)])
    rows = {row["name"]: row for row in table["rows"] if row["kind"] == "measured"}
    assert rows["GPU-1P"]["warnings"] == []
    said = "ONEDNN_MAX_CPU_ISA=SSE41 was set (oneDNN: changes numbers), and not in all runs"
    assert rows["NPU-1P"]["warnings"] == [f"{said} of all rows"]
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert pair["executed_differently"] == [
        "ONEDNN_MAX_CPU_ISA (SSE41 and unset)", "TASK_QUEUE_ENABLE (2 and unset)"
    ]  # fmt: skip
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    text = (folder / "t.md").read_text(encoding="utf-8")
    assert "run differently: ONEDNN_MAX_CPU_ISA (SSE41 and unset), TASK_QUEUE" in text
    assert f"- **NPU-1P**: {said}" in text


def test_what_was_observed_otherwise_is_told(records: Records) -> None:
    rows = [("gpu", 1), ("gpu", 8), ("npu", 1)]
    for row in rows:
        records.add(*row, "performance")
    for name, record in records.trained.items():
        kept = "ieee" if "npu" in name else "highest"
        record["ran"]["precision"] = {"matmul": kept, "convolution": "ieee"}
        [process] = record["ran"]["processes"]
        process["attention"] = ["npu_fusion_attention" if "npu" in name else "flash_attention"]
    table = records.table(rows)
    # exact products have two names, and each kind of device has its own operators
    assert not any(row["warnings"] for row in table["rows"])
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    both = "attention operator (npu_fusion_attention and flash_attention)"
    assert pair["executed_differently"] == [both]
    ran = records.trained["gpu-8p-performance-0"]["ran"]
    ran["processes"][0]["attention"] = ["explicit"]
    ran["precision"]["convolution"] = "tf32"
    records.trained["npu-1p-performance-0"]["ran"]["graphs"]["breaks"] = 3
    records.trained["npu-1p-performance-0"]["ran"]["precision"]["matmul"] = "hf32"
    table = records.table(rows)
    told = rows_by_name({"rows": [row for row in table["rows"] if row["kind"] == "measured"]})
    others = "and not in all runs of all GPU rows"
    assert told["GPU-1P"]["warnings"] == [
        f"attention operator: flash_attention, {others}", f"convolution precision: ieee, {others}"
    ]  # fmt: skip
    assert told["GPU-8P"]["warnings"] == [
        f"attention operator: explicit, {others}", f"convolution precision: tf32, {others}"
    ]  # fmt: skip
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert pair["executed_differently"] == [
        both, "graph breaks (3 and 0)", "matmul precision (hf32 and highest)"
    ]  # fmt: skip
    text = to_markdown(table, records.folder)
    assert f"run differently: {both}, graph breaks (3 and 0)" in text
    assert f"- **GPU-8P**: attention operator: explicit, {others}" in text
    # asked for: told as that alone
    for name, record in records.trained.items():
        record["execution"]["fused_attention"] = "8p" not in name and "npu" not in name
        record["recipe"]["numerics"]["reduced_matmul"] = "npu" in name
    table = records.table(rows)
    assert not any("attention" in said for row in table["rows"] for said in row["warnings"])
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert pair["executed_differently"] == ["fused_attention"]
    assert pair["differing"] == ["numerics.reduced_matmul"]


ODD_NAMES = (
    '<img src=x onerror="alert(1)">',
    "[click](javascript:alert(1))",
    "![](http://elsewhere/x.png)",
    "<http://elsewhere>",
    "http://elsewhere and www.elsewhere.org and a@elsewhere.org",
    "**a** __b__ *c* _d_ ~~e~~ `f` &lt; \\| | $\\frac$",
)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_texts_of_records_are_no_markdown(records: Records, name: str) -> None:
    for mode in ("full", "performance"):
        records.add("cpu", 1, mode)
    for record in records.trained.values():
        record["device"]["name"] = record["run"]["host"] = record["run"]["code_version"] = name
        record["figures"]["warnings"] = [name]
    table = records.table([("cpu", 1)])
    table["rows"] += [{**table["rows"][0], "apart": [name]}]
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    text = (folder / "t.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    kinds = [token.type for token in flat(tokens)]
    assert not {"html_block", "html_inline", "image", "s_open"} & {*kinds}
    assert kinds.count("link_open") == 1  # to the protocol
    # what a code host makes links of without being asked to
    assert not re.search(r"(?<!\\)://|www\.|\w@elsewhere", text)
    shown = [
        "".join(part.content for part in token.children or ())
        for token in tokens
        if token.type == "inline"
    ]
    assert name in shown
    assert any(line.startswith("CPU-1P: full run, seed 0: ") and name in line for line in shown)
    assert any(line.endswith(f"differs from this machine's rows in {name}.") for line in shown)


def test_every_column_is_defined(records: Records) -> None:
    records.add("npu", 8, "full")
    records.add("npu", 8, "performance", recipe=recipe(iterations=1000))
    table = records.table([("npu", 8)])
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    text = (folder / "t.md").read_text(encoding="utf-8")
    grids = [line for line in text.splitlines() if line.startswith("| NAME")]
    shown = {cell.strip() for line in grids for cell in line.strip("|").split("|")}
    assert shown == set(COLUMNS)
    protocol = (REPOSITORY / "docs/protocol.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        assert f"\n- **{column}**: " in text
        assert f"\n| {column} | " in protocol
    # a terminal's width
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= 130


def test_the_csv_is_typed(records: Records) -> None:
    records.add("npu", 8, "full")
    records.add("gpu", 1, "performance")
    table = records.table([("npu", 8), ("gpu", 1)])
    folder = records.folder
    write_table(table, folder / "t.md", folder / "t.csv", folder / "t.json")
    frame = pd.read_csv(folder / "t.csv", dtype_backend="numpy_nullable")
    whole = ["acc1_seeds", "fps_seeds", "skipped_steps", "cpu_fallbacks", "warnings"]
    real = ["acc1", "fps", "last_miou", "fps_p10", "data_wait_share", "published_fps"]
    assert [str(frame[key].dtype) for key in whole] == ["Int64"] * len(whole)
    assert {str(frame[key].dtype) for key in real} <= {"Float64", "Int64"}
    texts = ["name", "kind", "source", "acc1_state", "pytorch_version", "device"]
    assert {str(frame[key].dtype) for key in texts} == {"string"}
    row = frame.set_index("name").loc["NPU-8P"]
    assert row["acc1"] == table["rows"][0]["acc1"]["value"]

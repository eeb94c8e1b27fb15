"""Rows from another machine in the table: beside this machine's, or kept apart."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from semask.base.errors import InputError
from semask.base.records import read_record, write_record
from semask.base.row_names import row_folder
from semask.comparison.bundle import pack, unpack
from semask.comparison.imported import Imported, read_imported
from semask.comparison.published import read_published
from semask.fetching.signatures import Signer
from semask.report.table import build_table, write_table
from semask.training.log_file import read_log
from semask.verdict.pairs import Judging

from .. import conftest
from ..conftest import REPOSITORY, looked_at
from ..runs import write_cross, write_run


def recipe(**training: Any) -> dict[str, Any]:
    """Of few iterations, whose log is soon written."""
    return conftest.recipe(**{"iterations": 60, **training})


class Site:
    """A folder of results with made-up records of one row."""

    def __init__(
        self, folder: Path, make_record: Any, device: str, host: str, processes: int = 8, /,
        modes: Sequence[str] = ("full", "performance"), **changes: Any,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.row = {"device": device, "processes": processes, "threads": 1}
        for mode in modes:
            for kind in ("train", "evaluate") if mode == "full" else ("train",):
                made = {"recipe": recipe(), **changes}
                content = make_record(kind, row=self.row, mode=mode, **made)
                content["run"] = {**content["run"], "host": host}
                if "code_version" in changes:
                    content["run"]["code_version"] = content.pop("code_version")
                write_run(folder / f"{device}-{processes}p/{mode}/seed0", content, kind)

    def look(self, make_record: Any, ratio: float) -> None:
        """Adds a look at the row's device."""
        content = make_record("parity", row=self.row)
        content["figures"]["looks"] = {"semantics: modules": looked_at({"norm": ratio})}
        row = f"{self.row['device']}-{self.row['processes']}p"
        write_record(self.folder / row / "parity.json", "parity", **content)

    def score(
        self, make_record: Any, weights: "Site", confusion: Any = None, **changes: Any
    ) -> None:
        """Adds what this row's device predicted with another site's weights."""
        [there] = weights.records("evaluate").values()
        best = there["figures"]["best"]
        content = make_record("cross", row=self.row, recipe=there["recipe"])
        content["weights_of"] |= {
            **{key: there[key] for key in ("row", "seed", "device")},
            "iteration": best["iteration"],
            "weights_digest": there["weights_digest"]["best"],
            "evaluate_record_digest": there["digest"],
            **changes,
        }
        folder = self.folder / f"npu-8p/cross/gpu_site/{row_folder(weights.row)}"
        found = best["confusion"] if confusion is None else confusion
        images = there["figures"]["images"]
        write_cross(folder / "seed0.json", content, found, images=images)

    def records(self, kind: str) -> dict[str, Any]:
        found = sorted(self.folder.rglob(f"{kind}.json"))
        return {str(path): read_record(path, kind) for path in found}

    def sent_to(self, folder: Path) -> Imported:
        files = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*.*")]
        pack(folder / "sent.zip", "streets", self.folder, files)
        unpack(folder / "sent.zip", folder / "imported")
        return read_imported(folder / "imported")


def table_of(
    here: Site, make_record: Any, *imported: Imported, judging: Judging | None = None
) -> dict[str, Any]:
    for kind in ("baselines", "facts"):
        write_record(here.folder / f"{kind}.json", kind, **make_record(kind))
    return build_table(
        [here.row],
        here.records("train") | here.records("evaluate") | here.records("parity"),
        read_record(here.folder / "baselines.json", "baselines"),
        # of as few iterations as the records here
        [
            {**line, "iterations": 60}
            for line in read_published(REPOSITORY / "published/published.csv", ["ascend_port"])
        ],
        read_record(here.folder / "facts.json", "facts"),
        imported,
        judging,
    )


def test_rows_of_the_same_recipe_are_compared(tmp_path: Path, make_record: Any) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost")
    table = table_of(here, make_record, there.sent_to(tmp_path))
    npu = next(row for row in table["rows"] if row["name"] == "NPU-8P")
    assert npu["source"] == "measured on npuhost, 2026-01-02"
    assert npu["apart"] == []
    assert all("imported" in path for path in npu["fps"]["from"])
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert (pair["fps_ratio"], pair["differing"]) == (1.0, [])
    assert any("imported" in path for path in table["records"])
    # what stands beside an imported row is not repeated, as beside one of this machine
    assert npu["published"] is not None
    assert "NPU-8P" not in [row["name"] for row in table["rows"] if row["kind"] == "published"]


def test_the_table_says_who_signed(tmp_path: Path, make_record: Any) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    sent = Site(tmp_path / "npu", make_record, "npu", "npuhost").sent_to(tmp_path)
    signed = sent._replace(signer=Signer("<i>bo*b*", "SHA256:abc"))
    paths = [tmp_path / name for name in ("table.md", "table.csv", "table.json")]
    table = table_of(here, make_record, signed)
    write_table(table, *paths)
    assert "measured on npuhost, 2026-01-02, signed by \\<i\\>bo\\*b\\*" in paths[0].read_text(
        "utf-8"
    )
    told = pd.read_csv(paths[1]).set_index("name")["signed_by"].dropna()
    assert told.to_dict() == {"NPU-8P": "<i>bo*b*"}
    rows = {row["name"]: row for row in table["rows"]}
    assert rows["NPU-8P"]["signed_by"] == {"name": "<i>bo*b*", "key": "SHA256:abc"}
    assert rows["GPU-8P"]["signed_by"] is None


def test_looks_travel_and_are_compared(tmp_path: Path, make_record: Any) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost")
    here.look(make_record, 1.6)
    there.look(make_record, 4.0)
    table = table_of(here, make_record, there.sent_to(tmp_path))
    paths = [tmp_path / name for name in ("table.md", "table.csv", "table.json")]
    write_table(table, *paths)
    text = paths[0].read_text(encoding="utf-8")
    assert (
        "same reference; the NPU's ratio is at most 2.5 times the GPU's (norm: 4 and 1.6)" in text
    )
    grounds = re.findall(r"\| (\S+) +\| semantics: modules +\| (\w+)", text)
    assert grounds == [("GPU-8P", "shown"), ("NPU-8P", "shown")]
    assert "made-up images" in text


def test_what_another_machine_predicts_with_these_weights_is_judged(
    tmp_path: Path, make_record: Any
) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost")
    there.score(make_record, here)
    judging = Judging(lambda name: read_log(Path(name).parent / "log.jsonl"), 0.5, 0.05)
    table = table_of(here, make_record, there.sent_to(tmp_path), judging=judging)
    [verdict] = [of for of in table["verdicts"] if of["grounds"]]
    [ground] = [of for of in verdict["grounds"] if of["ground"] == "same weights"]
    assert ground["answer"] == "shown"
    [path] = ground["from"]
    assert path.endswith("imported/npu-8p/cross/gpu_site/gpu-8p/seed0.json")
    assert table["records"][path]["host"] == "somewhere"


# as many pixels as the weights were scored on, all of them right
OTHERS = np.diag([2] * 18 + [1])


@pytest.mark.parametrize("of", ["here", "bundle"])
@pytest.mark.parametrize(
    ("confusion", "changes", "said"),
    [
        # it speaks of these weights, and what they are said to have scored is not what they did
        (OTHERS, {}, "figures.there.miou is 100 but"),
        (None, {"iteration": 7}, "weights_of.iteration is 7 but 60"),
        (None, {"weights_digest": "5" * 64}, "weights_of.weights_digest is '555"),
        # of another evaluation of the same weights
        (OTHERS, {"evaluate_record_digest": "5" * 64}, "there.miou is 100 but"),
        # of others, which are not here
        (None, {"evaluate_record_digest": "5" * 64}, None),
        (
            OTHERS,
            {"evaluate_record_digest": "5" * 64, "weights_digest": "5" * 64},
            None,
        ),
    ],
)
def test_evaluations_from_elsewhere_say_the_same_of_the_weights(
    of: str, confusion: Any, changes: Any, said: str | None, tmp_path: Path, make_record: Any
) -> None:
    gpu = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    npu = Site(tmp_path / "npu", make_record, "npu", "npuhost", modes=["performance"])
    npu.score(make_record, gpu, confusion, **changes)
    here, imported = gpu, [npu.sent_to(tmp_path)]
    if of == "bundle":
        here = Site(
            tmp_path / "cpu", make_record, "cpu", "desk",
            weights_digest=dict.fromkeys(("best", "last"), "4" * 64),
        )  # fmt: skip
        (tmp_path / "other").mkdir()
        imported.append(gpu.sent_to(tmp_path / "other"))
    if said is None:
        assert table_of(here, make_record, *imported)["rows"]
        return
    with pytest.raises(InputError) as raised:
        table_of(here, make_record, *imported)
    [line] = str(raised.value).splitlines()
    assert line.startswith(f"{tmp_path}/imported/npu-8p/cross/gpu_site/gpu-8p/seed0.json: {said}")
    assert "gpu-8p/full/seed0/evaluate.json: one of them was changed; have both made" in line


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("npu-8p/parity.json", ("npu", 1), "is the record of another run"),
        ("npu-8p/full/seed0/parity.json", ("npu", 8), "not a file that a bundle has"),
    ],
)
def test_a_look_lies_in_the_folder_of_its_row(
    tmp_path: Path, make_record: Any, name: str, row: tuple[str, int], said: str
) -> None:
    content = make_record("parity", row={"device": row[0], "processes": row[1], "threads": 1})
    write_record(tmp_path / name, "parity", **content)
    with pytest.raises(InputError, match=said):
        pack(tmp_path / "sent.zip", "streets", tmp_path, [name])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"recipe": recipe(learning_rate=0.1)}, "training.learning_rate"),
        ({"data_fingerprint": "1" * 64}, "data_fingerprint"),
        ({"code_version": "0.0.9"}, "code (0.0.9 and 0.1.0)"),
        ({"device": {"name": "Ascend910", "torch": "2.12.0"}}, "torch (2.12 and 2.13)"),
    ],
)
def test_other_rows_are_kept_apart(
    changes: dict[str, Any], key: str, tmp_path: Path, make_record: Any
) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost", **changes)
    table = table_of(here, make_record, there.sent_to(tmp_path))
    npu = next(row for row in table["rows"] if row["name"] == "NPU-8P")
    assert npu["apart"] == [key]
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert pair["fps_ratio"] is None
    assert pair["acc1_difference"] is None
    write_table(table, tmp_path / "t.md", tmp_path / "t.csv", tmp_path / "t.json")
    first, _, apart = (tmp_path / "t.md").read_text(encoding="utf-8").partition("## Kept apart")
    assert "npuhost" not in first.partition("## NPU against GPU")[0]
    assert f"differs from this machine's rows in {key}." in apart
    frame = pd.read_csv(tmp_path / "t.csv").set_index("name")
    assert frame.loc[frame["source"].str.contains("npuhost"), "apart"].tolist() == [key]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"data_fingerprint": "1" * 64}, "data_fingerprint"),
        ({"code_version": "0.0.9"}, "code (0.0.9 and 0.1.0)"),
    ],
)
def test_evaluations_of_other_images_or_code_are_kept_apart(
    changes: dict[str, Any], key: str, tmp_path: Path, make_record: Any
) -> None:
    """Though their training was the same: its record knows the training images only."""
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost")
    path = there.folder / "npu-8p/full/seed0/evaluate.json"
    content = make_record("evaluate", row=there.row, mode="full", recipe=recipe(), **changes)
    content["run"] = {**content["run"], "host": "npuhost"}
    if "code_version" in content:
        content["run"]["code_version"] = content.pop("code_version")
    write_run(path.parent, content, "evaluate")
    table = table_of(here, make_record, there.sent_to(tmp_path))
    assert next(row for row in table["rows"] if row["name"] == "NPU-8P")["apart"] == [key]
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert (pair["fps_ratio"], pair["differing"]) == (None, [key])


def test_two_sites_of_one_host_name_and_day_are_held_to_one_code(
    tmp_path: Path, make_record: Any
) -> None:
    """As pods and laptops may be called alike."""
    here = Site(tmp_path / "cpu", make_record, "cpu", "localhost", 1)
    sent = []
    for device, version in (("gpu", "0.0.8"), ("npu", "0.0.9")):
        folder = tmp_path / device
        there = Site(folder, make_record, device, "localhost", code_version=version)
        sent.append(there.sent_to(tmp_path / f"from_{device}"))
    table = table_of(here, make_record, *sent)
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert (pair["fps_ratio"], pair["differing"]) == (None, ["code (0.0.9 and 0.0.8)"])


@pytest.mark.parametrize(
    ("recipes", "apart"),
    [
        # as many images for each device, as many passes for few devices, as many epochs
        ([{"global_batch": 32}, {"global_batch": 4}], []),
        ([{"accumulation": 1}, {"accumulation": 8}], []),
        ([{"global_batch": 32, "iterations": 94}, {"global_batch": 4, "iterations": 750}], []),
        ([{"iterations": 80}, {"iterations": 40}], ["training.iterations"]),
        ([{"learning_rate": 0.1}, {"learning_rate": 0.2}], ["training.learning_rate"]),
    ],
)
def test_what_follows_from_the_number_of_processes_keeps_no_row_apart(
    recipes: list[dict[str, Any]], apart: list[str], tmp_path: Path, make_record: Any
) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost", recipe=recipe(**recipes[0]))
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost", 1, recipe=recipe(**recipes[1]))
    table = table_of(here, make_record, there.sent_to(tmp_path))
    npu = next(r for r in table["rows"] if r["name"] == "NPU-1P" and r["kind"] == "measured")
    assert npu["apart"] == apart


def test_rows_of_a_mode_that_was_not_run_here_are_checked_all_the_same(
    tmp_path: Path, make_record: Any
) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost", modes=["full"])
    short = {"iterations": 20, "evaluate_every": None, "learning_rate": 0.1}
    there = Site(
        tmp_path / "npu", make_record, "npu", "npuhost", modes=["performance"],
        recipe=recipe(**short),
    )  # fmt: skip
    table = table_of(here, make_record, there.sent_to(tmp_path))
    npu = next(row for row in table["rows"] if row["name"] == "NPU-8P")
    assert npu["apart"] == ["training.learning_rate"]


def test_rows_that_are_both_kept_apart_are_compared_with_each_other(
    tmp_path: Path, make_record: Any
) -> None:
    here = Site(tmp_path / "cpu", make_record, "cpu", "desk")
    other = {"recipe": recipe(learning_rate=0.1)}
    sent = [
        Site(tmp_path / device, make_record, device, f"{device}host", **other).sent_to(
            tmp_path / f"from {device}"
        )
        for device in ("gpu", "npu")
    ]
    table = table_of(here, make_record, *sent)
    [pair] = [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]
    assert (pair["fps_ratio"], pair["differing"]) == (1.0, [])
    write_table(table, tmp_path / "t.md", tmp_path / "t.csv", tmp_path / "t.json")
    said = "NPU measured on npuhost, 2026-01-02, GPU measured on gpuhost, 2026-01-02"
    assert said in (tmp_path / "t.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("which", ["two bundles", "own"])
def test_one_measurement_is_no_two(which: str, tmp_path: Path, make_record: Any) -> None:
    here = Site(tmp_path / "gpu", make_record, "gpu", "gpuhost")
    there = Site(tmp_path / "npu", make_record, "npu", "npuhost") if which != "own" else here
    sent = [there.sent_to(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(InputError, match="is the same record as") as raised:
        table_of(here, make_record, *(sent if which != "own" else sent[:1]))
    assert "imports" in str(raised.value)


def test_the_table_names_the_devices(tmp_path: Path, make_record: Any) -> None:
    here = Site(tmp_path / "cpu", make_record, "cpu", "desk")
    there = Site(
        tmp_path / "npu", make_record, "npu", "npuhost",
        device={"name": "Simulated NPU", "torch": "2.13.0"},
    )  # fmt: skip
    table = table_of(here, make_record, there.sent_to(tmp_path))
    write_table(table, tmp_path / "t.md", tmp_path / "t.csv", tmp_path / "t.json")
    frame = pd.read_csv(tmp_path / "t.csv").set_index("name")
    measured = frame[frame["kind"] == "measured"]["device"]
    assert measured.to_dict() == {"CPU-8P": "a processor", "NPU-8P": "Simulated NPU"}
    assert frame[frame["kind"] == "published"]["device"].isna().all()
    [line] = [
        x
        for x in (tmp_path / "t.md").read_text(encoding="utf-8").splitlines()
        if "on npuhost, 2" in x and x.startswith("|")
    ]
    assert "Simulated NPU" in line


def test_the_same_row_of_two_machines_stands_there_twice(tmp_path: Path, make_record: Any) -> None:
    here = Site(tmp_path / "here", make_record, "cpu", "one")
    there = Site(tmp_path / "there", make_record, "cpu", "two")
    table = table_of(here, make_record, there.sent_to(tmp_path))
    measured = [row for row in table["rows"] if row["kind"] == "measured"]
    assert [row["name"] for row in measured] == ["CPU-8P", "CPU-8P"]
    assert [row["source"].split(",")[0] for row in measured] == [
        "measured here (one", "measured on two"
    ]  # fmt: skip
    assert not [pair for pair in table["npu_over_gpu"] if pair["kind"] == "measured"]


def test_a_record_that_was_edited_after_unpacking_is_noticed(
    tmp_path: Path, make_record: Any
) -> None:
    Site(tmp_path / "npu", make_record, "npu", "npuhost").sent_to(tmp_path)
    record = next((tmp_path / "imported").rglob("train.json"))
    record.write_text(
        record.read_text(encoding="utf-8").replace('"fps": 10.0', '"fps": 11.0'), encoding="utf-8"
    )
    with pytest.raises(InputError, match="changed after it was written") as raised:
        read_imported(tmp_path / "imported")
    # nothing that was measured elsewhere is made anew here
    advice = f"delete {tmp_path / 'imported'} and run snakemake again to unpack the bundle anew"
    assert str(raised.value).endswith(f"; {advice}")


def test_a_record_that_was_exchanged_after_unpacking_is_noticed(
    tmp_path: Path, make_record: Any
) -> None:
    Site(tmp_path / "npu", make_record, "npu", "npuhost").sent_to(tmp_path)
    record = tmp_path / "imported/npu-8p/performance/seed0/train.json"
    content = make_record("train", mode="performance", seed=0)
    write_record(record, "train", **content)
    with pytest.raises(InputError, match="is not the file that was unpacked"):
        read_imported(tmp_path / "imported")

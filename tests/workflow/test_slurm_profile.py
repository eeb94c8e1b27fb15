"""What the Slurm profile asks for, as Snakemake plans it; no Slurm is needed for that."""

import re
import shlex

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow

LOOKS = ("parity.json", "profile.json")
ROWS = [("cpu", 2), ("gpu", 1), ("gpu", 8), ("npu", 8), ("npu", 16)]


def test_rows_ask_for_their_devices_nodes_and_time(checkout: Checkout) -> None:
    modes = {"threads": 1, "modes": ["full", "performance"], "seeds": [0]}
    rows = [{"device": device, "processes": n, **modes} for device, n in ROWS]
    looks = {"looks": ["semantics"]}
    checkout.configure({"rows": rows, "training": {"batch": {"size": 16}}, "parity": looks})
    asked_for = [f"results/{device}-{n}p/{what}" for device, n in ROWS for what in LOOKS]
    options = ("--dry-run", "--forceall", "--profile", "profiles/slurm", "--")
    printed = checkout.snakemake(*options, "results/table.md", *asked_for)
    asked = {}
    for job in re.split(r"^\[", printed, flags=re.MULTILINE):
        rule = re.search(r"^rule (\w+):", job, re.MULTILINE)
        row = re.search(r"wildcards: device=(\w+), processes=(\d+)", job)
        resources = re.search(r"^    resources: (.*)", job, re.MULTILINE)
        if rule and row and resources:
            words = re.findall(r"(\w+)=((?:--[^,]*)|[^,]*)(?:, |$)", resources[1])
            asked[rule[1], f"{row[1]}-{row[2]}p"] = dict(words)

    def given(rule: str, row: str, *names: str) -> list[str]:
        return [asked[rule, row][name] for name in names]

    placed = ("slurm_partition", "nodes", "gres", "tasks", "cpus_per_task")
    for rule in ("train", "measure", "evaluate", "parity", "profile"):
        assert given(rule, "cpu-2p", *placed) == ["cpu", "1", "", "0", "2"]
        assert given(rule, "gpu-1p", *placed) == ["gpu", "1", "gpu:h200:1", "0", "8"]
        assert given(rule, "gpu-8p", *placed) == ["gpu", "1", "gpu:h200:8", "0", "64"]
        assert given(rule, "npu-8p", *placed) == ["npu", "1", "npu:910b:8", "1", "64"]
        assert given(rule, "npu-16p", *placed) == ["npu", "2", "npu:910b:8", "2", "64"]
        for _, row in (key for key in asked if key[0] == rule):
            options = shlex.split(asked[rule, row]["slurm_extra"])
            assert "--signal=USR1@600" in options
            # nothing runs beside a row whose speed is measured
            assert ("--exclusive" in options) == (rule == "measure")
            assert int(asked[rule, row]["runtime"]) > 10

"""The commands of docs/from_the_port.md are ones that a plan answers to."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from snakemake.cli import parse_config

from semask.config.layers import typed
from semask.workflow import released_plan
from semask.workflow.plan import Plan

from ..markdown_pages import ROOT, flat, read

PAGE = "docs/from_the_port.md"
# of these the page says what is in them, or README.md does
MINE: dict[str, dict[str, Any]] = {
    "site.yaml": {"dataset": {"root": "/data/cityscapes"}},
    "npu_site.yaml": {
        "dataset": {"root": "/data/cityscapes"},
        "rows": [
            {"device": "npu", "processes": n, "threads": 4, "modes": ["full", "performance"],
             "seeds": [0]}
            for n in (1, 8)
        ],
    },
}  # fmt: skip


def codes(kind: str) -> list[str]:
    return [token.content for token in flat(read(PAGE)) if token.type == kind]


def overlays() -> dict[str, Any]:
    """What the page says to write, by name, with README's."""
    shown = [block for block in codes("code_block") if block.startswith("# ")]
    found = {block.split("\n")[0][2:]: yaml.safe_load(block) for block in shown}
    assert found["site.yaml"] == MINE["site.yaml"]
    assert {*found} == {"site.yaml", "two_gpus.yaml"}
    return MINE | found


def plan_of(files: list[str], settings: Mapping[str, Any]) -> Plan:
    known = overlays()
    layers = [
        known[name] if name in known else yaml.safe_load((ROOT / name).read_text())
        for name in ["config.yaml", *files]
    ]
    return Plan.read([*layers, typed(settings)], ROOT)


def commands() -> Iterator[tuple[list[str], list[str], list[str]]]:
    """Files, settings and targets of each call of snakemake."""
    for block in codes("code_block"):
        for line in block.splitlines():
            if line.startswith(".venv/bin/snakemake"):
                words = shlex.split(line)
                given = {"--configfile": [], "--config": [], "--": []}  # type: dict[str, list[str]]
                option = None
                for word in words[3:]:
                    option = word if word in given else option
                    if option is not None and word != option:
                        given[option].append(word)
                yield given["--configfile"], given["--config"], given["--"]


def targets_of(plan: Plan) -> set[str]:
    released = released_plan.records(plan) if plan.config["released"] else []
    runs = plan.runs("train.json", "full", "performance") + plan.runs("evaluate.json", "full")
    folders = {str(Path(run).parent) for run in runs}
    tables = {f"{plan.results}/{name}" for name in ("table.md", "table.csv", "report.html")}
    return {*released, *runs, *folders, *tables}


def test_every_command_asks_for_what_its_plan_has() -> None:
    found = list(commands())
    assert len(found) == 5
    for files, settings, targets in found:
        plan = plan_of(files, parse_config(settings))
        assert {*targets} <= targets_of(plan)
        # the first value of a setting in braces is read as a number, not as a text
        if any("epochs" in setting for setting in settings):
            assert plan.config["training"]["epochs"] == 2
            assert plan.config["loader"]["workers"] == 8
        if "two_gpus.yaml" in files:
            assert plan.runs("train.json", "full") == [
                "results/cityscapes/tiny/gpu-2p/full/seed0/train.json"
            ]


def test_every_target_and_setting_of_the_tables_is_known() -> None:
    spans = codes("code_inline")
    plans = [
        plan_of([f"experiments/{name}.yaml", "site.yaml"], {}) for name in ("ascend", "cityscapes")
    ]
    known = set().union(*map(targets_of, plans))
    named = {span for span in spans if span.startswith("results/")}
    assert len(named) >= 9
    assert named <= known
    settings = [span for span in spans if span.startswith("--config ")]
    assert len(settings) >= 7
    for setting in settings:
        plan_of(["experiments/cityscapes.yaml"], parse_config(shlex.split(setting)[1:]))
    for span in spans:
        if re.match("(dataset|model): {", span):
            plan_of(["experiments/ascend.yaml"], {**yaml.safe_load(span), "model": {}})

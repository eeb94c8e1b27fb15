"""Whether the device computes what the model defines: `workflow_scripts.parity`, on its own."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from benchmarks.gpu.smoke import REPOSITORY
from benchmarks.gpu.ways import Keep, Left
from semask.base.signals import end_with_parent
from semask.config.layers import assemble, read_layer
from semask.parity import verdict
from semask.workflow.plan import Plan

# of each case that runs beside others; the largest takes somewhat more than these bytes
_CORES, _BYTES = 4, 10 * 2**30

# name, what differs from the embedded experiment, and the script's options
_Case = tuple[str, dict[str, Any], Sequence[str]]


def _cases(arguments: argparse.Namespace) -> list[_Case]:
    side, large, steps = ("64", "96", "1") if arguments.quick else ("128", "768", "2")
    small = ("--size", side, side, "--steps")
    bf16, fp16 = ({"training": {"precision": name}} for name in ("bf16", "fp16"))
    tf32 = {"numerics": {"reduced_matmul": True, "reduced_convolution": True}}
    fused, compiled = (
        {"execution": {name: ["cpu", "gpu"]}} for name in ("fused_attention", "compile")
    )
    # after the first two the layers are the same ones, of which "tiny" has half as many
    fewer = {"model": {"variant": "tiny"}} if arguments.variant == "small" else {}
    cases: list[_Case] = [
        ("fp32 and bf16", bf16, (*small, steps)),
        ("large, fp32", {}, ("--size", large, large, "--steps", "0", "--batch", "1",
                             "--looks", "semantics")),
        ("tf32", {**fewer, **tf32}, (*small, steps, "--looks", "precision")),
        ("compiled, tf32", {**fewer, **tf32, **compiled}, (*small, "1", "--looks", "precision")),
        ("fp16", {**fewer, **fp16}, (*small, steps, "--looks", "precision")),
        ("fused attention", {**fewer, **fused}, (*small, "0", "--looks", "semantics")),
    ]  # fmt: skip
    return [cases[0], cases[2]] if arguments.quick else cases


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Keeps what the script has found of each case, every time that it has found more.

    Cases run beside one another where there are cores: most of the time goes to the reference, on
    the CPU, in operations too small for many of them.

    Raises:
        RuntimeError: the script failed in some cases.
    """
    cases, cores = _cases(arguments), psutil.cpu_count(logical=False) or 1
    memory = psutil.virtual_memory().available
    at_once = max(1, min(len(cases), cores // _CORES, memory // _BYTES))
    arguments.threads = max(1, min(arguments.threads, cores // at_once))
    with ThreadPoolExecutor(at_once) as pool:
        failed = [why for why in pool.map(partial(_run, arguments, keep), cases) if why]
    if failed:
        raise RuntimeError("; ".join(failed))


def _run(arguments: argparse.Namespace, keep: Keep, case: _Case) -> str:
    """Runs a case, and says how it failed; nothing if it did not."""
    name, changes, options = case
    with tempfile.TemporaryDirectory(prefix="semask-parity-") as own:
        record = Path(own) / "parity.json"
        process = subprocess.Popen(
            [sys.executable, *_command(arguments, record, changes, options)],
            cwd=REPOSITORY,
            # where a device is locked: cases share one
            env={**os.environ, "TMPDIR": own},
            preexec_fn=end_with_parent,
        )
        seen = ""
        while True:
            ended = process.poll() is not None
            text = record.read_text(encoding="utf-8") if record.is_file() else ""
            if text != seen:
                keep(name, _brief(json.loads(text)["figures"]["looks"]))
                seen = text
            if ended:
                break
            time.sleep(0.5)
    return f"{name} ended with {process.returncode}" if process.returncode else ""


def _brief(found: dict[str, Any]) -> dict[str, Any]:
    """Findings with the modules of the largest ratios only: there are hundreds."""
    answers = {name: verdict.answer(finding) for name, finding in found.items()}
    for finding in found.values():
        if "modules" in finding:
            by_ratio = sorted(finding["modules"], key=verdict.ratio_of, reverse=True)
            finding["count"] = len(by_ratio)
            finding["bitwise"] = sum(bool(module["bitwise"]) for module in by_ratio)
            finding["modules"] = by_ratio[:40]
            del finding["reference"]["norms"]
            for seen in finding["whole"].values():
                del seen["gradients"]
    return {name: {**finding, "answer": answers[name]} for name, finding in found.items()}


def _command(
    arguments: argparse.Namespace, record: Path, changes: dict[str, Any], options: Sequence[str]
) -> list[str]:
    model = {"variant": arguments.variant, "drop_path": 0.3}
    config = assemble([read_layer(REPOSITORY / "config.yaml"), {"model": model}, changes])
    told = Plan(config, layers=(), weights={}).training_config()
    row = {"device": arguments.device, "processes": 1, "threads": arguments.threads}
    return [
        *("-m", "workflow_scripts.parity", *options),
        *("--config", told, "--row", json.dumps(row), "--record", str(record)),
    ]

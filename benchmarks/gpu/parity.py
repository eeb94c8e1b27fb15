"""Whether the device computes what the model defines: `workflow_scripts.parity`, on its own."""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.smoke import REPOSITORY
from benchmarks.gpu.ways import Keep, Left, NotRunError
from semask.base.signals import end_with_parent
from semask.config.layers import assemble, read_layer

_SCRIPT = "workflow_scripts/parity.py"
_READ = ("experiment", "training", "numerics", "execution", "port_faults", "performance")


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Keeps `record`, what the script has found so far, every time that it has found more.

    Raises:
        NotRunError: there is no such script.
        RuntimeError: it failed.
    """
    if not (REPOSITORY / _SCRIPT).is_file():
        raise NotRunError(f"no {_SCRIPT}")
    record = arguments.output / "first_hour-parity.json"
    record.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, *_command(arguments, record)], cwd=REPOSITORY, preexec_fn=end_with_parent
    )
    seen = ""
    while True:
        ended = process.poll() is not None
        text = record.read_text(encoding="utf-8") if record.is_file() else ""
        if text != seen:
            keep("record", json.loads(text))
            seen = text
        if ended:
            break
        time.sleep(0.5)
    if process.returncode:
        raise RuntimeError(f"{_SCRIPT} ended with {process.returncode}")


def _command(arguments: argparse.Namespace, record: Path) -> list[str]:
    config = assemble([read_layer(REPOSITORY / "config.yaml")])
    model = {key: value for key, value in config["model"].items() if key != "pretrained"}
    scoring = {key: config["evaluation"][key] for key in ("scale", "sliding_window")}
    told = {
        **{key: config[key] for key in _READ},
        "dataset": config["dataset"]["name"],
        "model": {**model, "variant": arguments.variant},
        "evaluation": scoring,
    }
    row = {"device": arguments.device, "processes": 1, "threads": arguments.threads}
    size = "64" if arguments.quick else "224"
    return [
        *("-m", "workflow_scripts.parity"),
        *("--config", json.dumps(told), "--row", json.dumps(row), "--record", str(record)),
        *("--size", size, size, "--steps", "2" if arguments.quick else "8"),
    ]

"""Score a released checkpoint: in this process, or in several started by torchrun."""

from pathlib import Path
from typing import Any

from semask.base import startup
from semask.base.schema_parts import NATURAL, SWITCH, closed
from semask.data.manifest import check_classes, read_manifest
from semask.devices.launched import is_launched
from semask.fetching.fetch import check_there
from semask.workflow import guard
from semask.workflow.json_options import MODEL, SOURCE, add_json, config_schema
from semask.workflow.launching import launch
from semask.workflow.options import new_file
from semask.workflow.usable import check_weights


def main() -> None:
    parser = guard.parser(
        __doc__, "--val-manifest", "--root", "--labels", "--record", "--nodes", "--stall-minutes"
    )
    add_json(parser, "--config", _config_schema(), help="see score_released, JSON")
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint, original names")
    add_json(parser, "--source", SOURCE, required=False, help="who published them, JSON")
    parser.add_argument(
        "--lock", type=new_file, default=Path("downloads.lock.json"), help="pinned digests, JSON"
    )
    arguments = parser.parse_args()
    config = arguments.config
    val = read_manifest(arguments.val_manifest)
    check_classes(val, config["model"]["num_classes"], arguments.val_manifest)
    if not is_launched():
        check_there(arguments.source, arguments.weights, arguments.lock, check_weights)
    launch(config["row"], arguments, asked_by="released.device")

    with startup.imports():
        from semask.evaluation.released import score_released
        from semask.evaluation.split import Split

    score_released(
        config,
        weights=arguments.weights,
        val=Split(val, arguments.val_manifest, arguments.root, arguments.labels),
        record=arguments.record,
    )


def _config_schema() -> dict[str, Any]:
    evaluation = config_schema("evaluation")
    released = config_schema("released")
    parts = {
        "experiment": {"type": "string"},
        "dataset": {"type": "string"},
        "row": {**released, "type": "object"},
        "model": MODEL,
        "numerics": config_schema("numerics"),
        "evaluation": {**evaluation, "required": ["scale", "sliding_window", "multi_scale"]},
        "workers": NATURAL,
        "forbid_fallbacks": SWITCH,
    }
    return {**closed(**parts), "$defs": released["$defs"]}


if __name__ == "__main__":
    guard.run(main)

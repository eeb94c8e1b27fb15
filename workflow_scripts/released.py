"""Score a released checkpoint: in this process, or in several started by torchrun."""

from pathlib import Path
from typing import Any

from semask.base import startup
from semask.data.manifest import check_classes, read_manifest
from semask.devices.launched import is_launched
from semask.fetching.fetch import check_there
from semask.workflow import guard
from semask.workflow.json_options import MODEL, SOURCE, config_schema, json_value
from semask.workflow.launching import launch
from semask.workflow.options import new_file, whole_number
from semask.workflow.usable import check_weights


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument(
        "--config",
        type=json_value("--config", _config_schema()),
        required=True,
        help="see score_released, JSON",
    )
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint, original names")
    parser.add_argument(
        "--source", type=json_value("--source", SOURCE), help="who published them, JSON"
    )
    parser.add_argument(
        "--lock", type=new_file, default=Path("downloads.lock.json"), help="pinned digests, JSON"
    )
    parser.add_argument("--val-manifest", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--labels", type=Path, required=True, help="converted labels")
    parser.add_argument("--record", type=new_file, required=True)
    parser.add_argument("--nodes", type=whole_number("--nodes", 1), default=1, help=guard.NODES)
    parser.add_argument("--stall-minutes", type=float, default=30, help=guard.STALL_MINUTES)
    arguments = parser.parse_args()
    config = arguments.config
    val = read_manifest(arguments.val_manifest)
    check_classes(val, config["model"]["num_classes"], arguments.val_manifest)
    row = config["row"]
    if not is_launched():
        check_there(arguments.source, arguments.weights, arguments.lock, check_weights)
    launch(
        "workflow_scripts.released",
        row["device"],
        row["processes"],
        arguments.nodes,
        shared=arguments.record.parent,
        asked_by="released.device",
        stall_minutes=arguments.stall_minutes,
    )

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
        "workers": {"type": "integer", "minimum": 0},
        "forbid_fallbacks": {"type": "boolean"},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [*parts],
        "properties": parts,
        "$defs": released["$defs"],
    }


if __name__ == "__main__":
    guard.run(main)

"""Score a released checkpoint: in this process, or in several started by torchrun."""

import json
from pathlib import Path

from semask.data.manifest import check_classes, read_manifest
from workflow_scripts import _guard
from workflow_scripts._launch import launch


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--config", type=json.loads, required=True, help="see score_released, JSON")
    parser.add_argument("--weights", type=Path, required=True, help="checkpoint, original names")
    parser.add_argument("--val-manifest", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--labels", type=Path, required=True, help="converted labels")
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--stall-minutes", type=float, default=30, help=_guard.STALL_MINUTES)
    arguments = parser.parse_args()
    config = arguments.config
    val = read_manifest(arguments.val_manifest)
    check_classes(val, config["model"]["num_classes"], arguments.val_manifest)
    row = config["row"]
    stalled = arguments.stall_minutes
    launch("workflow_scripts.released", row["device"], row["processes"], "released.device", stalled)

    from semask.released import score_released

    score_released(
        config,
        weights=arguments.weights,
        val=val,
        val_path=arguments.val_manifest,
        root=arguments.root,
        labels=arguments.labels,
        record=arguments.record,
    )


if __name__ == "__main__":
    _guard.run(main)

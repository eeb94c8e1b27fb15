"""Show whether a row's device computes what the model defines, and which module is to blame if not.

Nothing is trained and no data set is needed: weights and inputs are made from a rule.
"""

import argparse
import json
from typing import Any

from semask.base import signals, startup
from semask.base.files import write_atomically
from semask.config.recipe import execution_on, resolve
from semask.workflow import guard
from semask.workflow.json_options import MODEL, config_schema, json_value
from semask.workflow.launching import launch
from semask.workflow.options import new_file, whole_number

_PARTS = ("training", "numerics", "execution", "port_faults", "performance")
_SCORING = config_schema(
    "evaluation", leave_out=("multi_scale", "save_predictions", "agreement", "predictions")
)
_CONFIG = {
    "$defs": _SCORING["$defs"],
    "type": "object",
    "required": ["experiment", "dataset", "model", "evaluation", *_PARTS],
    "properties": {
        "experiment": {"type": "string"},
        "dataset": {"type": "string"},
        "model": MODEL,
        "evaluation": _SCORING,
        **{part: config_schema(part) for part in _PARTS},
    },
}
_ROW = {
    "type": "object",
    "required": ["device", "processes", "threads"],
    "properties": {
        "device": {"enum": ["cpu", "gpu", "npu"]},
        **{name: {"type": "integer", "minimum": 1} for name in ("processes", "threads")},
    },
}
_LOOKS = ("semantics", "precision", "chance")
# an epoch's length decides how many iterations there are, which no look needs
_IMAGES = 1000


def main() -> None:
    arguments = _parse()
    row, config = arguments.row, arguments.config
    launch(
        "workflow_scripts.parity",
        row["device"],
        row["processes"],
        arguments.nodes,
        shared=arguments.record.parent,
        asked_by=f"rows: {row['device']}-{row['processes']}p",
        stall_minutes=arguments.stall_minutes,
    )
    signals.listen()
    recipe = resolve(
        config, mode="full", processes=row["processes"], training_images=_IMAGES, pretrained=None
    )
    with startup.imports():
        from semask.devices import distributed, setup
        from semask.parity.semask_looks import look_at_row

    device = setup.set_up(row["device"], row["threads"], recipe.numerics)
    found: dict[str, Any] = {}

    def keep(name: str, finding: Any) -> None:
        found[name] = finding
        if distributed.rank() == 0:
            write_atomically(arguments.record, json.dumps(found, indent=1) + "\n")
            print(f"{name}: {json.dumps(brief(finding))}", flush=True)

    look_at_row(
        recipe,
        execution_on(row["device"], config["execution"]),
        row,
        device,
        seed=arguments.seed,
        size=tuple(arguments.size),
        batch=arguments.batch,
        count=arguments.steps,
        keep=keep,
        only=arguments.only,
    )
    distributed.tear_down()


def brief(finding: dict[str, Any]) -> dict[str, Any]:
    """What of a finding is worth a line."""
    return {k: v for k, v in finding.items() if isinstance(v, str | int | float | None)}


def _parse() -> argparse.Namespace:
    parser = guard.parser(__doc__)
    parser.add_argument("--config", type=json_value("--config", _CONFIG), required=True)
    parser.add_argument("--row", type=json_value("--row", _ROW), required=True)
    parser.add_argument("--nodes", type=whole_number("--nodes", 1), default=1, help=guard.NODES)
    parser.add_argument("--record", type=new_file, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, nargs=2, default=[112, 112])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=_LOOKS, default=_LOOKS)
    parser.add_argument("--stall-minutes", type=float, default=30, help=guard.STALL_MINUTES)
    return parser.parse_args()


if __name__ == "__main__":
    guard.run(main)

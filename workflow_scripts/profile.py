"""Say where the time of a row's training step goes, by part of the model and kind of operator."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from semask.base import signals, startup
from semask.base.provenance import describe_run, now
from semask.base.records import write_record
from semask.config.recipe import ANY_IMAGES, execution_on, resolve
from semask.workflow import guard
from semask.workflow.json_options import add_row_options
from semask.workflow.launching import launch
from semask.workflow.options import whole_number


def main() -> None:
    arguments = _parse()
    row, config = arguments.row, arguments.config
    launch(row, arguments)
    signals.listen()
    # of lines on its own beginning and end
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    started = now()
    recipe = resolve(
        config, mode="performance", processes=row["processes"], training_images=ANY_IMAGES
    )
    execution = execution_on(row["device"], config["execution"])
    with startup.imports():
        from semask.devices import description, distributed, setup
        from semask.training.profiling import profile_row

    device = setup.set_up(row["device"], row["threads"], recipe.numerics)
    first = distributed.rank() == 0
    found = profile_row(
        recipe, execution, row, device, arguments.steps, arguments.trace if first else None
    )
    distributed.check_processes(row["processes"], device)
    if first:
        write_record(
            arguments.record,
            "profile",
            experiment=config["experiment"],
            row=row,
            recipe=recipe.as_dict(),
            device=description.describe(row["device"]),
            execution=asdict(execution),
            run=describe_run("workflow_scripts.profile", started),
            figures=found,
        )
        print(f"a step takes {found['milliseconds']:.1f} ms", flush=True)
    distributed.tear_down()


def _parse() -> argparse.Namespace:
    parser = guard.parser(__doc__, "--nodes", "--record", "--stall-minutes")
    add_row_options(parser)
    parser.add_argument("--steps", type=whole_number("--steps", 1), default=10)
    parser.add_argument("--trace", type=Path, required=True, help="Chrome trace, gzipped")
    return parser.parse_args()


if __name__ == "__main__":
    guard.run(main)

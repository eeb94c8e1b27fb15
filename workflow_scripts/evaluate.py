"""Evaluate the best and the last weights of a full run and draw a few predictions."""

import argparse
from pathlib import Path

from semask.base import startup
from semask.base.records import check_weights, kept_weights, read_record
from semask.data.manifest import read_manifest
from semask.evaluation.predictions import prediction_names
from semask.workflow import guard
from semask.workflow.json_options import add_json, config_schema, scoring_schema
from semask.workflow.launching import launch
from semask.workflow.options import new_file


def main() -> None:
    arguments = _parse()
    trained = read_record(arguments.train_record, "train")
    val = read_manifest(arguments.val_manifest)
    weights = {"best": arguments.best, "last": arguments.last}
    for name, path in weights.items():
        check_weights(path, kept_weights(arguments.train_record, trained, name))
    if arguments.saved_predictions is not None:
        prediction_names(val)
    run = arguments.run
    launch({**trained["row"], "processes": run["processes"]}, arguments)

    # torch takes seconds to import: only now that the input is known to be right
    with startup.imports():
        from semask.evaluation.scoring import score_run
        from semask.evaluation.split import Split

    score_run(
        trained,
        run,
        weights=weights,
        val=Split(val, arguments.val_manifest, arguments.root, arguments.labels),
        saved=arguments.saved_predictions,
        label_maps=arguments.label_maps,
        pictures=arguments.pictures,
        record=arguments.record,
    )


def _parse() -> argparse.Namespace:
    parser = guard.parser(
        __doc__, "--val-manifest", "--root", "--labels", "--nodes", "--record", "--stall-minutes"
    )
    parser.add_argument("--train-record", type=Path, required=True)
    parser.add_argument("--best", type=Path, required=True, help="weights of the best evaluation")
    parser.add_argument("--last", type=Path, required=True, help="weights of the last iteration")
    # null for none: score the best weights this way, too
    add_json(
        parser, "--run", scoring_schema(multi_scale=config_schema("evaluation.multi_scale")),
        help="processes, workers, execution, multi_scale, predictions, forbid_fallbacks, as JSON",
    )  # fmt: skip
    parser.add_argument(
        "--saved-predictions",
        type=new_file,
        help="manifest, JSON, of the best weights' predictions, which are saved beside it in a "
        "folder of its name",
    )
    parser.add_argument(
        "--label-maps",
        type=new_file,
        help="file, zip, of the best weights' predictions, for scoring them on another device",
    )
    parser.add_argument("--pictures", type=new_file, required=True, help="the drawing, PNG")
    return parser.parse_args()


if __name__ == "__main__":
    guard.run(main)

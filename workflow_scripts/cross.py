"""Score the best weights of a full run on another row's device, beside what its own predicted."""

import argparse
from pathlib import Path

from semask.base import startup
from semask.base.errors import InputError
from semask.base.records import check_label_maps, check_weights, kept_weights, read_record
from semask.base.row_names import as_recorded
from semask.base.schema_parts import PLANTED, ROW
from semask.data.manifest import read_manifest
from semask.workflow import guard
from semask.workflow.json_options import add_json, scoring_schema
from semask.workflow.launching import launch
from semask.workflow.options import new_file


def main() -> None:
    arguments = _parse()
    of, run = arguments.evaluate_record, arguments.run
    evaluated = read_record(of, "evaluate")
    check_weights(arguments.best, kept_weights(of, evaluated, "best"))
    check_label_maps(arguments.label_maps, of, evaluated)
    val = read_manifest(arguments.val_manifest)
    if val["fingerprint"] != evaluated["data_fingerprint"]:
        raise InputError(
            f"{of}: scored on other images or labels than those of {arguments.val_manifest}; "
            "compare the data sets, and evaluate on the same"
        )
    row = as_recorded(run)
    launch(row, arguments)

    # torch takes seconds to import: only now that the input is known to be right
    with startup.imports():
        from semask.evaluation.cross import score_elsewhere
        from semask.evaluation.split import Split

    score_elsewhere(
        evaluated,
        row,
        run,
        weights=arguments.best,
        predicted=arguments.label_maps,
        val=Split(val, arguments.val_manifest, arguments.root, arguments.labels),
        pictures=arguments.pictures,
        matrices=arguments.matrices,
        record=arguments.record,
    )


def _parse() -> argparse.Namespace:
    parser = guard.parser(
        __doc__, "--val-manifest", "--root", "--labels", "--nodes", "--record", "--stall-minutes"
    )
    parser.add_argument(
        "--evaluate-record", type=Path, required=True, help="of the run whose weights they are"
    )
    parser.add_argument("--best", type=Path, required=True, help="its best weights")
    parser.add_argument(
        "--label-maps", type=Path, required=True, help="what its own device predicted, zip"
    )
    add_json(
        parser, "--run", scoring_schema(PLANTED, **ROW),
        help="the row that scores: device, processes, threads, workers, execution, predictions, "
        "forbid_fallbacks, as JSON",
    )  # fmt: skip
    parser.add_argument("--pictures", type=new_file, required=True, help="where labels flip, PNG")
    parser.add_argument(
        "--matrices", type=new_file, required=True, help="each image's confusion matrices, .npz"
    )
    return parser.parse_args()


if __name__ == "__main__":
    guard.run(main)

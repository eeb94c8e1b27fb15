"""Score the saved predictions with cityscapesscripts and compare with the evaluation's record."""

from pathlib import Path

from semask.base import provenance
from semask.base.records import read_record, write_record
from semask.data.manifest import read_manifest
from semask.evaluation.agreement import cityscapes_iou, compare, label_id_files
from semask.evaluation.predictions import read_predictions
from semask.workflow import guard

_SAME = ("experiment", "row", "mode", "seed", "recipe", "data_fingerprint", "weights_digest",
         "device")  # fmt: skip


def main() -> None:
    parser = guard.parser(__doc__, "--val-manifest", "--root", "--labels", "--record")
    parser.add_argument("--evaluate-record", type=Path, required=True)
    parser.add_argument("--saved-predictions", type=Path, required=True, help="their manifest")
    arguments = parser.parse_args()
    started = provenance.now()
    evaluated = read_record(arguments.evaluate_record, "evaluate")
    saved = read_predictions(arguments.saved_predictions, evaluated)
    truths = label_id_files(read_manifest(arguments.val_manifest), arguments.root, arguments.labels)
    write_record(
        arguments.record,
        "agreement",
        **{key: evaluated[key] for key in _SAME},
        run=provenance.describe_run("workflow_scripts.agreement", started),
        figures={
            "compared": {
                figure: compare(
                    evaluated["figures"][figure]["iou"],
                    cityscapes_iou(truths, files[0].parent),
                    arguments.evaluate_record,
                )
                for figure, files in saved.items()
            },
            "images": len(truths),
            "evaluate_record_digest": evaluated["digest"],
        },
    )


if __name__ == "__main__":
    guard.run(main)

"""Evaluate the best and the last weights of a full run and draw a few predictions."""

from pathlib import Path

from semask.data.manifest import read_manifest
from semask.records import read_record
from semask.scoring import score_run
from workflow_scripts import _guard


def main() -> None:
    parser = _guard.parser(__doc__)
    parser.add_argument("--train-record", type=Path, required=True)
    parser.add_argument("--best", type=Path, required=True, help="weights of the best evaluation")
    parser.add_argument("--last", type=Path, required=True, help="weights of the last iteration")
    parser.add_argument("--val-manifest", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--labels", type=Path, required=True, help="converted labels")
    parser.add_argument("--workers", type=int, required=True, help="data loading processes")
    parser.add_argument("--predictions", type=int, required=True, help="images to draw")
    parser.add_argument("--pictures", type=Path, required=True, help="the drawing, PNG")
    parser.add_argument("--record", type=Path, required=True)
    arguments = parser.parse_args()
    score_run(
        read_record(arguments.train_record, "train"),
        weights={"best": arguments.best, "last": arguments.last},
        val=read_manifest(arguments.val_manifest),
        root=arguments.root,
        labels=arguments.labels,
        workers=arguments.workers,
        predictions=arguments.predictions,
        pictures=arguments.pictures,
        record=arguments.record,
    )


if __name__ == "__main__":
    _guard.run(main)

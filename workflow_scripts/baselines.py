"""Score what needs no model: the best constant prediction and classifiers by colour."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semask.base import provenance, startup
from semask.base.errors import InputError
from semask.base.records import write_record
from semask.data.classes import IGNORE
from semask.data.manifest import check_classes, read_manifest
from semask.data.reading import check_manifest_size, read_image, read_label
from semask.workflow import guard
from semask.workflow.options import whole_number

with startup.imports():
    from semask.evaluation.baselines import constant_prediction, nearest_colour

# images that the classifiers by colour see of a large split, evenly spread
_MOST_IMAGES = 300


def main() -> None:
    parser = guard.parser(
        __doc__, "--train-manifest", "--val-manifest", "--root", "--labels", "--record"
    )
    parser.add_argument("--experiment", required=True)
    parser.add_argument("--num-classes", type=whole_number("--num-classes", 1), required=True)
    arguments = parser.parse_args()
    started = provenance.now()
    train = read_manifest(arguments.train_manifest)
    val = read_manifest(arguments.val_manifest)
    for manifest, path in ((train, arguments.train_manifest), (val, arguments.val_manifest)):
        check_classes(manifest, arguments.num_classes, path)
    best_class, constant = constant_prediction(val["pixels"][:-1])
    colour = nearest_colour(
        _samples(train, arguments.root, arguments.labels, arguments.num_classes),
        _samples(val, arguments.root, arguments.labels, arguments.num_classes),
        num_classes=arguments.num_classes,
    )
    write_record(
        arguments.record,
        "baselines",
        experiment=arguments.experiment,
        data_fingerprint=val["fingerprint"],
        run=provenance.describe_run("workflow_scripts.baselines", started),
        figures={
            "constant": {"miou": constant, "class": best_class},
            "nearest_colour": {
                "miou": colour.best.miou,
                "nearest_mean_miou": colour.class_means.miou,
                "vote_miou": colour.votes.miou,
                "bits": colour.bits,
                "images": min(_MOST_IMAGES, len(train["files"])),
            },
        },
    )


def _samples(
    manifest: Mapping[str, Any], root: Path, labels: Path, num_classes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image RGB and label of images spread evenly over a split."""
    files = manifest["files"]
    for index in np.linspace(0, len(files) - 1, min(_MOST_IMAGES, len(files))).astype(int):
        file = files[index]
        image_path, label_path = root / file["image"], labels / file["label"]
        image, label = read_image(image_path), read_label(label_path)
        check_manifest_size(image, file, image_path)
        check_manifest_size(label, file, label_path)
        stray = label[(label >= num_classes) & (label != IGNORE)]
        if stray.size:
            raise InputError(
                f"{label_path}: value {stray[0]} is neither below {num_classes} nor {IGNORE}; "
                "run snakemake with --forcerun labels"
            )
        yield image[:, :, ::-1], label


if __name__ == "__main__":
    guard.run(main)

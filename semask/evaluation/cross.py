"""The same weights on two devices: what one predicted, beside what another one predicts.

The recipe is that of the weights' run; the device, its processes and how it is run are another
row's. Both predictions of every image are compared pixel by pixel.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from semask.base import provenance
from semask.base.errors import InputError
from semask.base.files import sha256
from semask.base.records import write_record
from semask.base.row_names import row_folder
from semask.config.recipe import Numerics, execution_on
from semask.data import sets
from semask.data.label_maps import label_maps
from semask.data.reading import read_image, read_label
from semask.devices import description, distributed, processes, setup
from semask.evaluation import paired
from semask.evaluation.drawing import flip_sheet
from semask.evaluation.scoring import load_kept, suited
from semask.evaluation.split import Pass, Split, score_passes


class _Flips(NamedTuple):
    """An image: pixels that flip, its number, and what is predicted here."""

    pixels: int
    number: int
    here: np.ndarray  # uint8 (h, w)


class _Found:
    """What a process found of its images."""

    def __init__(self, num_classes: int):
        self.matrices: list[paired.Matrices] = []
        self.flips = np.zeros(num_classes, np.int64)  # by class of the label
        self.most: list[_Flips] = []


def score_elsewhere(
    evaluated: Mapping[str, Any],
    row: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    weights: Path,
    predicted: Path,
    val: Split,
    pictures: Path,
    matrices: Path,
    record: Path,
) -> None:
    """Score the best weights of a run on another row's device, beside what its own predicted.

    With several processes every one of them calls this: each scores its share of the images, the
    first one writes.

    `evaluated` is the record of the run's evaluation, and `val` the split of the images that it
    speaks of; `weights` and `predicted` are its best weights and its label maps, checked by their
    digests. `row` scores; `run` has workers of each process, which load; execution of the config;
    predictions: how many images are drawn; forbid_fallbacks: an operator that the NPU lacks is an
    error. The images with the most flips are drawn to `pictures`, a PNG; the confusion matrices of
    each image go to `matrices`, an .npz.

    Raises:
        InputError: the labels are not those that the manifest counts; the label maps are damaged,
            or not of these images.
    """
    started = provenance.now()
    recipe, manifest = evaluated["recipe"], val.manifest
    num_classes, images = recipe["model"]["num_classes"], len(manifest["files"])
    there_of = label_maps(predicted, images)
    numerics = Numerics(**recipe["numerics"])
    device = processes.meet(row, numerics, run["forbid_fallbacks"])
    execution = suited(execution_on(row["device"], run["execution"]), manifest)
    pictured = run["predictions"]
    own, gathered = _Found(num_classes), list[_Found]()

    def compare(number: int, prediction: torch.Tensor, label: torch.Tensor) -> None:
        here, labels, there = prediction.cpu().numpy(), label.numpy(), there_of(number)
        if there.shape != labels.shape:
            had, has = (f"{of.shape[1]}x{of.shape[0]}" for of in (there, labels))
            raise InputError(
                f"{predicted}: the label map of {manifest['files'][number]['image']} is {had}, its "
                f"label {has}; evaluate anew where it was made"
            )
        flipped = paired.flipped(there, here, labels)
        own.matrices.append(paired.matrices_of(number, there, here, labels, num_classes))
        own.flips += np.bincount(labels[flipped], minlength=num_classes)
        own.most = _most([*own.most, _Flips(int(flipped.sum()), number, here)], pictured)

    def passes() -> Iterator[Pass]:
        yield Pass("best", load_kept(recipe, row, weights, execution, device), keep=compare)
        # all images are scored, and the processes still together
        gathered.extend(distributed.gather_objects(own))

    scored = score_passes(passes(), val, recipe, device, run, execution.fused_attention)
    if scored is None:
        return
    found = paired.joined([each for of in gathered for each in of.matrices])
    was = evaluated["figures"]["best"]["confusion"]
    if paired.total(found, "there", num_classes).tolist() != was:
        raise InputError(
            f"{predicted}: scores otherwise than its record says, so the labels here are others, "
            "or it was made by other code; evaluate anew where it was made"
        )
    found.save(matrices)
    drawn = []
    for _, number, here in _most([each for of in gathered for each in of.most], pictured):
        file = manifest["files"][number]
        image, label = read_image(val.root / file["image"]), read_label(val.labels / file["label"])
        drawn.append((image[:, :, ::-1], label, there_of(number), here))
    names = row_folder(evaluated["row"]), row_folder(row)
    flip_sheet(drawn, pictures, names, sets.load(recipe["dataset"]))
    labelled = np.array(manifest["pixels"][:num_classes])
    flips = sum((of.flips for of in gathered), np.zeros(num_classes, np.int64))
    write_record(
        record,
        "cross",
        experiment=evaluated["experiment"],
        row=dict(row),
        weights_of={
            **{key: evaluated[key] for key in ("row", "seed", "device")},
            "iteration": evaluated["figures"]["best"]["iteration"],
            "weights_digest": evaluated["weights_digest"]["best"],
            "evaluate_record_digest": evaluated["digest"],
            "code_digest": evaluated["run"].get("code_digest"),
        },
        recipe=recipe,
        data_fingerprint=manifest["fingerprint"],
        device=description.describe(row["device"]),
        execution=asdict(execution),
        ran={
            "processes": processes.seen(),
            "precision": setup.precision_kept(numerics, row["device"]),
        },
        run=provenance.describe_run("workflow_scripts.cross", started),
        figures={
            "images": images,
            "labelled_pixels": int(labelled.sum()),
            "flips": {
                "pixels": int(flips.sum()),
                "share": float(flips.sum() / labelled.sum()),
                "of_class": flips.tolist(),
                "share_of_class": [
                    float(n / of) if of else None for n, of in zip(flips, labelled, strict=True)
                ],
            },
            **paired.differences(found, images, num_classes),
            "bootstrap": {
                "resamples": paired.RESAMPLES,
                "seed": paired.SEED,
                "level": paired.LEVEL,
            },
            "matrices_digest": sha256(matrices),
            "cpu_fallbacks": scored.fallbacks,
        },
    )


def _most(found: Sequence[_Flips], count: int) -> list[_Flips]:
    """The images with the most flips, of equal ones the first."""
    return heapq.nsmallest(count, found, key=lambda of: (-of.pixels, of.number))

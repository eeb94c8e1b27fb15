"""Weights that another row's device scored: figures computed again from the images' matrices."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from semask.base.errors import InputError
from semask.base.files import sha256
from semask.comparison.recomputed import REMEDY, Record, check_processes, compare
from semask.evaluation import paired

_OF_IMAGES = ("data_fingerprint", "recipe_digest")
_OF_ROUNDING = 0.05  # points of mIoU: more than any honest rounding made, see docs/verdict.md
_NOT_BOTH = "have both made anew, or take the bundle with the wrong one out of imports"
_LARGEST = 2**26  # bytes, unpacked: several times those of 2,000 images of 150 classes


class Files(NamedTuple):
    """What scoring weights on another device leaves."""

    record: Path
    matrices: Path  # confusion matrices of each image
    pictures: Path  # where labels flip


def files_of(record: str | Path) -> Files:
    """The files of a record of kind cross, by its own name."""
    return Files(Path(record), *(Path(record).with_suffix(suffix) for suffix in (".npz", ".png")))


def check_cross(
    name: str | Path, record: Record, matrices: Path, evaluated: Iterable[Record] = ()
) -> None:
    """Check what is said of weights on another device by the confusion matrices of each image.

    How many pixels flip follows from no matrix; there is a least number, below which a matrix could
    not turn into the other one. `record` is of kind cross, `matrices` the file, `evaluated` are
    records of evaluations, perhaps that of the weights among them.

    Raises:
        InputError: the file is missing or garbled, or a figure does not follow from it.
    """
    check_processes(name, record)
    figures, classes = record["figures"], record["recipe"]["model"]["num_classes"]
    images, source = figures["images"], matrices.name
    found = _read(name, matrices, images, classes)
    compare(name, "figures.matrices_digest", figures["matrices_digest"], sha256(matrices), source)
    there, here = (paired.total(found, which, classes) for which in ("there", "here"))
    labelled = there.sum(axis=1)
    if not (labelled == here.sum(axis=1)).all():
        raise InputError(f"{matrices}: counts other labels there than here; {REMEDY}")
    compare(name, "figures", figures, {"labelled_pixels": int(labelled.sum())}, source)
    drawn = {"resamples": paired.RESAMPLES, "seed": paired.SEED, "level": paired.LEVEL}
    compare(name, "figures.bootstrap", figures["bootstrap"], drawn, "definition")
    compare(name, "figures", figures, paired.differences(found, images, classes), source)
    flips = figures["flips"]
    by_class = np.array(flips["of_class"])
    shares = [float(n / of) if of else None for n, of in zip(by_class, labelled, strict=False)]
    total = int(by_class.sum())
    told = {"pixels": total, "share": total / labelled.sum(), "share_of_class": shares}
    compare(name, "figures.flips", flips, told, "list of classes")
    least = np.zeros(classes, np.int64)
    np.add.at(least, found.cell // classes, np.abs(found.there - found.here))
    if not (len(by_class) == classes and ((least + 1) // 2 <= by_class).all()) or (
        (by_class > labelled).any()
    ):
        raise InputError(
            f"{name}: figures.flips.of_class cannot be, by the matrices in {source}: one of them "
            f"was changed; {REMEDY}"
        )
    for other in evaluated:
        if other["digest"] == record["weights_of"]["evaluate_record_digest"]:
            scored = {"confusion": there.tolist()}
            compare(name, "there", other["figures"]["best"], scored, source)


def check_scored(crossed: Mapping[str, Record], evaluated: Mapping[str, Record]) -> None:
    """Check what is said of weights on another device by their evaluations, wherever both are from.

    Records are by path, of kind cross and evaluate. With the evaluation that is named all is to
    agree; with another one of these weights, on the same images by the same recipe, the mIoU, but
    for rounding.

    Raises:
        InputError: they do not agree.
    """
    for name, record in crossed.items():
        of, there = record["weights_of"], record["figures"]["there"]
        for path, other in evaluated.items():
            scored, source = other["figures"]["best"], f"evaluation, {path}"
            if other["digest"] == of["evaluate_record_digest"]:
                found = {
                    "weights_of": {
                        **{key: other[key] for key in ("row", "seed", "device")},
                        "iteration": scored["iteration"],
                        "weights_digest": other["weights_digest"].get("best"),
                    },
                    **{key: other[key] for key in _OF_IMAGES},
                    "figures": {
                        **{key: other["figures"][key] for key in ("images", "labelled_pixels")},
                        "there": {key: scored[key] for key in ("miou", "iou")},
                    },
                }
                for key, value in found.items():
                    compare(name, key, record[key], value, source, _NOT_BOTH)
            elif (
                other["weights_digest"].get("best") == of["weights_digest"]
                and all(other[key] == record[key] for key in _OF_IMAGES)
                and abs(scored["miou"] - there["miou"]) > _OF_ROUNDING
            ):
                compare(name, "there.miou", there["miou"], scored["miou"], source, _NOT_BOTH)


def _read(name: str | Path, path: Path, images: int, classes: int) -> paired.Matrices:
    if not path.is_file():
        raise InputError(f"{path}: no such file, so {name} cannot be looked at; {REMEDY}")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise ValueError("larger than any")
        found = paired.load_matrices(path)
        sound = all(of.ndim == 1 and len(of) == len(found.image) > 0 for of in found)
        sound = sound and all((of >= 0).all() for of in found)
        if not (sound and (found.image < images).all() and (found.cell < classes**2).all()):
            raise ValueError("not of its images and classes")
    # whatever a garbled file makes the libraries stumble over
    except Exception as fault:
        said = " ".join(str(fault).split()).replace(";", ",")[:200]
        raise InputError(f"{path}: holds no confusion matrices ({said}); {REMEDY}") from None
    return found

"""Agreement with cityscapesscripts: its own evaluation over the predictions that were saved."""

import contextlib
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.data.classes import CITYSCAPES_CLASSES

TOLERANCE = 1e-6
"""Largest difference of an IoU, as a fraction."""

_IMAGE = "_leftImg8bit"
_LABEL_IDS = "_gtFine_labelIds.png"


def label_id_files(manifest: Mapping[str, Any], root: Path, labels: Path) -> list[Path]:
    """Ground truth of each image as label ids: the converted file, or the data set's own.

    Raises:
        InputError: an image has neither; one line each.
    """
    found, problems = [], []
    for file in manifest["files"]:
        image = Path(file["image"])
        stem = image.stem.removesuffix(_IMAGE)
        # Where an annotation has polygons, the labels are made from them and lie with the others.
        converted = labels / Path(file["label"]).parent / f"{stem}{_LABEL_IDS}"
        own = root / "gtFine" / Path(*image.parts[1:-1]) / f"{stem}{_LABEL_IDS}"
        places = (converted, own, own.with_suffix(".PNG"))
        present = next((path for path in places if path.is_file()), None)
        if present is None:
            problems.append(f"{own}: no such file, nor {converted}; convert the labels again")
        else:
            found.append(present)
    if problems:
        raise InputError("\n".join(problems))
    return found


def cityscapes_iou(truths: Sequence[Path], folder: Path) -> dict[str, float | None]:
    """IoU per class by cityscapesscripts' evalPixelLevelSemanticLabeling.

    The truths are label-id images, `<city>_<sequence>_<frame>_gtFine_labelIds.png`; the folder has
    one prediction, `<city>_<sequence>_<frame>*.png`, for each. The IoU are fractions by class name,
    None where a class is neither labelled nor predicted.

    Raises:
        InputError: cityscapesscripts is not installed, or refuses the files.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), _without_settings():
            from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling

            official = evalPixelLevelSemanticLabeling
            settings = official.args  # which its command line takes from the environment
            settings.predictionPath, settings.predictionWalk = str(folder), None
            settings.evalInstLevelScore = settings.JSONOutput = False
            settings.quiet = True
            predictions = [official.getPrediction(settings, str(path)) for path in truths]
            found = official.evaluateImgLists(predictions, [str(p) for p in truths], settings)
    except ImportError as fault:
        raise InputError(
            f"evaluation.agreement: cityscapesscripts cannot be imported ({fault}); install the "
            "extra: pip install 'semask-bench[cityscapes]', or set the key to false"
        ) from fault
    # what it does wherever it refuses something
    except SystemExit:
        reason = " ".join(printed.getvalue().split()).removeprefix("ERROR: ")
        raise InputError(f"{folder}: cityscapesscripts refuses it: {reason}") from None
    scores = {name: found["classScores"][name] for name in CITYSCAPES_CLASSES}
    return {name: None if math.isnan(iou) else float(iou) for name, iou in scores.items()}


@contextlib.contextmanager
def _without_settings() -> Iterator[None]:
    """Without the variables that cityscapesscripts reads when it is imported."""
    taken = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("CITYSCAPES_")}
    try:
        yield
    finally:
        os.environ.update(taken)


def compare(
    mine: Sequence[float | None], official: Mapping[str, float | None], path: Path
) -> dict[str, Any]:
    """Both IoU of every class, side by side: of a record, at `path`, in percent, and official.

    Gives classes (by name: semask_bench and cityscapesscripts, fractions or None) and
    largest_difference.

    Raises:
        InputError: a class differs by more than TOLERANCE; all such are named.
    """
    classes, differing, largest = {}, [], 0.0
    for name, percent in zip(CITYSCAPES_CLASSES, mine, strict=False):
        iou, other = None if percent is None else percent / 100, official[name]
        classes[name] = {"semask_bench": iou, "cityscapesscripts": other}
        agree = iou is other
        if iou is not None and other is not None:
            largest = max(largest, abs(iou - other))
            agree = abs(iou - other) <= TOLERANCE
        if not agree:
            differing.append(f"{name} ({iou} here, {other} there)")
    if differing:
        raise InputError(
            f"{path}: IoU differs from cityscapesscripts' for {', '.join(differing)}; check the "
            "labels and label ids of these classes, then evaluate again"
        )
    return {"classes": classes, "largest_difference": largest}

"""Predictions for the images of a folder, without labels: what a model sees in them."""

import sys
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from semask.base.errors import InputError, faults
from semask.base.files import atomically, digest_of
from semask.config.recipe import EvaluationRecipe
from semask.data.folders import FolderSet, Picture, images_in, pictures
from semask.data.inputs import network_input
from semask.data.reading import read_image
from semask.data.sets import DataSet
from semask.devices import computing
from semask.evaluation.drawing import overlay, prediction_sheet, spread
from semask.evaluation.prediction import predict
from semask.evaluation.predictions import label_ids_of
from semask.model import SeMaskFPN

SHEET: Final = "contact_sheet.png"
_LABELS, _OVERLAYS = "labels", "overlays"
_KEY: Final = "semask-bench"  # of the text in a label that says what it was made of
_SECONDS: Final = 30  # between two lines of progress
_QUALITY: Final = 90  # of overlays, which are for the eye


class Done(NamedTuple):
    """How many images a call predicted, and how many an earlier one had."""

    predicted: int
    kept: int


@torch.inference_mode()
def predict_folder(
    model: SeMaskFPN,
    images: Path,
    output: Path,
    dataset: DataSet,
    evaluation: EvaluationRecipe,
    device: torch.device,
    *,
    precision: str,
    made_of: Mapping[str, Any],
    workers: int,
    sheet_rows: int,
) -> Done:
    """Predict every image of a folder and of those within it.

    For the image `a/b.jpg` are written `labels/a/b.png`, an indexed PNG of the data set's label ids
    with its colours, of the image's size, and `overlays/a/b.jpg`, the colours over the image; at
    the end `contact_sheet.png` with some of them. What an earlier call made of the same image in
    the same way is kept.

    The model is in evaluation mode, on the device, and was trained on the data set; `evaluation` is
    how images are shown to it, precision fp32, bf16 or fp16. Labels that were made of anything else
    than `made_of`, JSON-like, are made anew. So many workers read images (0: this process). The
    sheet has so many rows, spread evenly over the folder; 0 for no sheet.

    Raises:
        InputError: there are no images, `output` lies within their folder, or has files of these
            names that were not made here; or some images could not be predicted: the others were.
    """
    if output.resolve().is_relative_to(images.resolve()):
        raise InputError(f"{output}: lies within {images}; choose a folder outside of it")
    for kind in (_LABELS, _OVERLAYS):
        if images.resolve().is_relative_to((output / kind).resolve()):
            raise InputError(f"{output}: its {kind} would lie within {images}; choose another one")
    if (output / SHEET).exists() and not (output / _LABELS).exists():
        raise InputError(_foreign(output / SHEET))
    names = images_in(images)
    label_ids = label_ids_of(dataset.__name__.rpartition(".")[2])
    colours = np.zeros((256, 3), np.uint8)
    colours[dataset.LABEL_IDS] = dataset.PALETTE
    digest = digest_of(made_of)
    samples = FolderSet(images, names, evaluation.scale, partial(_is_done, output, digest))
    pin_memory = computing.wants_pinned_memory(device)
    good: list[str] = []
    problems: list[str] = []
    kept = 0
    all_pictures = pictures(samples, workers=workers, pin_memory=pin_memory)
    with closing(_told(all_pictures, len(names))) as told:
        for picture in told:
            if picture.fault is not None:
                problems.append(picture.fault)
                continue
            if picture.is_done:
                kept += 1
            else:
                height, width, _ = picture.image.shape
                with computing.autocast(device, precision):
                    shown = network_input(picture.shown.to(device, non_blocking=True)[None])
                    window = evaluation.sliding_window
                    predicted = predict(model, shown, (height, width), window)[0]
                train_ids, rgb = predicted.cpu().numpy(), picture.image.numpy()[:, :, ::-1]
                drawn = Image.fromarray(overlay(rgb, train_ids, dataset.PALETTE))
                _save(drawn, _overlay(output, picture.name), quality=_QUALITY, comment=_KEY)
                label = Image.fromarray(label_ids[train_ids])
                label.putpalette(colours.tobytes())
                text = PngInfo()
                text.add_text(_KEY, digest_of([digest, picture.sha256]))
                # last, for it tells that nothing is left to be done
                _save(label, _label(output, picture.name), pnginfo=text)
            good.append(picture.name)
    if sheet_rows and good:
        _draw_sheet(images, output, good, sheet_rows, dataset)
    if problems:
        raise faults(problems)
    return Done(len(good) - kept, kept)


def _told(found: Iterable[Picture], total: int) -> Generator[Picture, None, None]:
    """The same, and tells how many are done: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        yield from tqdm(found, total=total, unit="image")
        return
    told = time.monotonic()
    for done, picture in enumerate(found, 1):
        yield picture
        if time.monotonic() > told + _SECONDS:
            told = time.monotonic()
            print(f"{done} of {total} images", flush=True)


def _label(output: Path, name: str) -> Path:
    return output / _LABELS / Path(name).with_suffix(".png")


def _overlay(output: Path, name: str) -> Path:
    return output / _OVERLAYS / Path(name).with_suffix(".jpg")


def _is_done(output: Path, digest: str, name: str, image: str) -> bool:
    """Whether an earlier call made the label of an image.

    Raises:
        InputError: somebody else made it.
    """
    path, drawn = _label(output, name), _overlay(output, name)
    if not path.exists():
        # a call that was ended in between leaves an overlay alone
        if drawn.exists() and _says(drawn, "JPEG", "comment") != _KEY.encode():
            raise InputError(_foreign(drawn))
        return False
    key = _says(path, "PNG", _KEY)
    if key is None:
        raise InputError(_foreign(path))
    return key == digest_of([digest, image]) and drawn.is_file()


def _says(path: Path, kind: str, key: str) -> Any:
    """What an image says of itself under a key; None if it says nothing, or is none."""
    try:
        with Image.open(path, formats=[kind]) as image:
            return image.info.get(key)
    except (OSError, SyntaxError, ValueError):
        return None


def _foreign(path: Path) -> str:
    return f"{path}: is there, and was not made here; move it away, or choose another --output"


def _save(image: Image.Image, path: Path, **options: Any) -> None:
    with atomically(path) as temporary:
        image.save(temporary, **options)


def _draw_sheet(images: Path, output: Path, names: list[str], count: int, dataset: DataSet) -> None:
    train_ids = np.full(256, 255, np.uint8)
    train_ids[dataset.LABEL_IDS] = np.arange(len(dataset.CLASSES))
    rows = []
    for name in (names[index] for index in spread(len(names), count)):
        with Image.open(_label(output, name)) as label:
            predicted = train_ids[np.asarray(label)]
        rows.append((read_image(images / name)[:, :, ::-1], predicted))
    prediction_sheet(rows, output / SHEET, dataset)

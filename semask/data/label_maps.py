"""Label maps of a split in one file: which class every pixel was given, as nothing is lost of it.

The file is a zip archive, nothing in it compressed, of an 8-bit grey PNG of train ids for each
image, named by the image's number in the split: `000012.png`.
"""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from semask.base.errors import InputError
from semask.base.files import atomically, naming
from semask.base.zip_damage import DAMAGE
from semask.data.png import grey_png

_REMEDY = "evaluate anew where it was made"


def save_label_map(folder: Path, number: int, train_ids: npt.NDArray[Any]) -> None:
    """Write the label map, uint8 (h, w), of image `number` to where `pack_label_maps` looks for it.

    The folder is made if need be; processes may share it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _name(number)
    with naming(path):
        path.write_bytes(grey_png(train_ids))


def pack_label_maps(path: Path, folder: Path, images: int) -> None:
    """Put a folder's maps, of images 0 … `images` − 1, into one zip archive; remove the folder."""
    with atomically(path) as temporary, zipfile.ZipFile(temporary, "x") as archive:
        for number in range(images):
            member = zipfile.ZipInfo(_name(number))  # of no time: equal maps, equal bytes
            member.external_attr = 0o644 << 16
            archive.writestr(member, (folder / _name(number)).read_bytes())
    shutil.rmtree(folder)


def label_maps(path: Path, images: int) -> Callable[[int], npt.NDArray[Any]]:
    """Reader of a file of so many label maps: gives that of an image, uint8 (h, w), by its number.

    InputError where the file is missing, damaged, or has another number of maps, and by the reader
    where a map is damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of label maps; {_REMEDY}") from None
    except (*DAMAGE, OSError) as fault:
        raise InputError(f"{path}: not a file of label maps ({fault}); {_REMEDY}") from None
    names = [_name(number) for number in range(images)]
    if archive.namelist() != names:
        found = len(archive.namelist())
        raise InputError(f"{path}: has {found} label maps, the split {images} images; {_REMEDY}")

    def read(number: int) -> npt.NDArray[Any]:
        try:
            data = np.frombuffer(archive.read(names[number]), np.uint8)
            found = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        except (*DAMAGE, OSError, cv2.error):
            found = None
        if found is None or found.ndim != 2 or found.dtype != np.uint8:
            raise InputError(f"{path}: {names[number]} is damaged; {_REMEDY}")
        return found

    return read


def _name(number: int) -> str:
    return f"{number:06}.png"

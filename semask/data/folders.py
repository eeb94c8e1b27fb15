"""Images of a folder that is no data set: found, read and made ready for the network."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch.utils.data import Dataset

from semask.base.errors import InputError, faults
from semask.base.files import sha256
from semask.data.reading import read_image
from semask.data.transforms import evaluation_view
from semask.data.workers import loaded_singly

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def images_in(folder: Path) -> list[Path]:
    """Images of a folder and of those within it, relative to it, sorted; by their extensions.

    What begins with a dot is left out. InputError where there are none, or two differ in their
    extension only.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one with images")
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name).relative_to(folder)
            for name in names
            if name.lower().endswith(_SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        raise InputError(f"{folder}: no images in it ({', '.join(_SUFFIXES)}); give another folder")
    found.sort()
    first: dict[Path, Path] = {}
    twins = [
        f"{folder / path}: called like {same.name}, so that their labels would have one name; "
        "rename or remove one"
        for path in found
        if (same := first.setdefault(path.with_suffix(""), path)) != path
    ]
    if twins:
        raise faults(twins)
    return found


class Picture(NamedTuple):
    """An image of a folder, or why there is none."""

    name: str  # its path, relative to the folder
    sha256: str = ""  # of the file
    is_done: bool = False  # nothing further was read of it
    fault: str | None = None  # what is wrong with it, in a line
    image: torch.Tensor = torch.empty(0)  # uint8 (h, w, 3), BGR, as stored
    shown: torch.Tensor = torch.empty(0)  # uint8 (H, W, 3), BGR, what the network is shown


class FolderSet(Dataset[Picture]):
    """Images below `folder`, fitted into `scale` (width, height).

    `is_done` is asked, by name and SHA-256, whether an image need not be decoded; it can be
    pickled, and raises InputError for one that must not be.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[Path],
        scale: tuple[int, int],
        is_done: Callable[[str, str], bool],
    ):
        self.folder, self.names, self.scale, self.is_done = folder, names, scale, is_done

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Picture:
        """Image number `index`; a fault is told of, for the others can be read."""
        name = str(self.names[index])
        path = self.folder / name
        try:
            digest = sha256(path)
            if self.is_done(name, digest):
                return Picture(name, digest, is_done=True)
            image = read_image(path)
        except OSError as fault:
            return Picture(name, fault=f"{path}: cannot be read ({fault.strerror}); check it")
        except InputError as fault:
            return Picture(name, fault=str(fault))
        shown = evaluation_view(image, self.scale)
        return Picture(name, digest, image=torch.from_numpy(image), shown=torch.from_numpy(shown))


def pictures(samples: FolderSet, *, workers: int, pin_memory: bool) -> Iterator[Picture]:
    """The images of a folder, one at a time."""
    return loaded_singly(samples, workers=workers, ahead=2, pin_memory=pin_memory)

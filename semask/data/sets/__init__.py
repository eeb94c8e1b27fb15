"""Data sets: every module of this folder is one, under the name of its file.

A data set's module has the members of `DataSet`. Nothing else has to be told of it: what is in the
folder can be given as `dataset.name`. See docs/adding_a_data_set.md.
"""

import importlib
import pkgutil
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from semask.base.errors import InputError, faults
from semask.data.pairs import Pair, Unpaired
from semask.fetching.fetch import Source

SPLITS: Final = ("train", "val")
"""The splits of every data set, whatever it calls them itself."""

NO_LABEL_CODE: Final = ("semask.fetching.fetch", "semask.base.provenance", "semask.data.streets")
"""Modules that conversion and data sets import but that do not decide what the labels are."""

_AHEAD_OF_US = 10.0  # seconds by which the clock of a file server may be


class DataSet(Protocol):
    """What a data set's module has in it.

    A module may also have `generate(root, settings, processes)`, which makes the data set below
    `root` from the config's key `dataset.NAME`.
    """

    __name__: str

    CLASSES: tuple[str, ...]
    """Names of the classes, by train id."""

    PALETTE: npt.NDArray[np.uint8]
    """Their RGB colours, uint8 (K, 3)."""

    LABEL_IDS: npt.NDArray[np.uint8]
    """The data set's own id of every class, uint8 (K,): what its evaluation wants to be given."""

    IMAGES: Mapping[str, int]
    """Published number of images per split; empty where nothing is published."""

    SIZE: tuple[int, int] | None
    """Width and height in pixels of every published image; None where they differ."""

    ARCHIVES: tuple[Source, ...]
    """Files to fetch; empty where there is nothing to fetch."""

    SUFFIXES: tuple[str, ...]
    """What the names of converted labels end with after the stem; first that of the train ids."""

    def parts_of(self, root: Path, split: str) -> list[str]:
        """Sorted names of the parts that a split is converted in, each some 1000 images at most.

        A name can be a folder's. A file that is added moves no other file to another part.

        Raises:
            InputError: there are no images; says what `root` should hold.
        """
        ...

    def pairs_of(self, root: Path, split: str, part: str) -> tuple[list[Pair], Unpaired]:
        """Images and annotations of a part, sorted by image, and what has no partner."""
        ...

    def label_images(
        self, data: bytes, path: Path, size: tuple[int, int] | None
    ) -> dict[str, Image.Image]:
        """Converts an annotation, of which it is given the bytes and, for messages, the path.

        `size` is width and height of the image; None if it is damaged: then the annotation is
        looked at for faults only, and what is returned does not matter.

        Returns:
            Images of mode "L" by suffix, of all or some of SUFFIXES; the first, always there, has
            train ids, 255 where a pixel is ignored.

        Raises:
            InputError: the annotation is damaged, of another size, or has an unknown value.
        """
        ...


def names() -> list[str]:
    """Sorted names of the data sets: the modules of this folder."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(__path__)
        if not module.name.startswith("_") and not module.ispkg
    )


def load(name: str) -> DataSet:
    """The module of a data set; InputError where there is none, or it lacks a member."""
    if name not in names():
        raise InputError(
            f"dataset.name: {name!r} is no data set; known: {', '.join(names())} "
            "(docs/adding_a_data_set.md tells how to add one)"
        )
    module = importlib.import_module(f"{__name__}.{name}")
    members = [*DataSet.__annotations__, "parts_of", "pairs_of", "label_images"]
    missing = [member for member in members if not hasattr(module, member)]
    if missing:
        raise InputError(
            f"{module.__file__}: {', '.join(missing)} missing; "
            "see docs/adding_a_data_set.md for what a data set needs"
        )
    return cast(DataSet, module)


def list_parts(dataset: DataSet, root: Path) -> dict[str, list[str]]:
    """Names of the parts of each split; InputError as `parts_of`."""
    return {split: parts_of(dataset, root, split) for split in SPLITS}


def parts_of(dataset: DataSet, root: Path, split: str) -> list[str]:
    """Names of a split's parts; InputError for none, or for names that Snakemake cannot bear."""
    parts = dataset.parts_of(root, split)
    _check_braces([(part, f"{root}: {split}") for part in parts])
    return parts


def sources_of(dataset: DataSet, root: Path, split: str, part: str) -> list[Path]:
    """Sorted files that a part's labels are made from, those without a partner included.

    InputError where some of them have names, or times, that Snakemake cannot bear.
    """
    pairs, unpaired = dataset.pairs_of(root, split, part)
    sources = [path for pair in pairs for path in (pair.image, pair.annotation)]
    sources += [path for path in unpaired if path.exists()]
    sources.sort(key=lambda path: path.parts)  # as paths are compared, but each taken apart once
    _check_braces([(path.name, path.parent) for path in sources])
    _check_times(sources)
    return sources


def _check_times(sources: Sequence[Path]) -> None:
    """Refuses files from the future: what is made of them now would be older than they are.

    Snakemake takes that for wrong clocks, and stops when the work is done.
    """
    now = time.time()
    late = [path for path in sources if path.stat().st_mtime > now + _AHEAD_OF_US]
    if late:
        newest = max(late, key=lambda path: path.stat().st_mtime)
        when = datetime.fromtimestamp(newest.stat().st_mtime).isoformat(" ", "seconds")
        raise InputError(
            f"{newest}: was changed in the future, at {when}, as {len(late)} of {len(sources)} "
            "files of this part were; set this machine's clock right, or give them another time "
            "(touch; where the disk is read-only, those of a copy)"
        )


def _check_braces(names: Sequence[tuple[str, str | Path]]) -> None:
    problems = [
        f"{place}: {name!r} has braces in its name, which Snakemake takes for wildcards; rename it"
        for name, place in names
        if "{" in name or "}" in name
    ]
    if problems:
        raise faults(problems)

"""Images and their annotations: finding both, pairing them by stem."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from semask.base.errors import faults


class Pair(NamedTuple):
    """An image and its annotation."""

    stem: str  # names the converted label, unique within its part
    image: Path
    annotation: Path


Unpaired = dict[Path, str]
"""Files without a partner (they need not exist themselves), each with what to do, one line."""


def by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of a folder that end with `suffix`, by what comes before it; none if it is not there.

    The extension, from the suffix's last dot on, may be in capitals. Names that start with a dot
    are left out: archivers leave `._NAME` beside NAME.

    Raises:
        InputError: names differ in their extension's capitals only.
    """
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, Path] = {}
    twins = []
    for name in sorted(names):
        if not ends_with(name, suffix) or name.startswith("."):
            continue
        stem = name[: len(name) - len(suffix)]
        if stem in found:
            twins.append(
                f"{folder / name}: called like {found[stem].name} but for capitals; remove or "
                "rename one of them"
            )
        found[stem] = folder / name
    if twins:
        raise faults(twins)
    return found


def ends_with(name: str, suffix: str) -> bool:
    """Whether a file's name ends with `suffix`, whose extension may be in capitals."""
    kept = len(suffix) - len(Path(f"x{suffix}").suffix)
    end = name[len(name) - len(suffix) :] if len(name) >= len(suffix) else ""
    return end[:kept] + end[kept:].lower() == suffix


def pair_up(
    images: Mapping[str, Path],
    annotations: Mapping[str, Path],
    image_of: Path,
    annotation_of: Path,
) -> tuple[list[Pair], Unpaired]:
    """Pairs files by stem: pairs sorted by image, and the files that have no partner.

    `image_of` and `annotation_of` are what their paths look like, with `*` for the stem, for
    messages.
    """
    pairs = [
        Pair(stem, images[stem], annotations[stem])
        for stem in sorted(images, key=lambda stem: images[stem])
        if stem in annotations
    ]
    unpaired = {
        images[stem]: f"no annotation {_name(annotation_of, stem)} for it; "
        "fetch the annotation or remove the image"
        for stem in sorted(images)
        if stem not in annotations
    }
    unpaired |= {
        annotations[stem]: f"no image {_name(image_of, stem)} for it; "
        "fetch the image or remove the annotation"
        for stem in sorted(annotations)
        if stem not in images
    }
    return pairs, unpaired


def _name(pattern: Path, stem: str) -> str:
    return str(pattern.with_name(pattern.name.replace("*", stem)))


def part_of(stem: str, digits: int) -> str:
    """The part that a stem of a data set without folders belongs to.

    It is the stem without its last `digits` digits, so a file that is added or removed moves no
    other file to another part. A stem of digits alone belongs to part "0".
    """
    return re.sub(f"[0-9]{{1,{digits}}}$", "", stem) or "0"


def of_part(files: Mapping[str, Path], part: str, digits: int) -> dict[str, Path]:
    """The files, by stem, that belong to a part, see `part_of`."""
    return {stem: path for stem, path in files.items() if part_of(stem, digits) == part}

"""Images and their annotations: finding both, pairing them by stem."""

import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from semask.base.errors import faults


class Pair(NamedTuple):
    """An image and its annotation."""

    stem: str  # names the converted label, unique within its part
    image: Path
    annotation: Path


Unpaired = dict[Path, str]
"""Files without a partner (they need not exist themselves), each with what to do, one line."""

_SETTLED: Final = 2.0  # seconds after which another change shows in a folder's time


def by_stem(folder: Path, suffix: str) -> dict[str, Path]:
    """Files of a folder that end with `suffix`, by what comes before it; none if it is not there.

    The extension, from the suffix's last dot on, may be in capitals. Names that start with a dot
    are left out: archivers leave `._NAME` beside NAME. InputError where names differ in their
    extension's capitals only.
    """
    return {stem: folder / name for stem, name in _names(folder, suffix).items()}


def of_part(
    folder: Path, suffix: str, part: str, digits: int, stems: Sequence[str] | None = None
) -> dict[str, Path]:
    """Files of a folder that belong to a part, see `by_stem` and `part_of`; of some stems alone.

    A folder is listed once for all of its parts, and again only when it has changed. InputError as
    `by_stem`, of any part's.
    """
    try:
        changed = folder.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # what was changed just now could be changed again at what its clock takes for the same time
    is_settled = time.time() - changed / 1e9 > _SETTLED
    parts = (_parts if is_settled else _parts.__wrapped__)(folder, suffix, digits, changed)
    names = parts.get(part, {})
    return {
        stem: folder / names[stem] for stem in (names if stems is None else stems) if stem in names
    }


@lru_cache(maxsize=4)  # images and annotations of two splits
def _parts(folder: Path, suffix: str, digits: int, _changed: int) -> dict[str, dict[str, str]]:
    parts: dict[str, dict[str, str]] = {}
    for stem, name in _names(folder, suffix).items():
        parts.setdefault(part_of(stem, digits), {})[stem] = name
    return parts


def _names(folder: Path, suffix: str) -> dict[str, str]:
    """Names of files by their stems, sorted."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, str] = {}
    twins = []
    for name in sorted(names):
        if not ends_with(name, suffix) or name.startswith("."):
            continue
        stem = name[: len(name) - len(suffix)]
        if stem in found:
            twins.append(
                f"{folder / name}: called like {found[stem]} but for capitals; remove or "
                "rename one of them"
            )
        found[stem] = name
    if twins:
        raise faults(twins)
    return found


def ends_with(name: str, suffix: str) -> bool:
    """Whether a file's name ends with `suffix`, whose extension may be in capitals."""
    if name.endswith(suffix):
        return True
    start = len(name) - len(Path(f"x{suffix}").suffix)
    return (name[:start] + name[start:].lower()).endswith(suffix)


def pair_up(
    images: Mapping[str, Path], annotations: Mapping[str, Path], image_of: Path, annotation_of: Path
) -> tuple[list[Pair], Unpaired]:
    """Pairs files by stem: pairs sorted by image, and the files that have no partner.

    `image_of` and `annotation_of` are what their paths look like, with `*` for the stem, for
    messages.
    """
    pairs = [
        Pair(stem, images[stem], annotations[stem])
        # in the order of paths, which compare slowly
        for stem in sorted(images, key=lambda stem: images[stem].parts)
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

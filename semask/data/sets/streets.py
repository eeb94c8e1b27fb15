"""Streets: small street scenes that are made on the spot, in the layout of Cityscapes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from semask.data.sets.cityscapes import (
    CLASSES,
    LABEL_IDS,
    PALETTE,
    SUFFIXES,
    label_images,
    pairs_of,
    parts_of,
)
from semask.fetching.fetch import Source

__all__ = ["CLASSES", "LABEL_IDS", "PALETTE", "SUFFIXES", "label_images", "pairs_of", "parts_of"]

IMAGES: Final[Mapping[str, int]] = {}
SIZE: Final = None
ARCHIVES: Final[tuple[Source, ...]] = ()


def generate(root: Path, settings: Mapping[str, Any], processes: int) -> None:
    """Makes the data set below `root`, as `semask.data.streets.generate` does of its settings."""
    # draws with OpenCV, which the conversion of labels can do without
    from semask.data import streets

    streets.generate(root, processes=processes, **settings)

"""The Cityscapes folder layout: which splits, cities and files a data set has."""

from pathlib import Path

from semask.errors import InputError

SPLITS = ("train", "val")


def list_cities(root: Path) -> dict[str, list[str]]:
    """Cities of each split that is trained or evaluated on.

    Raises:
        InputError: a split has no folder or no city.
    """
    return {split: cities_of(root, split) for split in SPLITS}


def cities_of(root: Path, split: str) -> list[str]:
    """Sorted names of a split's cities: folders with images or with labels.

    Raises:
        InputError: there is none.
    """
    found = {
        folder.name
        for kind in ("leftImg8bit", "gtFine")
        for folder in (root / kind / split).glob("*")
        if folder.is_dir() and any(folder.iterdir())
    }
    if not found:
        raise InputError(
            f"{root / 'leftImg8bit' / split}: no city folders with images; set dataset.root to "
            "the folder that holds leftImg8bit and gtFine"
        )
    return sorted(found)


def sources_of(root: Path, split: str, city: str) -> list[Path]:
    """Sorted files that a city's converted labels are made from: images and annotations."""
    images = (root / "leftImg8bit" / split / city).glob("*_leftImg8bit.png")
    folder = root / "gtFine" / split / city
    return sorted(
        [
            *images,
            *folder.glob("*_gtFine_polygons.json"),
            *folder.glob("*_gtFine_labelIds.png"),
        ]
    )

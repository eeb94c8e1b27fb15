"""The report's section on weights that another row's device scored: where labels flip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask.comparison.rows import Record, row_name
from semask.data import sets
from semask.report.pictures import embedded

HEAD = ("Class of the label", "Pixels that flip", "Share of its pixels", "ΔIoU, points")
_MOST = 5


def tables(crossed: Mapping[str, Record], pictures: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The classes with the most flips of each record of kind `cross`.

    Returns:
        title, said, head and lines of a table; picture, None where nothing flips or a bundle
        brought none.
    """
    found = []
    for path, record in crossed.items():
        of, flips = record["weights_of"], record["figures"]["flips"]
        names = sets.load(record["recipe"]["dataset"]).CLASSES
        differences = record["figures"]["difference"]["iou"]
        by_class = zip(names, flips["of_class"], flips["share_of_class"], differences, strict=False)
        most = sorted((x for x in by_class if x[1]), key=lambda x: -x[1])[:_MOST]
        lines = [
            [name, f"{pixels:,}", f"{share:.1e}", "none" if points is None else f"{points:+.3f}"]
            for name, pixels, share, points in most
        ]
        said = (
            f"{flips['pixels']:,} of {record['figures']['labelled_pixels']:,} labelled pixels get "
            f"another class{'; these classes have most of them' if lines else ''}."
        )
        picture = pictures.get(path)
        found.append(
            {
                "title": f"{row_name(record['row'])} with the weights of {row_name(of['row'])}, "
                f"seed {of['seed']}",
                "said": said,
                "head": HEAD if lines else (),
                "lines": lines,
                "picture": embedded(picture) if lines and picture and picture.is_file() else None,
            }
        )
    return found

"""Cityscapes polygon files: reading them strictly, painting them to label ids."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image, ImageDraw

from semask.base.errors import InputError
from semask.base.files import parse_json
from semask.data.classes import CITYSCAPES_LABELS

_ID_OF: Final = {label.name: label.id for label in CITYSCAPES_LABELS}
# Pillow computes polygon edges in single precision: beyond this, whole pixels get lost.
_FARTHEST: Final = 2.0**24


class Polygons(NamedTuple):
    """A polygon file: image size in pixels and what to paint, in order."""

    width: int
    height: int
    objects: list[tuple[int, list[tuple[float, float]]]]  # label id, outline as (x, y)


def read_polygons(data: bytes, path: Path) -> Polygons:
    """Reads the bytes of a `*_gtFine_polygons.json`; `path` is only named in messages.

    Deleted objects are left out whatever their label, and so are labels with a negative id
    (license plate). A label "…group" that is not in the table counts as the label before it.
    InputError where it is not JSON, a key is missing or of the wrong type, a label is unknown, or a
    polygon has fewer than two points.
    """
    content = parse_json(data, path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a polygon file (no object at the top); fetch it again")
    size = []
    for key in ("imgWidth", "imgHeight"):
        value = content.get(key)
        if type(value) is not int or value < 1:
            raise InputError(f"{path}: {key} is {_short(value)}, not a size in pixels; correct it")
        size.append(value)
    if not isinstance(content.get("objects"), list):
        raise InputError(f"{path}: key 'objects' is missing or not a list; fetch the file again")
    objects = []
    for index, item in enumerate(content["objects"]):
        try:
            shape = _read_object(item)
        except ValueError as error:
            raise InputError(f"{path}: objects[{index}]: {error}; correct or delete it") from None
        if shape is not None:
            objects.append(shape)
    return Polygons(size[0], size[1], objects)


def _read_object(item: Any) -> tuple[int, list[tuple[float, float]]] | None:
    """One entry of `objects`; None if it is not to be painted, ValueError if it is wrong."""
    if not isinstance(item, dict):
        raise ValueError("not an object with label and polygon")
    label, deleted = item.get("label"), item.get("deleted", 0)
    points: Any = item.get("polygon")
    if not isinstance(label, str):
        raise ValueError(f"label is {_short(label)}, not a name")
    if not isinstance(deleted, int):
        raise ValueError(f"deleted is {_short(deleted)}, not 0 or 1")
    try:
        outline = [(x, y) for x, y in points]
    except (TypeError, ValueError):
        raise ValueError("polygon is not a list of [x, y]") from None
    # By exact type: JSON's true is an int to isinstance. NaN fails the comparison.
    if not all(
        type(number) in (int, float) and -_FARTHEST <= number <= _FARTHEST
        for point in outline
        for number in point
    ):
        raise ValueError("polygon has a coordinate that is not a number of pixels")
    if deleted:
        return None
    name = label if label in _ID_OF else label.removesuffix("group")
    if name not in _ID_OF:
        raise ValueError(f"label {_short(label)} is not in the Cityscapes label table")
    if _ID_OF[name] < 0:
        return None
    if len(outline) < 2:
        raise ValueError(f"polygon of {len(outline)} points")
    return _ID_OF[name], outline


def _short(value: Any) -> str:
    """A JSON value for a one-line message."""
    if value is None:
        return "missing"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def draw_polygons(polygons: Polygons) -> Image.Image:
    """Paints polygons in order, later ones over earlier ones: label ids, mode "L".

    Coordinates are truncated to whole pixels; outlines belong to the polygon.
    """
    label_ids = Image.new("L", (polygons.width, polygons.height), 0)
    draw = ImageDraw.Draw(label_ids)
    for label_id, outline in polygons.objects:
        draw.polygon(outline, fill=label_id)
    return label_ids

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.data.classes import (
    CITYSCAPES_CLASSES,
    CITYSCAPES_LABELS,
    CITYSCAPES_PALETTE,
    CITYSCAPES_TRAIN_IDS,
)
from semask.data.polygons import draw_polygons, read_polygons
from semask.data.sets.cityscapes import to_train_ids

PATH = Path("ulm_000000_000019_gtFine_polygons.json")
NAMES = [label.name for label in CITYSCAPES_LABELS]

labels = st.sampled_from(NAMES + [name + "group" for name in NAMES])
# Whole and broken coordinates, inside and well outside of the image.
coordinates = (
    st.integers(-10, 50) | st.floats(-10, 50) | st.integers(-(2**24), 2**24) | st.floats(-1e7, 1e7)
)
outlines = st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=9)
objects = st.fixed_dictionaries(
    {"label": labels, "polygon": outlines},
    optional={"deleted": st.sampled_from([0, 1, True, False]), "verified": st.just(1)},
)
files = st.fixed_dictionaries(
    {
        "imgWidth": st.integers(1, 48),
        "imgHeight": st.integers(1, 48),
        "objects": st.lists(objects, max_size=6),
    }
)

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["objects", "imgWidth", "imgHeight", "label", "polygon", "deleted"])
            | st.text(max_size=3),
            inner,
            max_size=6,
        )
    ),
    max_leaves=15,
)


def test_the_label_table_is_that_of_cityscapes() -> None:
    theirs = pytest.importorskip("cityscapesscripts.helpers.labels")
    assert [tuple(label) for label in CITYSCAPES_LABELS] == [
        (label.name, label.id, label.trainId, label.ignoreInEval, label.color)
        for label in theirs.labels
    ]
    evaluated = [theirs.trainId2label[train_id] for train_id in range(19)]
    assert list(CITYSCAPES_CLASSES) == [label.name for label in evaluated]
    assert CITYSCAPES_PALETTE.tolist() == [list(label.color) for label in evaluated]
    for value in range(256):
        known = theirs.id2label.get(value)
        assert CITYSCAPES_TRAIN_IDS[value] == (known.trainId if known else 255)


def assert_equal_to_cityscapesscripts(content: dict[str, Any]) -> None:
    annotation = pytest.importorskip("cityscapesscripts.helpers.annotation")
    json2label = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    text = json.dumps(content)
    theirs = annotation.Annotation()
    theirs.fromJsonText(text)

    label_ids = draw_polygons(read_polygons(text.encode(), PATH))
    train_ids = to_train_ids(label_ids, PATH)
    for ours, encoding in ((label_ids, "ids"), (train_ids, "trainIds")):
        expected = json2label.createLabelImage(theirs, encoding)
        assert ours.size == expected.size
        assert ours.tobytes() == expected.tobytes()


@settings(max_examples=200)
@given(files)
def test_equal_to_cityscapesscripts(content: dict[str, Any]) -> None:
    assert_equal_to_cityscapesscripts(content)


SQUARE = [[2, 2], [12, 2], [12, 12], [2, 12]]
INNER = [[5, 5], [8, 5], [8, 8], [5, 8]]


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([], id="no object"),
        pytest.param([{"label": "cargroup", "polygon": SQUARE}], id="group"),
        pytest.param([{"label": "polegroup", "polygon": SQUARE}], id="group in the table"),
        pytest.param([{"label": "skygroup", "polygon": SQUARE}], id="group of stuff"),
        pytest.param(
            [{"label": "car", "polygon": SQUARE}, {"label": "license plate", "polygon": INNER}],
            id="negative id",
        ),
        pytest.param([{"label": "license plategroup", "polygon": SQUARE}], id="negative group"),
        pytest.param([{"label": "car", "polygon": SQUARE, "deleted": 1}], id="deleted"),
        pytest.param([{"label": "UFO", "polygon": SQUARE, "deleted": 1}], id="deleted unknown"),
        pytest.param([{"label": "car", "polygon": [[1, 1]], "deleted": 1}], id="deleted point"),
        pytest.param([{"label": "license plate", "polygon": []}], id="empty plate"),
        pytest.param(
            [{"label": "road", "polygon": SQUARE}, {"label": "unlabeled", "polygon": INNER}],
            id="hole",
        ),
        pytest.param(
            [{"label": "sky", "polygon": INNER}, {"label": "wall", "polygon": SQUARE}], id="covered"
        ),
        pytest.param([{"label": "sky", "polygon": [[30, 30], [60, 30], [60, 60]]}], id="outside"),
        pytest.param([{"label": "sky", "polygon": [[-9, -9], [60, -9], [25, 99]]}], id="around"),
        pytest.param([{"label": "sky", "polygon": [[3, 3], [9, 7]]}], id="two points"),
        pytest.param([{"label": "sky", "polygon": [[3, 3], [3, 3]]}], id="one point twice"),
        pytest.param([{"label": "sky", "polygon": [[3.9, 3.5], [9.99, 3], [5, -0.9]]}], id="float"),
        pytest.param([{"label": "sky", "polygon": [[0, 0], [9, 9], [0, 9], [9, 0]]}], id="bow tie"),
    ],
)
def test_edge_cases_equal_cityscapesscripts(objects: list[dict[str, Any]]) -> None:
    assert_equal_to_cityscapesscripts({"imgWidth": 24, "imgHeight": 20, "objects": objects})


def test_later_objects_cover_earlier_ones() -> None:
    objects = [{"label": "road", "polygon": SQUARE}, {"label": "car", "polygon": INNER}]
    content = {"imgWidth": 24, "imgHeight": 20, "objects": objects}
    pixels = np.array(draw_polygons(read_polygons(json.dumps(content).encode(), PATH)))
    assert pixels.shape == (20, 24)
    assert (pixels[6, 6], pixels[3, 3], pixels[0, 0]) == (26, 7, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imgHeight": None}, "imgHeight is missing"),
        ({"imgWidth": "48"}, "imgWidth is '48'"),
        ({"imgWidth": 0}, "imgWidth is 0"),
        ({"imgWidth": 48.0}, "imgWidth is 48.0"),
        ({"imgWidth": True}, "imgWidth is True"),
        ({"objects": None}, "'objects' is missing"),
        ({"objects": {}}, "'objects' is missing or not a list"),
        ({"objects": [7]}, r"objects\[0\]: not an object"),
        ({"objects": [{"polygon": SQUARE}]}, "label is missing"),
        ({"objects": [{"label": 3, "polygon": SQUARE}]}, "label is 3"),
        ({"objects": [{"label": "UFO", "polygon": SQUARE}]}, "'UFO' is not in the Cityscapes"),
        ({"objects": [{"label": "group", "polygon": SQUARE}]}, "'group' is not in"),
        ({"objects": [{"label": "x" * 99, "polygon": SQUARE}]}, r"xxx\.\.\. is not in"),
        ({"objects": [{"label": "car"}]}, "polygon is not a list"),
        ({"objects": [{"label": "car", "polygon": [1, 2, 3, 4]}]}, "polygon is not a list"),
        ({"objects": [{"label": "car", "polygon": [[1, 2, 3]]}]}, "polygon is not a list"),
        ({"objects": [{"label": "car", "polygon": ["12", "34"]}]}, "not a number of pixels"),
        ({"objects": [{"label": "car", "polygon": [[1, None], [2, 3]]}]}, "not a number"),
        ({"objects": [{"label": "car", "polygon": [[1, True], [2, 3]]}]}, "not a number"),
        ({"objects": [{"label": "car", "polygon": [[1, float("nan")], [2, 3]]}]}, "not a number"),
        ({"objects": [{"label": "car", "polygon": [[1, 1e30], [2, 3]]}]}, "not a number"),
        ({"objects": [{"label": "car", "polygon": [[1, 10**400], [2, 3]]}]}, "not a number"),
        ({"objects": [{"label": "car", "polygon": [[1, 1]]}]}, "polygon of 1 points"),
        ({"objects": [{"label": "car", "polygon": SQUARE, "deleted": "no"}]}, "deleted is 'no'"),
    ],
)
def test_wrong_files_are_named(change: dict[str, Any], message: str) -> None:
    content = {"imgWidth": 48, "imgHeight": 20, "objects": []} | change
    with pytest.raises(InputError, match=message) as caught:
        read_polygons(json.dumps(content).encode(), PATH)
    assert str(caught.value).startswith(f"{PATH}: ")
    assert "\n" not in str(caught.value)


@given(junk.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=64))
def test_junk_gives_nothing_but_input_errors(data: bytes) -> None:
    read_or_refuse(data)


@given(files, st.data())
def test_damaged_files_give_nothing_but_input_errors(content: Any, data: st.DataObject) -> None:
    whole = bytearray(json.dumps(content).encode())
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place : place + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    read_or_refuse(bytes(whole))


@given(files, junk, st.sampled_from(["imgWidth", "imgHeight", "objects", "label", "polygon"]))
def test_wrong_types_give_nothing_but_input_errors(content: Any, value: Any, key: str) -> None:
    if key in content:
        content[key] = value
    elif content["objects"]:
        content["objects"][-1][key] = value
    read_or_refuse(json.dumps(content).encode())


def read_or_refuse(data: bytes) -> None:
    with suppress(InputError):
        polygons = read_polygons(data, PATH)
        if polygons.width * polygons.height < 10**6:
            draw_polygons(polygons)

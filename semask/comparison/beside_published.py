"""Published figures: beside measured ones of the same experiment, or on lines of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from semask.comparison.published import (
    same_experiment,
    schedule_differences,
    scoring_differences,
)

Record = Mapping[str, Any]
# what two published rows must share to be compared
_EXPERIMENT = ("source", "dataset", "variant", "crop", "iterations", "batch")


def beside_published(
    line: Mapping[str, Any], records: Mapping[str, Record], published: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What is published of a measured row's experiment, and how the row differs from it.

    Returns:
        published and difference, as `semask.comparison.rows.measured_row` has them.
    """
    # a row of this name before one that is published without naming devices
    same = (
        other
        for name in (line["name"], None)
        for other in published
        if other["row"] == name
        and all(same_experiment(other, record["recipe"]) for record in records.values())
    )
    other = next(same, None)
    if other is None:
        return {"published": None, "difference": None}
    differing = _differing_from_published(other, records)
    said = {
        # single-scale mIoU, under whichever name the source gives it
        "acc1": other["miou_single_scale"] if other["acc_at_1"] is None else other["acc_at_1"],
        "multi_scale_miou": other["miou_multi_scale_flip"],
        "fps": other["fps"],
    }
    shown = {key: None if differing[key] else value for key, value in said.items()}
    accuracies = ("acc1", "multi_scale_miou")
    return {
        "published": {
            **shown,
            # of figures that are published, but not of the same
            "differing": {key: differing[key] for key in said if said[key] is not None},
            "source": other["source"],
            "line": other["line"],
        },
        "difference": {
            **{key: points(line[key]["value"], shown[key]) for key in accuracies},
            "fps": ratio(line["fps_log_window"]["value"], shown["fps"]),
        },
    }


def _differing_from_published(
    other: Mapping[str, Any], records: Mapping[str, Record]
) -> dict[str, list[str]]:
    """By figure, what makes it another one than the published row's."""
    single, several, speed = set[str](), set[str](), set[str]()
    for record in records.values():
        recipe = record["recipe"]
        if recipe["training"]["accumulation"] != 1:  # nobody published a speed with it
            speed.add("training.accumulation")
        if record["mode"] == "full":
            single.update(schedule_differences(other, recipe))
        if record["kind"] == "evaluate":
            views = record.get("evaluation", {}).get("multi_scale")
            evaluation = {**recipe["evaluation"], "multi_scale": views}
            found = scoring_differences(other, evaluation, record["figures"]["images"])
            single.update(found[0])
            several.update(found[1])
    return {
        "acc1": sorted(single),
        "multi_scale_miou": sorted(single | several),
        "fps": sorted(speed),
    }


def points(mine: float | None, theirs: float | None) -> float | None:
    """Difference of two figures, if there are both."""
    return None if mine is None or theirs is None else mine - theirs


def ratio(mine: float | None, theirs: float | None) -> float | None:
    """Ratio of two figures, if there are both."""
    return None if mine is None or theirs is None else mine / theirs


def published_row(other: Mapping[str, Any]) -> dict[str, Any]:
    """One row of the table that only repeats what others published."""

    def cell(value: object) -> dict[str, Any]:
        if value is None:
            return {"value": None, "state": "not published"}
        return {"value": value, "state": "published", "from": [f"line {other['line']}"]}

    nothing = cell(None)
    return {
        "name": other["row"],
        "kind": "published",
        "line": other["line"],
        "source": f"published by {other['source']}: {other['dataset']}, {other['variant']}",
        "acc1": cell(other["acc_at_1"]),
        "last_miou": nothing,
        "multi_scale_miou": nothing,
        "fps": cell(other["fps"]),
        "fps_p10": nothing,
        "fps_p90": nothing,
        # the seed's figure is by its own definition, whichever column it stands in
        "fps_log_window": cell(other["fps"]),
        "data_wait_share": nothing,
        "skipped_steps": None,
        "cpu_fallbacks": None,
        "warnings": [],
        "apart": [],
        "pytorch": cell(other["pytorch"]),
        "device": nothing,
        "published": None,
        "difference": None,
        "note": other["note"],
        "experiment": {key: other[key] for key in _EXPERIMENT},
    }


def published_rows(
    measured: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The published rows that are on lines of their own.

    A published row that stands beside a measured one is not repeated; nor is one that is published
    without naming devices.
    """
    shown = {
        line["published"]["line"]
        for line in measured
        # a figure that is withheld there is still to be seen
        if line["published"] and not any(line["published"]["differing"].values())
    }
    return [
        published_row(other)
        for other in published
        if other["row"] is not None and other["line"] not in shown
    ]

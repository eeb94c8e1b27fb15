"""Published figures: beside measured ones of the same experiment, or on lines of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

from semask.comparison.published import (
    same_experiment,
    schedule_differences,
    scoring_differences,
    speed_differences,
)

Record = Mapping[str, Any]
# what two published rows must share to be compared
_EXPERIMENT = ("source", "dataset", "variant", "crop", "iterations", "batch")


def beside_published(
    line: Mapping[str, Any],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    published: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    recipes = [record["recipe"] for record in trained.values()]
    # a row of this name before one that is published without naming devices
    same = [
        other
        for name in (line["name"], None)
        for other in published
        if other["row"] == name and all(same_experiment(other, recipe) for recipe in recipes)
    ]
    if not same:
        return {"published": None, "difference": None}
    other = same[0]
    differing = _differing_from_published(other, trained, evaluated)
    acc1, several = _published_accuracy(other)
    said = {"acc1": acc1, "multi_scale_miou": several, "fps": other["fps"]}
    shown = {key: None if differing[key] else value for key, value in said.items()}
    fps = line["fps_log_window"]["value"]
    return {
        "published": {
            **shown,
            # of figures that are published, but not of the same
            "differing": {key: differing[key] for key in said if said[key] is not None},
            "source": other["source"],
            "line": other["line"],
        },
        "difference": {
            "acc1": points(line["acc1"]["value"], shown["acc1"]),
            "multi_scale_miou": points(
                line["multi_scale_miou"]["value"], shown["multi_scale_miou"]
            ),
            "fps": fps / shown["fps"] if None not in (fps, shown["fps"]) else None,
        },
    }


def _differing_from_published(
    other: Mapping[str, Any], trained: Mapping[str, Record], evaluated: Mapping[str, Record]
) -> dict[str, list[str]]:
    """By figure, what makes it another one than the published row's."""
    speed = [k for r in trained.values() for k in speed_differences(r["recipe"])]
    full = [record["recipe"] for record in trained.values() if record["mode"] == "full"]
    single = [key for recipe in full for key in schedule_differences(other, recipe)]
    several = list(single)
    for record in evaluated.values():
        evaluation = {
            **record["recipe"]["evaluation"],
            "multi_scale": record.get("evaluation", {}).get("multi_scale"),
        }
        found = scoring_differences(other, evaluation, record["figures"]["images"])
        single += found[0]
        several += found[1]
    return {
        "acc1": sorted(set(single)),
        "multi_scale_miou": sorted(set(several)),
        "fps": sorted(set(speed)),
    }


def _published_accuracy(other: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Single-scale and multi-scale mIoU, under whichever name the source gives the former."""
    single = other["miou_single_scale"] if other["acc_at_1"] is None else other["acc_at_1"]
    return single, other["miou_multi_scale_flip"]


def points(mine: float | None, theirs: float | None) -> float | None:
    """Difference of two figures, if there are both."""
    return None if mine is None or theirs is None else mine - theirs


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

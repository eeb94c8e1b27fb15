"""How many seeds show that two rows are as accurate, and how many device-hours they take.

With --spread the standard deviation over seeds is yours. With --records it is that of the
evaluations below a folder, of rows that have several seeds, and the hours come from the trainings
there; give the overlays that made them with --experiment.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.records import read_record
from semask.base.row_names import row_folder
from semask.comparison.cost import Rate, rate_of, recipe_of
from semask.config.checks import check_config
from semask.config.layers import assemble, read_layer
from semask.config.recipe import differing_keys
from semask.model.facts import markdown
from semask.verdict.planning import Spread, hours_of_a_seed, plan, spreads_of
from semask.verdict.seeds import FIGURES, LEVEL, MOST_SEEDS, POWER
from semask.workflow import guard
from semask.workflow.options import number_between

_REPOSITORY = Path(__file__).parents[1]


def main() -> None:
    arguments = _parse()
    layers = [read_layer(path) for path in (_REPOSITORY / "config.yaml", *arguments.experiment)]
    config = assemble(layers, arguments.variant)
    check_config(config, _REPOSITORY / "schemas" / "config.schema.yaml")
    margin = arguments.margin or config["equivalence"]["margin"]
    spread, rates = arguments.spread, [rate_of(path) for path in arguments.record]
    if arguments.records is not None:
        found = _spreads(arguments.records, config)
        spread = found[0].points
        print("".join(f"{_told(each)}\n" for each in found))
        rates += [rate_of(path) for path in _trainings(arguments.records)]
    table, needed = plan(spread, margin, arguments.power, _hours(config, rates))
    print(f"spread {spread:.3g} points, margin ±{margin:g}\n\n{markdown(table)}\n")
    seeds = f"more than {MOST_SEEDS:,}" if needed is None else str(needed)
    print(f"{seeds} seeds a row show it in {100 * arguments.power:g} % of cases.")


def _parse() -> argparse.Namespace:
    parser = guard.parser(__doc__)
    spread = parser.add_mutually_exclusive_group(required=True)
    spread.add_argument(
        "--spread", type=number_between("--spread", 0, 100),
        help="standard deviation of mIoU over seeds, in points",
    )  # fmt: skip
    spread.add_argument("--records", type=Path, help="folder of results, such as results")
    parser.add_argument(
        "--margin", type=number_between("--margin", 0, 100),
        help="points of mIoU; without it, the experiment's equivalence.margin",
    )  # fmt: skip
    parser.add_argument(
        "--power", type=number_between("--power", 0, 1), default=POWER,
        help="probability of showing it that is asked for (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--experiment", type=Path, nargs="+", default=[],
        help="overlays over config.yaml, in their order",
    )  # fmt: skip
    parser.add_argument("--variant", help="in place of the one that the experiment chooses")
    parser.add_argument(
        "--record", type=Path, nargs="+", default=[],
        help="train.json of short runs, for the device-hours of the experiment's rows",
    )  # fmt: skip
    return parser.parse_args()


def _spreads(folder: Path, config: Mapping[str, Any]) -> list[Spread]:
    """Spreads over seeds below a folder, the largest one first.

    Raises:
        InputError: there are none, or a row of the config has another recipe there.
    """
    paths = sorted(folder.rglob("evaluate.json"))
    evaluated = {path: read_record(path, "evaluate") for path in paths}
    for path, record in evaluated.items():
        _check_experiment(path, record, config)
    found = spreads_of(evaluated.values())
    if not found:
        raise InputError(
            f"{folder}: no row with evaluations of several seeds that differ; give such a folder, "
            "or --spread"
        )
    return found


def _check_experiment(path: Path, record: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Checks that the hours will be those of what a record is of.

    Raises:
        InputError: it is not, if it is of a row of the config.
    """
    for row in _full_rows(config):
        if row_folder(record["row"]) == row_folder(row):
            # as a record has it, with lists in place of tuples
            recipe = json.loads(json.dumps(recipe_of(config, row, "full").as_dict()))
            # of weights to start from, only a record knows the digest
            differing = {*differing_keys(record["recipe"], recipe)} - {"model.pretrained"}
            if differing:
                raise InputError(
                    f"{path}: of another experiment, it differs in {', '.join(sorted(differing))}; "
                    "give the overlays that it was made with as --experiment"
                )


def _trainings(folder: Path) -> list[Path]:
    """Records of trainings below a folder, those that measured the speed first."""
    paths = sorted(folder.rglob("train.json"))
    return sorted(paths, key=lambda path: read_record(path, "train")["mode"] != "performance")


def _full_rows(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in config["rows"] if "full" in row["modes"]]


def _hours(config: Mapping[str, Any], rates: Sequence[Rate]) -> dict[str, float | None]:
    """Device-hours of a seed of each row that trains in full; empty without any rate."""
    return {
        row_folder(row): hours_of_a_seed(config, row, rates)
        for row in (_full_rows(config) if rates else ())
    }


def _told(spread: Spread) -> str:
    low, high = spread.interval
    return (
        f"{FIGURES[spread.figure]}: spread {spread.points:.3g} points, {100 * LEVEL:.0f} % "
        f"interval {low:.3g} to {high:.3g}, of {spread.evaluations} evaluations of "
        f"{spread.rows} row{'s' if spread.rows > 1 else ''} with several seeds"
    )


if __name__ == "__main__":
    guard.run(main)

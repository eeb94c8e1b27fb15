"""Predict the work, the memory and the hours of experiments, or print the tables of docs/cost.md.

Without a record there is no speed, hence no hours. With records of performance runs a row's hours
come from the one of its device and precision, if possible also of its processes and variant.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semask.base.files import GIB
from semask.base.row_names import row_folder
from semask.comparison.cost import (
    FORWARDS_PER_STEP,
    Rate,
    gmac_of,
    most_like,
    rate_of,
    recipe_of,
    row_work,
    training_memory,
)
from semask.config.checks import check_config
from semask.config.layers import assemble, read_layer, variant_names
from semask.config.recipe import build_settings
from semask.model.facts import markdown
from semask.workflow import guard
from semask.workflow.options import number_between

_REPOSITORY = Path(__file__).parents[1]
_SHIPPED = ("cityscapes", "ade20k", "coco_stuff10k", "ascend")
_VARIANTS = ("tiny", "small", "base", "large")
_CROPS = (512, 640, 768)
_BATCHES = (1, 4, 8)
_PRECISIONS = ("fp32", "bf16")


def main() -> None:
    arguments = _parse()
    if arguments.memory:
        print(memory_table([arguments.variant] if arguments.variant else _VARIANTS))
        return
    rates = [rate_of(path) for path in arguments.record]
    if arguments.fps is not None:
        rates = [assumed_rate(arguments.fps)]
    if arguments.record:
        print(f"{rates_table(rates)}\n")
    stacks = arguments.experiment or [
        [_REPOSITORY / "experiments" / f"{name}.yaml"] for name in _SHIPPED
    ]
    configs = [config for stack in stacks for config in configs_of(stack, arguments.variant)]
    print(experiments_table(configs, rates))


def _parse() -> argparse.Namespace:
    parser = guard.parser(__doc__)
    parser.add_argument(
        "--experiment", type=Path, nargs="+", action="append",
        help="overlays over config.yaml, in their order; may be given several times",
    )  # fmt: skip
    parser.add_argument("--variant", help="one variant; without it all of them")
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument(
        "--record", type=Path, nargs="+", default=[], help="train.json of performance runs"
    )
    speed.add_argument(
        "--fps", type=number_between("--fps", 0),
        help="as if each device trained so many images per second of SeMask-S at 768x768",
    )  # fmt: skip
    parser.add_argument("--memory", action="store_true", help="memory by variant, crop and batch")
    return parser.parse_args()


def configs_of(stack: Sequence[Path], variant: str | None) -> Iterator[dict[str, Any]]:
    """The configurations of an experiment, one for each variant or the one that is chosen.

    Raises:
        InputError: a file cannot be read, or what it says is wrong.
    """
    layers = [read_layer(path) for path in (_REPOSITORY / "config.yaml", *stack)]
    names: list[str | None] = [*variant_names(layers)]
    for name in [variant] if variant is not None and names else names or [None]:
        config = assemble(layers, name)
        check_config(config, _REPOSITORY / "schemas" / "config.schema.yaml")
        yield config


def assumed_rate(fps: float) -> Rate:
    """The rate of a device, whatever it is, that trains so many images of SeMask-S per second."""
    each = FORWARDS_PER_STEP * gmac_of({"variant": "small", "num_classes": 19}, 768, 768)
    return Rate(None, None, 1, "small", fps, each * fps)


def rates_table(rates: Sequence[Rate]) -> str:
    """What was measured, and how several devices compare with the first record of their kind."""
    rows = [["record", "FPS", "TMAC/s of a device", "of the first such record"]]
    for rate in rates:
        first = next(r for r in rates if (r.device, r.precision) == (rate.device, rate.precision))
        rows.append(
            [
                f"SeMask-{rate.variant[0].upper()}, {rate.device}-{rate.processes}p, "
                f"{rate.precision}",
                f"{rate.fps:.4g}",
                f"{rate.gmac_per_second / 1e3:.4g}",
                f"{rate.gmac_per_second / first.gmac_per_second:.2f}",
            ]
        )
    return markdown(rows)


def experiments_table(configs: Sequence[Mapping[str, Any]], rates: Sequence[Rate] = ()) -> str:
    """Markdown table of all rows: work, memory and, with rates, hours.

    Raises:
        InputError: see `semask.comparison.cost.recipe_of`.
    """
    head = ["experiment, row", "training", "evaluation", "performance", "10¹⁵ MAC", "GiB"]
    rows = [[*head, *(["device-hours", "hours"] if rates else [])]]
    for config in configs:
        variant = config["variant"]
        name = config["experiment"] + (f", {variant}" if variant else "")
        memory = None
        for row in config["rows"]:
            work = row_work(config, row)
            recipe = recipe_of(config, row, row["modes"][0])
            training = recipe.training
            # of one image it is the same for all rows
            memory = memory or training_memory(
                build_settings(recipe.as_dict()), training.augmentation.crop, training.precision
            )
            images = math.ceil(training.global_batch / (row["processes"] * training.accumulation))
            cells = [f"{x / 1e6:,.1f}" if x else "–" for x in (*work, sum(work))]
            cells.append(f"{memory.of(images) / GIB:.1f}")
            if rates:
                cells += _hours(sum(work), row, config, rates)
            rows.append([f"{name}, {row_folder(row)}", *cells])
    return markdown(rows)


def _hours(
    work: float, row: Mapping[str, Any], config: Mapping[str, Any], rates: Sequence[Rate]
) -> list[str]:
    """Device-hours and hours of a row, from the record that is most like it."""
    best = most_like(rates, row, config)
    if best is None:
        return [f"no record of {row['device']}, {config['training']['precision']}"] * 2
    hours = best.hours(work, row["processes"])
    return [f"{hours * row['processes']:,.1f}", f"{hours:,.1f}"]


def memory_table(variants: Sequence[str]) -> str:
    """Markdown table of GiB by variant and square crop, for each precision and batch."""
    head = [f"{precision}, {batch}" for precision in _PRECISIONS for batch in _BATCHES]
    rows = [["GiB, 19 classes", *head]]
    for variant in variants:
        settings = {"variant": variant, "num_classes": 19}
        for side in _CROPS:
            found = [training_memory(settings, (side, side), p) for p in _PRECISIONS]
            cells = [f"{memory.of(batch) / GIB:.1f}" for memory in found for batch in _BATCHES]
            rows.append([f"SeMask-{variant[0].upper()}, {side}×{side}", *cells])
    return markdown(rows)


if __name__ == "__main__":
    guard.run(main)

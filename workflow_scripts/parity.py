"""Show whether a device computes what a model defines, and which module is to blame if not.

With --config and --row: SeMask-FPN as a row trains it. Nothing is trained and no data set is
needed, but for the digests of its first batches: weights and inputs are made from a rule. With
--model, --input and --device: anybody's model; the status is then 0 where all is shown, 1 where
something is refuted or the input is wrong, 2 where people have to look or a look was not run.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semask.base import signals, startup
from semask.base.errors import InputError
from semask.base.files import write_atomically
from semask.base.provenance import describe_run, now
from semask.base.records import write_record
from semask.config.recipe import ANY_IMAGES, Numerics, Recipe, build_settings, execution_on, resolve
from semask.parity import verdict
from semask.workflow import guard
from semask.workflow.json_options import add_row_options
from semask.workflow.launching import enter, launch
from semask.workflow.options import new_file, whole_number

_LOOKS = ("semantics", "precision", "chance", "data")
_STATUS = {verdict.SHOWN: 0, verdict.REFUTED: 1, verdict.UNDECIDED: 2, verdict.NOT_RUN: 2}


def main() -> None:
    arguments = _parse()
    if arguments.model is None:
        _look_at_row(arguments)
    else:
        sys.exit(_look_at_model(arguments))


class _Kept:
    """What was found so far, told and written as soon as it is there."""

    def __init__(self, write: Callable[[Mapping[str, Any], Mapping[str, Any]], None]):
        self.found: dict[str, Any] = {}
        self._write, self._started = write, now()

    def keep(self, name: str, finding: Any) -> None:
        self.found[name] = _as_json(finding)
        self._write(describe_run("workflow_scripts.parity", self._started), self.found)
        answer, why = verdict.answer(finding)
        print(f"{name}: {answer}: {why}", flush=True)


def _as_json(value: Any) -> Any:
    """Plain values, with null for a number that is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(of) for key, of in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(of) for of in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _look_at_row(arguments: argparse.Namespace) -> None:
    row, config = arguments.row, arguments.config
    launch(row, arguments)
    signals.listen()
    recipe = resolve(config, mode="full", processes=row["processes"], training_images=ANY_IMAGES)
    with startup.imports():
        from semask.devices import description, distributed, setup
        from semask.devices.peak import matmul_peak
        from semask.model.facts import gmac, on_meta
        from semask.parity.semask_looks import Asked, look_at_row

    device = setup.set_up(row["device"], row["threads"], recipe.numerics)
    execution = execution_on(row["device"], config["execution"])
    # what a training step needs of the device, for MFU
    settings = build_settings(recipe.as_dict())
    crop = recipe.training.augmentation.crop
    work = {
        "gmac": gmac(on_meta(settings), *crop)["total"],
        "peak": _peak(lambda: matmul_peak(device, recipe.training.precision)),
    }
    asked = {name: getattr(arguments, name) for name in ("seed", "size", "batch", "steps")}
    of = {
        "experiment": config["experiment"],
        "row": row,
        "recipe": recipe.as_dict(),
        "device": description.describe(row["device"]),
        "execution": asdict(execution),
    }

    def write(run: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        figures = {"asked": asked, "work": work, "looks": found}
        write_record(arguments.record, "parity", **of, run=run, figures=figures)

    kept = _Kept(write)
    look_at_row(
        recipe,
        Asked(execution, row, device, arguments.seed, tuple(arguments.size), arguments.batch),
        count=arguments.steps,
        keep=kept.keep if distributed.rank() == 0 else lambda name, finding: None,
        only=arguments.looks,
        first_batches=lambda: _first_batches(arguments, recipe),
    )
    distributed.tear_down()


def _peak(measure: Callable[[], float]) -> float | None:
    """None where the device fails at it, which the looks are to tell of."""
    try:
        return measure()
    except (RuntimeError, NotImplementedError, MemoryError) as fault:
        print(f"warning: the peak for MFU was not measured: {fault}", file=sys.stderr, flush=True)
        return None


def _first_batches(arguments: argparse.Namespace, recipe: Recipe) -> list[dict[str, str]]:
    """Digests of the first batches, where the data set is given."""
    if arguments.train_manifest is None:
        return []
    from semask.data.loading import TrainingSet
    from semask.data.manifest import read_manifest
    from semask.parity import data

    samples = TrainingSet(
        read_manifest(arguments.train_manifest),
        arguments.root,
        arguments.labels,
        recipe.training.augmentation,
        arguments.seed,
        shuffle_labels=recipe.training.shuffle_labels,
    )
    return data.batches(samples, recipe.training.global_batch, arguments.batches)


def _look_at_model(arguments: argparse.Namespace) -> int:
    enter()
    with startup.imports():
        from semask.devices import description, setup
        from semask.parity import anybody

    plain = Numerics("exact", False, False, False, False)
    device = setup.set_up(arguments.device, arguments.threads, plain)
    # where the command is typed, as python -m does it
    sys.path.insert(0, str(Path.cwd()))
    loss = arguments.loss
    of = {"model": arguments.model, "device": description.describe(arguments.device)}

    def write(run: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        if arguments.record is not None:
            text = json.dumps({**of, "run": run, "looks": found}, indent=1)
            write_atomically(arguments.record, text + "\n")

    kept = _Kept(write)
    anybody.look_at_model(
        anybody.made(anybody.named(arguments.model, "--model"), arguments.model, arguments.seed),
        arguments.input,
        device,
        loss=None if loss is None else anybody.named(loss, "--loss"),
        precision=arguments.precision,
        seed=arguments.seed,
        keep=kept.keep,
    )
    found = verdict.whole(verdict.answers(kept.found))
    print(f"{arguments.model} on {arguments.device}: {found}", flush=True)
    return _STATUS[found]


def _shape(text: str) -> tuple[int, ...]:
    sides = text.split("x")
    if not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise InputError(f"--input {text}: not a shape; give positive numbers, as in 2x3x224x224")
    return tuple(int(side) for side in sides)


def _parse() -> argparse.Namespace:
    parser = guard.parser(__doc__, "--nodes", "--stall-minutes")
    add_row_options(parser, required=False)
    parser.add_argument("--record", type=new_file, help="what was found, JSON")
    parser.add_argument("--seed", type=whole_number("--seed", 0), default=0)
    parser.add_argument(
        "--size", type=whole_number("--size", 1), nargs=2, default=[112, 112], help="height, width"
    )
    parser.add_argument("--batch", type=whole_number("--batch", 1), default=2)
    parser.add_argument("--steps", type=whole_number("--steps", 0), default=8)
    parser.add_argument("--train-manifest", type=Path, help="of the training images")
    parser.add_argument("--root", type=Path, help="folder of the images")
    parser.add_argument("--labels", type=Path, help="folder of the converted labels")
    parser.add_argument("--batches", type=whole_number("--batches", 0), default=8)
    parser.add_argument("--looks", nargs="+", choices=_LOOKS, default=_LOOKS)
    parser.add_argument("--model", help="package.module:function that returns a torch.nn.Module")
    parser.add_argument(
        "--input", type=_shape, nargs="+", help="shape of each input, as in 2x3x224x224"
    )
    parser.add_argument("--loss", help="package.module:function of the model's outputs")
    parser.add_argument("--device", choices=["cpu", "gpu", "npu"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--threads", type=whole_number("--threads", 1), default=1)
    arguments = parser.parse_args()
    of_row = (arguments.config, arguments.row, arguments.record)
    if arguments.model is None and None in of_row:
        raise InputError("give --model and --input, or --config, --row and --record")
    if arguments.model is not None and arguments.input is None:
        raise InputError("--model: give --input, too: the shape of each of its inputs")
    if arguments.model is not None and (arguments.config, arguments.row) != (None, None):
        raise InputError("--model: looks at a model by itself, not at a row: no --config, no --row")
    if arguments.train_manifest is not None and None in (arguments.root, arguments.labels):
        raise InputError("--train-manifest: give --root and --labels, too")
    return arguments


if __name__ == "__main__":
    guard.run(main)

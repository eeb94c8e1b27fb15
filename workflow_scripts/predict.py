"""Predict the images of a folder: labels, overlays and a contact sheet.

Weights are a run's best.safetensors or last.safetensors with its train.json beside, an export of
them, or a released checkpoint. A call that was interrupted goes on from where it was.
"""

from dataclasses import asdict
from pathlib import Path

from semask.base import signals, startup
from semask.base.errors import InputError
from semask.devices.conditions import USABLE_CORES
from semask.workflow import guard
from semask.workflow.launching import enter
from semask.workflow.options import new_folder, whole_number


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="file of weights")
    parser.add_argument("--images", type=Path, required=True, help="folder, those within it, too")
    parser.add_argument("--output", type=new_folder, required=True, help="folder to write to")
    parser.add_argument("--device", choices=["cpu", "gpu", "npu"], default="cpu", help="(cpu)")
    parser.add_argument(
        "--train-record", type=Path, help="of the run, if it does not lie beside the weights"
    )
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="overlays of the experiment instead"
    )
    parser.add_argument("--variant", help="of that experiment")
    parser.add_argument("--threads", type=whole_number("--threads", 1), default=len(USABLE_CORES))
    parser.add_argument("--workers", type=whole_number("--workers", 0), default=1, help="(1)")
    parser.add_argument(
        "--sheet", type=whole_number("--sheet", 0), default=8, help="rows of the contact sheet (8)"
    )
    arguments = parser.parse_args()
    if arguments.variant is not None and not arguments.configfile:
        raise InputError("--variant: give --configfile, too: the experiment that has it")

    enter()
    signals.listen()
    with startup.imports():
        from semask.base.files import sha256
        from semask.devices import computing, setup
        from semask.evaluation.folder import SHEET, predict_folder
        from semask.evaluation.known_weights import use_of
        from semask.evaluation.weight_files import load_weights
        from semask.model import build, load_reference

    weights = arguments.weights
    use = use_of(weights, arguments.train_record, arguments.configfile, arguments.variant)
    model = build(**use.model)
    load_weights(model, weights, load_reference)
    print(f"{weights}: settings of {use.source}", flush=True)
    device = setup.set_up(arguments.device, arguments.threads, use.numerics)
    computing.check_precision(device, use.precision)
    computing.place(model.eval(), device)
    done = predict_folder(
        model,
        arguments.images,
        arguments.output,
        use.dataset,
        use.evaluation,
        device,
        precision=use.precision,
        made_of={
            "weights": sha256(weights),
            "model": dict(use.model),
            "evaluation": asdict(use.evaluation),
            "precision": use.precision,
            "numerics": asdict(use.numerics),
        },
        workers=arguments.workers,
        sheet_rows=arguments.sheet,
    )
    print(
        f"{arguments.output}: {done.predicted} images predicted, {done.kept} were there; "
        f"labels, overlays and {SHEET}",
        flush=True,
    )


if __name__ == "__main__":
    guard.run(main)

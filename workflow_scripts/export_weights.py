"""Export a run's weights under the names of the original SeMask-FPN, for the original's tools.

Needs the run's record (train.json) and, beside it unless --weights says otherwise, the weights
that it speaks of. Makes a checkpoint with `state_dict` and `meta`, as mmcv saves it.
"""

from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.base.provenance import code_version
from semask.base.records import check_weights, kept_weights, read_record
from semask.data import sets
from semask.evaluation.weight_files import load_weights, write_reference_checkpoint
from semask.model import build, export_reference, load_reference
from semask.workflow import guard
from semask.workflow.options import new_file

_SUFFIXES = (".pth", ".pt")


def main() -> None:
    parser = guard.parser(__doc__)
    parser.add_argument("--train-record", type=Path, required=True, help="the run's train.json")
    parser.add_argument("--which", choices=("best", "last"), default="best", help="(best)")
    parser.add_argument("--weights", type=Path, help="if they do not lie beside the record")
    parser.add_argument("--output", type=new_file, required=True, help="checkpoint to write, .pth")
    arguments = parser.parse_args()
    if arguments.output.suffix not in _SUFFIXES:
        raise InputError(f"{arguments.output}: not a name for a checkpoint; let it end in .pth")
    record = read_record(arguments.train_record, "train")
    which = arguments.which
    weights = arguments.weights or arguments.train_record.with_name(f"{which}.safetensors")
    check_weights(weights, kept_weights(arguments.train_record, record, which))
    settings = record["recipe"]["model"]
    # the other settings change no tensor
    model = build(settings["variant"], settings["num_classes"])
    load_weights(model, weights, load_reference)
    write_reference_checkpoint(arguments.output, export_reference(model), _meta(record, which))


def _meta(record: dict[str, Any], which: str) -> dict[str, Any]:
    """What the original's tools read beside the weights, and where these come from."""
    dataset = sets.load(record["recipe"]["dataset"])
    return {
        "CLASSES": dataset.CLASSES,
        "PALETTE": dataset.PALETTE.tolist(),
        "iter": record["figures"][which]["iteration"],
        "semask_bench": {
            "code_version": code_version(),
            "record_digest": record["digest"],
            "weights": which,
            "recipe": record["recipe"],
        },
    }


if __name__ == "__main__":
    guard.run(main)

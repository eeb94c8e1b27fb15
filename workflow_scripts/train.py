"""Train one row: in this process, or in several started by torchrun."""

import argparse
import json
import os
import sys
from pathlib import Path

from semask.data.manifest import check_classes, check_crop, read_manifest
from semask.recipe import resolve
from workflow_scripts import _guard


def main() -> None:
    arguments = _parse()
    config = arguments.config
    train_manifest = read_manifest(arguments.train_manifest)
    val_manifest = read_manifest(arguments.val_manifest)
    recipe = resolve(
        config,
        mode=arguments.mode,
        processes=arguments.processes,
        training_images=len(train_manifest["files"]),
    )
    for manifest, path in (
        (train_manifest, arguments.train_manifest),
        (val_manifest, arguments.val_manifest),
    ):
        check_classes(manifest, recipe.model.num_classes, path)
    augmentation = recipe.training.augmentation
    check_crop(train_manifest, augmentation.crop, augmentation.scale, arguments.train_manifest)
    if arguments.processes > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        _launch(arguments.processes)

    # torch takes seconds to import: only now that the input is known to be right
    from semask.training import Run, train

    performance = config["performance"]
    window = performance["log_window"]
    train(
        Run(
            experiment=config["experiment"],
            recipe=recipe,
            device=arguments.device,
            processes=arguments.processes,
            threads=arguments.threads,
            mode=arguments.mode,
            seed=arguments.seed,
            workers=config["loader"]["workers"],
            warmup_iterations=performance["warmup_iterations"],
            log_window=(window["ends_at"], window["length"]),
            train=train_manifest,
            val=val_manifest,
            root=arguments.root,
            labels=arguments.labels,
            work=arguments.work,
            outputs={
                name: path
                for name, path in (
                    ("log", arguments.output_log),
                    ("best", arguments.best),
                    ("last", arguments.last),
                )
                if path is not None
            },
            record=arguments.record,
        )
    )


def _parse() -> argparse.Namespace:
    parser = _guard.parser(__doc__)
    parser.add_argument(
        "--config",
        type=json.loads,
        required=True,
        help="the config's experiment, dataset name, model, training, loader, performance, as JSON",
    )
    parser.add_argument("--device", choices=["cpu", "gpu", "npu"], required=True)
    parser.add_argument("--processes", type=int, required=True, help="one per device")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads of each process")
    parser.add_argument("--mode", choices=["full", "performance"], required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--train-manifest", type=Path, required=True)
    parser.add_argument("--val-manifest", type=Path, required=True)
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--labels", type=Path, required=True, help="converted labels")
    parser.add_argument("--work", type=Path, required=True, help="state of an unfinished run")
    parser.add_argument("--output-log", type=Path, required=True, help="log, JSON lines")
    parser.add_argument("--best", type=Path, help="weights of the best evaluation")
    parser.add_argument("--last", type=Path, help="weights of the last iteration")
    parser.add_argument("--record", type=Path, required=True)
    return parser.parse_args()


def _launch(processes: int) -> None:
    """Become torchrun, which starts this script `processes` times with the same arguments."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--standalone", "--nproc-per-node", str(processes)),
        *("-m", "workflow_scripts.train", *sys.argv[1:]),
    ]
    sys.stdout.flush()
    os.execv(sys.executable, command)


if __name__ == "__main__":
    _guard.run(main)

"""Train one row: in this process, or in several started by torchrun."""

import argparse
import os
from contextlib import nullcontext
from pathlib import Path

from semask.base import signals, startup
from semask.base.errors import InputError
from semask.base.files import sha256
from semask.base.provenance import source_digest
from semask.base.schema_parts import NATURAL, PLANTED, ROW
from semask.config.recipe import execution_on, resolve
from semask.data.manifest import check_classes, check_crop, check_splits, read_manifest
from semask.devices.launched import is_launched
from semask.fetching.fetch import check_there
from semask.training import workdir
from semask.training.run import FaultTolerance, Run
from semask.workflow import guard
from semask.workflow.json_options import (
    PUBLISHED,
    SOURCE,
    add_json,
    config_schema,
    run_schema,
    training_schema,
)
from semask.workflow.launching import launch
from semask.workflow.options import new_file, new_folder, whole_number
from semask.workflow.usable import check_weights

_RUN = run_schema(
    PLANTED,
    **ROW,
    mode={"enum": ["full", "performance"]},
    seed=NATURAL,
)


def main() -> None:
    arguments = _parse()
    attempt = arguments.attempt
    if attempt is not None and not is_launched():
        workdir.refuse_given_up(arguments.work, attempt)
    with workdir.noting_faults(arguments.work) if attempt is not None else nullcontext():
        run = _run_of(arguments)
        if not is_launched() and workdir.deliver_again(
            run, source_digest("workflow_scripts.train")
        ):
            print(f"{run.work}: the run was complete already", flush=True)
        else:
            if not is_launched():
                _prepare(run, arguments.train_manifest)
            launch(
                arguments.run,
                arguments,
                shared=run.work,
                stall_minutes=run.fault_tolerance.stall_minutes,
                # of several nodes a scheduler sees to it
                alone=run.mode == "performance" and arguments.nodes == 1,
            )
            signals.listen()

            # torch takes seconds to import: only now that the input is known to be right
            with startup.imports():
                from semask.training.loop import train

            train(run)
        if not arguments.keep_work:
            workdir.clear(run.work, run.record.is_file())


def _prepare(run: Run, manifest: Path) -> None:
    """Store what is missing or damaged of the arrays that a run reads, if it reads any.

    The stage `prepare` has done so before. But what it stores is no reason to train again, so a
    full run does not wait for it.
    """
    # somebody else's folder, perhaps, which is only read
    if run.prepared is None or (run.prepared.is_dir() and not os.access(run.prepared, os.W_OK)):
        return
    from semask.data.preparing import note, note_of, prepare

    cores = run.processes * run.threads
    made = prepare(run.train, run.root, run.labels, run.prepared, cores)
    note(note_of(manifest, run.prepared), manifest, made)


def _run_of(arguments: argparse.Namespace) -> Run:
    config = arguments.config
    train_manifest = read_manifest(arguments.train_manifest)
    val_manifest = read_manifest(arguments.val_manifest)
    recipe = resolve(
        config,
        mode=arguments.run["mode"],
        processes=arguments.run["processes"],
        training_images=len(train_manifest["files"]),
        pretrained=_digest_of_weights(arguments),
    )
    manifests = {"train": train_manifest, "val": val_manifest}
    paths = {"train": arguments.train_manifest, "val": arguments.val_manifest}
    check_splits(manifests, paths, arguments.published)
    for split, manifest in manifests.items():
        check_classes(manifest, recipe.model.num_classes, paths[split])
    augmentation = recipe.training.augmentation
    check_crop(train_manifest, augmentation.crop, augmentation.scale, arguments.train_manifest)
    performance = config["performance"]
    window = performance["log_window"]
    outputs = {"log": arguments.output_log, "best": arguments.best, "last": arguments.last}
    return Run(
        experiment=config["experiment"],
        recipe=recipe,
        **arguments.run,
        workers=config["loader"]["workers"],
        warmup_iterations=performance["warmup_iterations"],
        log_window=(window["ends_at"], window["length"]),
        train=train_manifest,
        val=val_manifest,
        root=arguments.root,
        labels=arguments.labels,
        work=arguments.work,
        outputs={name: path for name, path in outputs.items() if path is not None},
        record=arguments.record,
        pretrained=arguments.pretrained,
        execution=execution_on(arguments.run["device"], config["execution"]),
        fault_tolerance=FaultTolerance.from_config(arguments.fault_tolerance),
        prepared=arguments.prepared,
    )


def _digest_of_weights(arguments: argparse.Namespace) -> str | None:
    """`sha256:…` of a weights file, by which recipes tell what training started from."""
    path = arguments.pretrained
    if path is None:
        return None
    checked = check_there(arguments.pretrained_source, path, arguments.lock, check_weights)
    try:
        return checked or f"sha256:{sha256(path)}"
    except OSError as fault:
        raise InputError(
            f"{path}: cannot be read ({fault.strerror}); set model.pretrained to a file that is "
            "there, or to null"
        ) from fault


def _parse() -> argparse.Namespace:
    parser = guard.parser(
        __doc__, "--nodes", "--train-manifest", "--val-manifest", "--root", "--labels", "--record"
    )
    add_json(
        parser,
        "--config",
        training_schema("loader"),
        help="what training reads of the config, as JSON",
    )
    add_json(
        parser, "--run", _RUN,
        help="device, processes, threads, planted_fault if there is one, mode, seed and "
        "forbid_fallbacks, as JSON",
    )  # fmt: skip
    parser.add_argument("--work", type=new_folder, required=True, help="state of an unfinished run")
    parser.add_argument("--output-log", type=new_file, required=True, help="log, JSON lines")
    parser.add_argument("--best", type=new_file, help="weights of the best evaluation")
    parser.add_argument("--last", type=new_file, help="weights of the last iteration")
    add_json(
        parser, "--published", PUBLISHED, required=False,
        help="what the splits must be, as JSON, see workflow_scripts.verify",
    )  # fmt: skip
    parser.add_argument(
        "--prepared",
        type=new_folder,
        help="images and labels as `prepare` stores them; what is missing or damaged is stored",
    )
    parser.add_argument("--pretrained", type=Path, help="weights of a Swin image classifier")
    add_json(
        parser, "--pretrained-source", SOURCE, required=False,
        help="where others published them, as JSON: they must be those",
    )  # fmt: skip
    parser.add_argument(
        "--lock", type=new_file, default=Path("downloads.lock.json"), help="pinned digests, JSON"
    )
    add_json(
        parser, "--fault-tolerance", config_schema("fault_tolerance", ("retries",)),
        help="the config's key of that name, as JSON",
    )  # fmt: skip
    parser.add_argument(
        "--attempt",
        type=whole_number("--attempt", 1),
        help="of the workflow's job, from 1: what failed of wrong input is not tried again",
    )
    parser.add_argument(
        "--keep-work",
        action="store_true",
        help="leave the complete run in the work directory; the same command then only copies it",
    )
    return parser.parse_args()


if __name__ == "__main__":
    guard.run(main)

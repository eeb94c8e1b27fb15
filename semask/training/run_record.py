"""The record of a training run."""

from collections.abc import Mapping, Sequence
from typing import Any

from semask.base import provenance
from semask.base.files import sha256
from semask.base.records import write_record
from semask.devices import description, processes
from semask.training import workdir
from semask.training.keeping import Keeper
from semask.training.log_file import read_log
from semask.training.measurement import speed
from semask.training.run import Run
from semask.training.stepping import Stepper


def write_run_record(
    run: Run,
    stepper: Stepper,
    keeper: Keeper,
    fallbacks: Sequence[str],
    precision: Mapping[str, Any],
    peak_memory: int,
    machines: Sequence[Mapping[str, Any]],
) -> None:
    """Write the record of a complete run into its work directory.

    `fallbacks` are operators that fell back, `peak_memory` the most bytes that the first process
    held, `machines` the conditions of each (`semask.devices.conditions`), empty if not watched;
    `precision` is as `semask.devices.setup.precision_kept` gives it at the end.
    """
    files = keeper.files()
    lines = read_log(files["log"])
    steps = [line for line in lines if "evaluation" not in line]
    write_record(
        run.work / workdir.RECORD,
        "train",
        **run.identity,
        weights_digest={name: sha256(path) for name, path in files.items() if name != "log"},
        execution=run.executed,
        device=description.describe(run.device),
        ran={"processes": processes.seen(), "graphs": stepper.compiled(), "precision": precision},
        run=provenance.describe_run("workflow_scripts.train", keeper.tries[0]["started"]),
        figures={
            "speed": {
                **speed(
                    [line["seconds"] for line in steps],
                    [line["data_seconds"] for line in steps],
                    communication=stepper.communication if run.processes > 1 else None,
                    global_batch=run.recipe.training.global_batch,
                    warmup_iterations=run.warmup_iterations,
                    log_window=run.log_window,
                ),
                "conditions": list(machines),
            },
            "best": keeper.best and {key: keeper.best[key] for key in ("iteration", "miou")},
            "last": {key: steps[-1][key] for key in ("iteration", "loss", "acc_seg")},
            "pretrained": stepper.pretrained,
            "precision": {
                "skipped_steps": sum("skipped" in line for line in steps),
                "loss_scale": stepper.loss_scale,
            },
            "cpu_fallbacks": list(fallbacks) if run.device == "npu" else None,
            "warnings": keeper.warnings,
            "tries": keeper.tries,
            "workers": run.workers,
            "peak_memory_bytes": peak_memory,
        },
    )

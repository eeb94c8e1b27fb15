"""The record of a training run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semask.base import provenance
from semask.base.files import sha256
from semask.base.records import write_record
from semask.devices import description
from semask.training import workdir
from semask.training.keeping import Keeper
from semask.training.log_file import read_log
from semask.training.measurement import speed
from semask.training.run import Run


def write_run_record(
    run: Run,
    keeper: Keeper,
    *,
    pretrained: dict[str, Any] | None,
    loss_scale: float | None,
    fallbacks: Sequence[str],
    peak_memory: int,
    communication: Mapping[int, float] | None,
) -> None:
    """Write the record of a complete run into its work directory.

    Args:
        run: the run.
        keeper: what it kept.
        pretrained: what was loaded of the weights that it started from.
        loss_scale: at the end.
        fallbacks: operators that fell back.
        communication: as for `semask.training.measurement.speed`.
        peak_memory: most bytes that the first process held since it was started.
    """
    files = keeper.files()
    lines = read_log(files["log"])
    steps = [line for line in lines if "evaluation" not in line]
    write_record(
        run.work / workdir.RECORD,
        "train",
        experiment=run.experiment,
        row=run.row,
        mode=run.mode,
        seed=run.seed,
        recipe=run.recipe.as_dict(),
        data_fingerprint=run.train["fingerprint"],
        weights_digest=_digests(files),
        execution={**asdict(run.execution), "prepared": run.prepared is not None},
        device=description.describe(run.device),
        run=provenance.describe_run("workflow_scripts.train", keeper.tries[0]["started"]),
        figures={
            "speed": speed(
                [line["seconds"] for line in steps],
                [line["data_seconds"] for line in steps],
                communication=communication,
                global_batch=run.recipe.training.global_batch,
                warmup_iterations=run.warmup_iterations,
                log_window=run.log_window,
            ),
            "best": keeper.best and {key: keeper.best[key] for key in ("iteration", "miou")},
            "last": {key: steps[-1][key] for key in ("iteration", "loss", "acc_seg")},
            "pretrained": pretrained,
            "precision": {
                "skipped_steps": sum("skipped" in line for line in steps),
                "loss_scale": loss_scale,
            },
            "cpu_fallbacks": list(fallbacks) if run.device == "npu" else None,
            "warnings": keeper.warnings,
            "tries": keeper.tries,
            "workers": run.workers,
            "peak_memory_bytes": peak_memory,
        },
    )


def _digests(files: dict[str, Path]) -> dict[str, str]:
    return {name: sha256(path) for name, path in files.items() if name != "log"}

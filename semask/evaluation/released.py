"""The checkpoints that the authors of SeMask released, scored without training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semask.base import provenance
from semask.base.files import sha256
from semask.base.records import write_record
from semask.config.recipe import Numerics, evaluation_recipe
from semask.data.loading import (
    SINGLE_SCALE,
    EvaluationSet,
    View,
    multi_scale_views,
)
from semask.devices import computing, cpu_fallbacks, description, distributed, setup
from semask.evaluation.metrics import scores
from semask.evaluation.split import Counts, check_counted, evaluate_split
from semask.evaluation.weight_files import load_weights
from semask.model import build
from semask.model.weights import load_reference


def score_released(
    config: Mapping[str, Any],
    *,
    weights: Path,
    val: Mapping[str, Any],
    val_path: Path,
    root: Path,
    labels: Path,
    record: Path,
) -> None:
    """Score a released checkpoint on the validation split, at one scale and at several.

    With several processes every one of them calls this; the first one writes.

    Args:
        config: experiment; dataset (its name); row (device, processes, threads); model: settings
            of `semask.model.build`; numerics; evaluation: scale, sliding_window and multi_scale of
            the config; workers of each process; forbid_fallbacks: an operator that the NPU
            lacks is an error.
        weights: the checkpoint, with the original names.
        val: manifest of the validation split.
        val_path: its file, for messages.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
        record: file of the record.

    Raises:
        InputError: the checkpoint is damaged or does not fit the model; the labels are not those
            that the manifest counts.
    """
    started = provenance.now()
    row = config["row"]
    model = build(**config["model"])
    report = load_weights(model, weights, load_reference)
    numerics = Numerics(**config["numerics"])
    device = setup.set_up(row["device"], row["threads"], numerics, config["forbid_fallbacks"])
    distributed.check_processes(row["processes"], device)
    computing.place(model.eval(), device)
    settings = evaluation_recipe(config["evaluation"])
    multi_scale = config["evaluation"]["multi_scale"]
    counted: list[Counts] = []

    def score(views: Sequence[View]) -> dict[str, Any]:
        counts = evaluate_split(
            model,
            EvaluationSet(val, root, labels, settings.scale, views),
            workers=config["workers"],
            num_classes=config["model"]["num_classes"],
            device=device,
            precision="fp32",
            sliding_window=settings.sliding_window,
            multi_scale=len(views) > 1,
        )
        counted.append(counts)
        return {**vars(scores(counts.confusion)), "confusion": counts.confusion.tolist()}

    several = None
    with cpu_fallbacks.noted_fallbacks(device) as fallbacks:
        single = score(SINGLE_SCALE)
        if multi_scale is not None:
            several = score(multi_scale_views(multi_scale["ratios"], multi_scale["flip"]))
    operators = cpu_fallbacks.allowed_fallbacks(fallbacks(), config["forbid_fallbacks"])
    first_process = distributed.rank() == 0
    distributed.tear_down()
    if not first_process:
        return
    for counts in counted:
        check_counted(counts, val, val_path)
    write_record(
        record,
        "released",
        experiment=config["experiment"],
        dataset=config["dataset"],
        row=row,
        model=dict(config["model"]),
        evaluation=dict(config["evaluation"]),
        data_fingerprint=val["fingerprint"],
        weights_digest={weights.name: sha256(weights)},
        device=description.describe(row["device"]),
        run=provenance.describe_run("workflow_scripts.released", started),
        figures={
            "single_scale": single,
            "multi_scale": several,
            "images": len(val["files"]),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "cpu_fallbacks": operators if row["device"] == "npu" else None,
            "interpolated": report.interpolated,
        },
    )

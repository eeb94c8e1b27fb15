"""The checkpoints that the authors of SeMask released, scored without training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semask.base import provenance
from semask.base.files import sha256
from semask.base.records import write_record
from semask.config.recipe import Numerics
from semask.data.loading import multi_scale_views
from semask.devices import computing, description, processes, setup
from semask.evaluation.split import Pass, Split, score_passes
from semask.evaluation.weight_files import load_weights
from semask.model import build
from semask.model.weights import load_reference


def score_released(config: Mapping[str, Any], *, weights: Path, val: Split, record: Path) -> None:
    """Score a released checkpoint on the validation split, at one scale and at several.

    With several processes every one of them calls this; the first one writes the record. The config
    has experiment; dataset (its name); row (device, processes, threads); model: settings of
    `semask.model.build`; numerics; evaluation: scale, sliding_window and multi_scale of the config;
    workers of each process; forbid_fallbacks: an operator that the NPU lacks is an error. The
    weights are a checkpoint with the original names.

    Raises:
        InputError: the checkpoint is damaged or does not fit the model; the labels are not those
            that the manifest counts.
    """
    started = provenance.now()
    row = config["row"]
    model = build(**config["model"])
    report = load_weights(model, weights, load_reference)
    numerics = Numerics(**config["numerics"])
    device = processes.meet(row, numerics, config["forbid_fallbacks"])
    computing.place(model.eval(), device)
    passes = [Pass("single_scale", model)]
    multi_scale = config["evaluation"]["multi_scale"]
    if multi_scale is not None:
        passes.append(Pass("multi_scale", model, multi_scale_views(**multi_scale)))
    recipe = {**config, "training": {"precision": "fp32"}}
    scored = score_passes(passes, val, recipe, device, config)
    if scored is None:
        return
    write_record(
        record,
        "released",
        experiment=config["experiment"],
        dataset=config["dataset"],
        row=row,
        model=dict(config["model"]),
        evaluation=dict(config["evaluation"]),
        data_fingerprint=val.manifest["fingerprint"],
        weights_digest={weights.name: sha256(weights)},
        device=description.describe(row["device"]),
        ran={
            "processes": processes.seen(),
            "precision": setup.precision_kept(numerics, row["device"]),
        },
        run=provenance.describe_run("workflow_scripts.released", started),
        figures={
            "multi_scale": None,
            **scored.figures,
            "images": len(val.manifest["files"]),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "cpu_fallbacks": scored.fallbacks,
            "interpolated": report.interpolated,
        },
    )

"""The evaluation stage: scores of a run's kept weights, their predictions, and a look at them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semask.base import provenance
from semask.base.files import sha256
from semask.base.records import write_record
from semask.config.recipe import (
    Execution,
    Numerics,
    build_settings,
    evaluation_recipe,
    execution_on,
)
from semask.data import sets
from semask.data.label_maps import pack_label_maps, save_label_map
from semask.data.loading import EvaluationSet, multi_scale_views
from semask.data.reading import read_image
from semask.devices import computing, description, planted, processes, setup
from semask.evaluation.drawing import contact_sheet, spread
from semask.evaluation.prediction import predict
from semask.evaluation.predictions import (
    label_ids_of,
    prediction_names,
    save_prediction,
    write_predictions,
)
from semask.evaluation.split import Pass, Split, score_passes
from semask.evaluation.weight_files import read_state_dict
from semask.model import SeMaskFPN, build
from semask.model.compiling import compile_for_scoring, compiled_since, graphs


def score_run(
    trained: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    weights: Mapping[str, Path],
    val: Split,
    saved: Path | None,
    label_maps: Path | None,
    pictures: Path,
    record: Path,
) -> None:
    """Evaluate the best and the last weights of a full run on the validation split.

    Where both are the same weights, they are scored once and the figures stand for both.
    With several processes every one of them calls this: each scores its share of the images and
    saves their predictions, the first one writes all else.

    `trained` is the training's record, and `weights` are the files of `best` and `last`, checked by
    their digests. `run` has multi_scale: with `ratios` and `flip` of the views the best weights are
    scored in that way, too, None leaves it out; workers of each process, which load; execution of
    the config: models are compiled only for images of one size; predictions: how many images are
    drawn; forbid_fallbacks: an operator that the NPU lacks is an error.

    The best weights' predictions are saved in a folder beside their manifest `saved` that has its
    name less the suffix, and kept as train ids in `label_maps`, for those who score the same
    weights elsewhere; None for neither. Images are drawn in `pictures`, a PNG, with their labels
    and the last weights' predictions.

    Raises:
        InputError: the labels are not those that the manifest counts.
    """
    started = provenance.now()
    row, recipe = trained["row"], trained["recipe"]
    numerics = Numerics(**recipe["numerics"])
    device = processes.meet(row, numerics, run["forbid_fallbacks"])
    before = graphs()
    manifest = val.manifest
    execution = suited(execution_on(row["device"], run["execution"]), manifest)
    multi_scale = run["multi_scale"]
    names = [] if saved is None else prediction_names(manifest)
    label_ids = label_ids_of(recipe["dataset"])

    def keep(number: int, prediction: torch.Tensor, _: torch.Tensor, figure: str = "best") -> None:
        if label_maps is not None and figure == "best":
            save_label_map(label_maps.with_suffix(""), number, prediction.cpu().numpy())
        if saved is not None:
            path = saved.with_suffix("") / figure / names[number]
            save_prediction(path, prediction.cpu().numpy(), label_ids)

    is_best_last = trained["weights_digest"]["best"] == trained["weights_digest"]["last"]

    def passes() -> Iterator[Pass]:
        model = load_kept(recipe, row, weights["best"], execution, device)
        yield Pass("best", model, keep=keep)
        if multi_scale is not None:
            views = multi_scale_views(**multi_scale)
            # every scale would be compiled for itself
            with torch.compiler.set_stance("force_eager"):
                figure = "best_multi_scale"
                yield Pass(figure, model, views, partial(keep, figure=figure))
        if not is_best_last:
            yield Pass("last", load_kept(recipe, row, weights["last"], execution, device))

    scored = score_passes(passes(), val, recipe, device, run, execution.fused_attention)
    if scored is None:
        return
    if is_best_last:
        scored.figures["last"] = scored.figures["best"]
    if saved is not None:
        write_predictions(
            saved,
            [figure for figure in scored.figures if figure != "last"],
            names,
            data_fingerprint=manifest["fingerprint"],
            weights_digest=trained["weights_digest"],
        )
    kept = {}
    if label_maps is not None:
        pack_label_maps(label_maps, label_maps.with_suffix(""), len(manifest["files"]))
        kept["label_maps_digest"] = sha256(label_maps)
    drawn = _predictions(scored.model, val, run["predictions"], recipe, device)
    contact_sheet(drawn, pictures, sets.load(recipe["dataset"]))
    iterations = {name: trained["figures"][name]["iteration"] for name in weights}
    write_record(
        record,
        "evaluate",
        **{key: trained[key] for key in ("experiment", "row", "mode", "seed", "recipe")},
        data_fingerprint=manifest["fingerprint"],
        weights_digest=trained["weights_digest"],
        device=description.describe(row["device"]),
        ran={
            "processes": processes.seen(),
            "graphs": compiled_since(before, execution.compile),
            "precision": setup.precision_kept(numerics, row["device"]),
        },
        run=provenance.describe_run("workflow_scripts.evaluate", started),
        evaluation={**recipe["evaluation"], "multi_scale": multi_scale},
        execution=asdict(execution),
        figures={
            **{
                figure: {"iteration": iterations["last" if figure == "last" else "best"], **found}
                for figure, found in scored.figures.items()
            },
            "images": len(manifest["files"]),
            "labelled_pixels": sum(manifest["pixels"][:-1]),
            "train_record_digest": trained["digest"],
            "cpu_fallbacks": scored.fallbacks,
            **kept,
        },
    )


def suited(execution: Execution, manifest: Mapping[str, Any]) -> Execution:
    """How a split is scored: models are compiled only for images of one size."""
    if len({(file["width"], file["height"]) for file in manifest["files"]}) > 1:
        return replace(execution, compile=False)
    return execution


def load_kept(
    recipe: Mapping[str, Any],
    row: Mapping[str, Any],
    path: Path,
    execution: Execution,
    device: torch.device,
) -> SeMaskFPN:
    """Model of a record's recipe with the weights of a file, as a row's device will run it."""
    model = build(**{**build_settings(recipe), **execution.model_settings()})
    model.load_state_dict(read_state_dict(path))
    computing.place(model.eval(), device)
    planted.plant_in_model(row.get("planted_fault"), model)
    if execution.compile:
        compile_for_scoring(model)
    return model


@torch.inference_mode()
def _predictions(
    model: SeMaskFPN, val: Split, count: int, recipe: Mapping[str, Any], device: torch.device
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, label and prediction of some images, spread evenly over the split."""
    settings = evaluation_recipe(recipe["evaluation"])
    samples = EvaluationSet(val.manifest, val.root, val.labels, settings.scale)
    drawn = []
    for index in spread(len(samples), count):
        example = samples[index]
        label = example.label.numpy()
        shown, _ = next(example.inputs(device))
        with computing.autocast(device, recipe["training"]["precision"]):
            predicted = predict(model, shown, label.shape, settings.sliding_window)
        picture = read_image(samples.pairs[index][0])[:, :, ::-1]
        drawn.append((picture, label, predicted[0].cpu().numpy()))
    return drawn

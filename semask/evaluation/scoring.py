"""The evaluation stage: scores of a run's kept weights, their predictions, and a look at them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from semask.base import provenance
from semask.base.errors import InputError
from semask.base.records import check_weights, write_record
from semask.config.recipe import (
    EvaluationRecipe,
    Execution,
    Numerics,
    build_settings,
    evaluation_recipe,
)
from semask.data import sets
from semask.data.loading import (
    SINGLE_SCALE,
    EvaluationSet,
    View,
    multi_scale_views,
)
from semask.data.reading import read_image
from semask.devices import computing, cpu_fallbacks, description, distributed, setup
from semask.evaluation.drawing import contact_sheet
from semask.evaluation.metrics import scores
from semask.evaluation.prediction import predict
from semask.evaluation.predictions import (
    label_ids_of,
    prediction_names,
    save_prediction,
    write_predictions,
)
from semask.evaluation.split import Counts, check_counted, evaluate_split
from semask.model import SeMaskFPN, build
from semask.model.compiling import compile_for_scoring


def score_run(
    trained: Mapping[str, Any],
    *,
    weights: Mapping[str, Path],
    val: Mapping[str, Any],
    val_path: Path,
    root: Path,
    labels: Path,
    workers: int,
    multi_scale: Mapping[str, Any] | None,
    saved: Path | None,
    pictured: int,
    pictures: Path,
    record: Path,
    execution: Execution,
    forbid_fallbacks: bool = False,
) -> None:
    """Evaluate the best and the last weights of a full run on the validation split.

    With several processes every one of them calls this: each scores its share of the images and
    saves their predictions, the first one writes all else.

    Args:
        trained: the run's record.
        weights: files of the weights `best` and `last`.
        val: manifest of the validation split.
        val_path: its file, for messages.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
        workers: data loading processes of each process.
        multi_scale: `ratios` and `flip` of the views that the best weights are scored with, too.
        saved: manifest of the best weights' predictions, which are saved in a folder beside it
            that has its name less the suffix; None saves none.
        pictured: number of images to draw.
        pictures: PNG to draw them to: image, label and prediction of the last weights.
        record: file of the record.
        execution: how it is run. Models are compiled only for images of one size.
        forbid_fallbacks: an operator that the NPU lacks is an error.

    Raises:
        InputError: a weights file is not the one that the record speaks of, or is damaged; the
            labels are not those that the manifest counts.
    """
    started = provenance.now()
    row, recipe = trained["row"], trained["recipe"]
    device = setup.set_up(
        row["device"], row["threads"], Numerics(**recipe["numerics"]), forbid_fallbacks
    )
    distributed.check_processes(row["processes"], device)
    settings = evaluation_recipe(recipe["evaluation"])
    if len({(file["width"], file["height"]) for file in val["files"]}) > 1:
        execution = replace(execution, compile=False)
    # figure of the record, weights, views of each image
    passes: list[tuple[str, str, Sequence[View]]] = [("best", "best", SINGLE_SCALE)]
    if multi_scale is not None:
        several = multi_scale_views(multi_scale["ratios"], multi_scale["flip"])
        passes.append(("best_multi_scale", "best", several))
    passes.append(("last", "last", SINGLE_SCALE))
    found: dict[str, Any] = {}
    counted: list[Counts] = []
    folders: dict[str, Path] = {}
    models: dict[str, SeMaskFPN] = {}
    with cpu_fallbacks.noted_fallbacks(device) as fallbacks:
        for figure, name, views in passes:
            if name not in models:
                model = load_model(
                    recipe, weights[name], trained["weights_digest"][name], execution
                )
                computing.place(model, device)
                if execution.compile:
                    compile_for_scoring(model)
                models = {name: model}  # one at a time
            samples = EvaluationSet(val, root, labels, settings.scale, views)
            if saved is not None and name == "best":
                folders[figure] = saved.with_suffix("") / figure
            # every scale would be compiled for itself
            stance = "default" if len(views) == 1 else "force_eager"
            with torch.compiler.set_stance(stance):
                counts = evaluate_split(
                    model,
                    samples,
                    workers=workers,
                    num_classes=recipe["model"]["num_classes"],
                    device=device,
                    precision=recipe["training"]["precision"],
                    sliding_window=settings.sliding_window,
                    multi_scale=figure == "best_multi_scale",
                    keep=_saver(folders[figure], val, recipe["dataset"])
                    if figure in folders
                    else None,
                )
            found[figure] = {
                "iteration": trained["figures"][name]["iteration"],
                **vars(scores(counts.confusion)),
                "confusion": counts.confusion.tolist(),
            }
            counted.append(counts)
    operators = cpu_fallbacks.allowed_fallbacks(fallbacks(), forbid_fallbacks)
    first_process = distributed.rank() == 0
    # before the first one goes on alone, for which the others need not wait
    distributed.tear_down()
    if not first_process:
        return
    for counts in counted:
        check_counted(counts, val, val_path)
    if saved is not None:
        write_predictions(
            saved,
            folders,
            prediction_names(val),
            data_fingerprint=val["fingerprint"],
            weights_digest=trained["weights_digest"],
        )
    drawn = _predictions(
        model, samples, pictured, settings, device, recipe["training"]["precision"]
    )
    dataset = sets.load(recipe["dataset"])
    contact_sheet(drawn, pictures, dataset.CLASSES, dataset.PALETTE)
    write_record(
        record,
        "evaluate",
        **{key: trained[key] for key in ("experiment", "row", "mode", "seed", "recipe")},
        data_fingerprint=val["fingerprint"],
        weights_digest=trained["weights_digest"],
        device=description.describe(row["device"]),
        run=provenance.describe_run("workflow_scripts.evaluate", started),
        evaluation={**recipe["evaluation"], "multi_scale": multi_scale},
        execution=asdict(execution),
        figures={
            **found,
            "images": counts.images,
            "labelled_pixels": int(counts.confusion.sum()),
            "train_record_digest": trained["digest"],
            "cpu_fallbacks": operators if row["device"] == "npu" else None,
        },
    )


def load_model(
    recipe: Mapping[str, Any], path: Path, digest: str, execution: Execution
) -> SeMaskFPN:
    """Model of a recipe with the weights of a file, in evaluation mode.

    Args:
        recipe: a record's recipe.
        path: weights that training kept.
        digest: their SHA-256.
        execution: how it will be run.

    Raises:
        InputError: the file is missing, damaged, or not the one with that digest.
    """
    check_weights(path, digest)
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as fault:
        raise InputError(
            f"{path}: cannot be read ({fault}); run its training again, or restore the file"
        ) from fault
    model = build(**{**build_settings(recipe), **execution.model_settings()})
    model.load_state_dict(state)
    return model.eval()


def _saver(
    folder: Path, val: Mapping[str, Any], dataset: str
) -> Callable[[int, torch.Tensor], None]:
    """What saves the prediction of image number n in a folder."""
    names, label_ids = prediction_names(val), label_ids_of(dataset)

    def save(number: int, prediction: torch.Tensor) -> None:
        save_prediction(folder / names[number], prediction.cpu().numpy(), label_ids)

    return save


@torch.inference_mode()
def _predictions(
    model: SeMaskFPN,
    samples: EvaluationSet,
    count: int,
    settings: EvaluationRecipe,
    device: torch.device,
    precision: str,
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, label and prediction of some images, spread evenly over the split."""
    drawn = []
    for index in np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int)):
        example = samples[index]
        label = example.label
        size = (label.shape[0], label.shape[1])
        shown, _ = next(example.inputs(device))
        with computing.autocast(device, precision):
            predicted = predict(model, shown, size, settings.sliding_window)
        picture = read_image(samples.pairs[index][0])[:, :, ::-1]
        drawn.append((picture, label.numpy(), predicted[0].cpu().numpy()))
    return drawn

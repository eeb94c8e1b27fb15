"""The evaluation stage: scores of a run's kept weights, and a look at its predictions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from semask import device as devices
from semask import provenance
from semask.data.loading import EvaluationSet, evaluation_images, read_image
from semask.drawing import contact_sheet
from semask.errors import InputError
from semask.evaluation import evaluate, predict, scores
from semask.files import sha256
from semask.model import SeMaskFPN, build
from semask.records import write_record


def score_run(
    trained: Mapping[str, Any],
    *,
    weights: Mapping[str, Path],
    val: Mapping[str, Any],
    root: Path,
    labels: Path,
    workers: int,
    predictions: int,
    pictures: Path,
    record: Path,
) -> None:
    """Evaluate the best and the last weights of a full run on the validation split.

    Args:
        trained: the run's record.
        weights: files of the weights `best` and `last`.
        val: manifest of the validation split.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
        workers: data loading processes.
        predictions: number of images to draw.
        pictures: PNG to draw them to: image, label and prediction of the last weights.
        record: file of the record.

    Raises:
        InputError: a weights file is not the one that the record speaks of, or is damaged.
    """
    started = provenance.now()
    row, recipe = trained["row"], trained["recipe"]
    device = devices.set_up(row["device"], row["threads"])
    num_classes = recipe["model"]["num_classes"]
    iterations = {
        "best": trained["figures"]["best"]["iteration"],
        "last": trained["figures"]["last"]["iteration"],
    }
    samples = EvaluationSet(val, root, labels)
    found: dict[str, Any] = {}
    for name, path in weights.items():
        model = load_model(recipe["model"], path, trained["weights_digest"][name])
        devices.place(model, device)
        confusion = evaluate(
            model,
            evaluation_images(
                samples,
                rank=0,
                world_size=1,
                workers=workers,
                pin_memory=devices.wants_pinned_memory(device),
            ),
            num_classes=num_classes,
            device=device,
            precision=recipe["training"]["precision"],
        )
        of_weights = scores(confusion)
        found[name] = {
            "iteration": iterations[name],
            **vars(of_weights),
            "confusion": confusion.tolist(),
        }
    drawn = _predictions(model, samples, predictions, device, recipe["training"]["precision"])
    contact_sheet(drawn, pictures, num_classes)
    write_record(
        record,
        "evaluate",
        **{key: trained[key] for key in ("experiment", "row", "mode", "seed", "recipe")},
        data_fingerprint=val["fingerprint"],
        weights_digest=trained["weights_digest"],
        device=devices.describe(row["device"]),
        run=provenance.describe_run("workflow_scripts.evaluate", started),
        figures={**found, "images": len(samples), "train_record_digest": trained["digest"]},
    )


def load_model(recipe: Mapping[str, Any], path: Path, digest: str) -> SeMaskFPN:
    """Model of a recipe with the weights of a file, in evaluation mode.

    Args:
        recipe: the part `model` of a record's recipe.
        path: weights that training kept.
        digest: their SHA-256.

    Raises:
        InputError: the file is missing, damaged, or not the one with that digest.
    """
    remedy = "run its training again, or restore the file"
    try:
        if sha256(path) != digest:
            raise InputError(f"{path}: not the weights that the record speaks of; {remedy}")
        state = load_file(path)
    except (OSError, SafetensorError) as fault:
        raise InputError(f"{path}: cannot be read ({fault}); {remedy}") from fault
    model = build(**recipe)
    model.load_state_dict(state)
    return model.eval()


@torch.inference_mode()
def _predictions(
    model: SeMaskFPN, samples: EvaluationSet, count: int, device: torch.device, precision: str
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image, label and prediction of some images, spread evenly over the split."""
    drawn = []
    for index in np.unique(np.linspace(0, len(samples) - 1, count).round().astype(int)):
        image, label = samples[index]
        with devices.autocast(device, precision):
            predicted = predict(model, image[None].to(device), (label.shape[0], label.shape[1]))
        picture = read_image(samples.pairs[index][0])[:, :, ::-1]
        drawn.append((picture, label.numpy(), predicted[0].cpu().numpy().astype(np.uint8)))
    return drawn

"""The recipe: everything that decides what is computed, under the names of the config."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from semask.data.transforms import Augmentation
from semask.errors import InputError
from semask.files import digest_of


@dataclass(frozen=True)
class ModelRecipe:
    variant: str
    num_classes: int
    semantic_attention: tuple[str, ...]
    drop_path: float
    norm: str


@dataclass(frozen=True)
class TrainingRecipe:
    """Training settings with every choice made.

    `iterations` is the length of this run, `global_batch` the images per iteration over all
    processes, `evaluate_every` None where the run does not evaluate.
    """

    iterations: int
    evaluate_every: int | None
    global_batch: int
    learning_rate: float
    weight_decay: float
    warmup_iterations: int
    warmup_ratio: float
    precision: str
    shuffle_labels: bool
    augmentation: Augmentation


@dataclass(frozen=True)
class Recipe:
    dataset: str
    model: ModelRecipe
    training: TrainingRecipe

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def digest(self) -> str:
        return digest_of(self.as_dict())


def resolve(
    config: Mapping[str, Any], *, mode: str, processes: int, training_images: int
) -> Recipe:
    """Make every choice that the config leaves open for one run.

    Args:
        config: the parts dataset (its name), model, training and performance of the config.
        mode: full or performance.
        processes: number of training processes.
        training_images: size of the training split, which turns epochs into iterations.

    Raises:
        InputError: the batch does not divide among the processes.
    """
    training = dict(config["training"])
    batch = training.pop("batch")
    epochs = training.pop("epochs")
    global_batch = global_batch_of(batch, processes)
    if epochs is not None:
        training["iterations"] = math.ceil(epochs * training_images / global_batch)
    if mode == "performance":
        training["iterations"] = config["performance"]["iterations"]
        training["evaluate_every"] = None
    return Recipe(
        dataset=config["dataset"],
        model=ModelRecipe(**_tuples(config["model"])),
        training=TrainingRecipe(
            **{
                **training,
                "global_batch": global_batch,
                "augmentation": Augmentation(**_tuples(training["augmentation"])),
            }
        ),
    )


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def global_batch_of(batch: Mapping[str, Any], processes: int) -> int:
    """Images per iteration over all processes.

    Raises:
        InputError: a batch of the run that the processes cannot share evenly.
    """
    if batch["per"] == "device":
        return int(batch["size"]) * processes
    if batch["size"] % processes:
        raise InputError(
            f"training.batch.size: {batch['size']} images per run do not divide among "
            f"{processes} processes; use a multiple of {processes}, or `per: device`"
        )
    return int(batch["size"])


def differing_keys(a: Mapping[str, Any], b: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the keys whose values differ between two nested mappings, sorted."""
    names = []
    for key in sorted({*a, *b}):
        left, right = a.get(key), b.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            names += differing_keys(left, right, f"{prefix}{key}.")
        elif left != right:
            names.append(f"{prefix}{key}")
    return names

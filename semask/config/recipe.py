"""The recipe: everything that decides what is computed, under the names of the config."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from semask.base.errors import InputError
from semask.base.files import digest_of
from semask.data.transforms import Augmentation


@dataclass(frozen=True)
class ModelRecipe:
    variant: str
    num_classes: int
    semantic_attention: tuple[str, ...]
    drop_path: float
    norm: str
    pretrained: str | None  # sha256:… of the file that training starts from


@dataclass(frozen=True)
class PortFaults:
    """Faults of the Ascend port that are reproduced on purpose; all off in its original."""

    drop_path_never_fires: bool
    decay_everything: bool
    fixed_loss_scale: float | None
    fast_gelu: bool


@dataclass(frozen=True)
class TrainingRecipe:
    """Training settings with every choice made.

    `iterations` is the length of this run, `global_batch` the images per iteration over all
    processes, `accumulation` the passes in which each process takes its share of them through the
    network, `evaluate_every` None where the run does not evaluate.
    """

    iterations: int
    evaluate_every: int | None
    global_batch: int
    accumulation: int
    learning_rate: float
    weight_decay: float
    warmup_iterations: int
    warmup_ratio: float
    precision: str
    hard_pixels: int | None
    shuffle_labels: bool
    augmentation: Augmentation


@dataclass(frozen=True)
class Numerics:
    """What devices could compute in several ways.

    `reduced_matmul` and `reduced_convolution` allow fp32 products of fewer bits (TF32 on GPU, HF32
    on NPU; a CPU has none). With `shared_chance` what is random in the forward pass is drawn on
    the host, the same for every device and any number of processes.
    """

    gelu: str
    reduced_matmul: bool
    reduced_convolution: bool
    deterministic: bool
    shared_chance: bool


@dataclass(frozen=True)
class SlidingWindow:
    size: tuple[int, int]  # height, width
    stride: tuple[int, int]  # height, width


@dataclass(frozen=True)
class EvaluationRecipe:
    """How images are scored, which decides which weights are the best ones.

    Images are fitted into `scale` (width, height); None for `sliding_window` shows them whole.
    """

    scale: tuple[int, int]
    sliding_window: SlidingWindow | None


@dataclass(frozen=True)
class Execution:
    """How a row's computation is run. It changes speed and memory, and results by rounding only.

    Compiled dropout draws other random numbers, of the same distribution.
    """

    compile: bool
    fused_attention: bool
    checkpointing: bool

    def model_settings(self) -> dict[str, bool]:
        """What of it `semask.model.build` is to be given."""
        return {"fused_attention": self.fused_attention, "checkpointing": self.checkpointing}


def execution_on(device: str, config: Mapping[str, Sequence[str]]) -> Execution:
    """How a row of a device is run: the config names the devices that each setting is for."""
    return Execution(**{key: device in devices for key, devices in config.items()})


@dataclass(frozen=True)
class Recipe:
    dataset: str
    model: ModelRecipe
    training: TrainingRecipe
    numerics: Numerics
    port_faults: PortFaults
    evaluation: EvaluationRecipe

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def digest(self) -> str:
        return digest_of(self.as_dict())


def model_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The model's settings of a config or a recipe, less the weights that training starts from."""
    return {key: value for key, value in settings["model"].items() if key != "pretrained"}


def build_settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What `semask.model.build` is to be given for a recipe in the form that records hold."""
    settings = model_of(recipe)
    faults = recipe["port_faults"]
    if faults["drop_path_never_fires"]:
        settings["drop_path"] = 0.0
    settings["gelu"] = "fast" if faults["fast_gelu"] else recipe["numerics"]["gelu"]
    return settings


ANY_IMAGES = 1000
"""Of training, where single steps count: the number only decides how many iterations there are."""


def resolve(
    config: Mapping[str, Any],
    *,
    mode: str,
    processes: int,
    training_images: int,
    pretrained: str | None = None,
) -> Recipe:
    """Make every choice that the config leaves open for one run, of mode full or performance.

    Of `config` it takes dataset (its name), model, training, numerics, port_faults, performance and
    evaluation (scale, sliding_window). The size of the training split turns epochs into iterations.
    `pretrained` is `sha256:` and the digest of the weights that training starts from, by which the
    recipe knows them, whatever the config calls their file. InputError for a batch that the
    processes cannot share.
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
    training["global_batch"] = global_batch
    training["accumulation"] = accumulation_of(batch, processes)
    training["augmentation"] = Augmentation(**_tuples(training["augmentation"]))
    return Recipe(
        dataset=config["dataset"],
        model=ModelRecipe(**{**_tuples(config["model"]), "pretrained": pretrained}),
        training=TrainingRecipe(**training),
        numerics=Numerics(**config["numerics"]),
        port_faults=PortFaults(**config["port_faults"]),
        evaluation=evaluation_recipe(config["evaluation"]),
    )


def evaluation_recipe(settings: Mapping[str, Any]) -> EvaluationRecipe:
    """The evaluation's part of a recipe, from the config's key or from that of a record."""
    window = settings["sliding_window"]
    return EvaluationRecipe(
        scale=tuple(settings["scale"]),
        sliding_window=None if window is None else SlidingWindow(**_tuples(window)),
    )


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def global_batch_of(batch: Mapping[str, Any], processes: int) -> int:
    """Images per iteration over all processes; InputError where some would have none."""
    if batch["per"] == "device":
        return int(batch["size"]) * processes
    if batch["size"] < processes:
        raise InputError(
            f"training.batch.size: {batch['size']} images per run are too few for {processes} "
            f"processes; use at least {processes}, or `per: device`"
        )
    return int(batch["size"])


def accumulation_of(batch: Mapping[str, Any], processes: int) -> int:
    """Passes per iteration, the same for all processes, of at most `micro_batch` images each.

    InputError where shares differ and the smallest of them has fewer images than passes.
    """
    images = global_batch_of(batch, processes)
    if batch["micro_batch"] is None:
        return 1
    passes = -(-images // (processes * batch["micro_batch"]))
    if images // processes < passes:
        raise InputError(
            f"training.batch.micro_batch: {batch['micro_batch']} makes {passes} passes, and some "
            f"of {processes} processes have {images // processes} of {images} images; use more, or "
            f"a batch that is a multiple of {processes}"
        )
    return passes


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

"""What an experiment costs: memory of a step, work of a row, hours; see docs/cost.md."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode

from semask.base.errors import InputError
from semask.base.records import read_record
from semask.comparison import FORWARDS_PER_STEP
from semask.config.recipe import Recipe, SlidingWindow, build_settings, model_of, resolve
from semask.config.repeats import seeds_of
from semask.data import sets
from semask.data.loading import SINGLE_SCALE, View, multi_scale_views
from semask.data.manifest import read_manifest
from semask.data.transforms import scaled_size
from semask.devices.computing import REDUCED
from semask.evaluation.prediction import window_places
from semask.model import SeMaskFPN
from semask.model.facts import gmac, on_meta

# the weight, its gradient and AdamW's two moments, in fp32 whatever the precision
BYTES_PER_PARAMETER = 16
_TYPICAL_SIZE = (640, 480)  # width, height of an image where those of a data set differ
_PRODUCTS = (F.linear, F.conv2d, torch.matmul, Tensor.matmul, Tensor.__matmul__)
# autocast of CUDA and NPU computes these in fp32; that of a CPU none of them
_KEPT_IN_FULL = (F.layer_norm, F.softmax, torch.softmax, Tensor.softmax, F.interpolate)


class Autocast(TorchFunctionMode):
    """Casts as autocast does, on torch's meta device, which has none.

    Products are computed in `dtype`, to which their weights are cast once, `in_full` in fp32.
    """

    def __init__(self, dtype: torch.dtype, in_full: Sequence[Any] = _KEPT_IN_FULL) -> None:
        super().__init__()
        self.dtype, self.in_full = dtype, in_full
        self._weights: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _PRODUCTS or func in self.in_full:
            to = self.dtype if func in _PRODUCTS else torch.float32
            args = [self._cast(x, to) for x in args]
            kwargs = {key: self._cast(x, to) for key, x in kwargs.items()}
        return func(*args, **kwargs)

    def _cast(self, x: Any, to: torch.dtype) -> Any:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            return x
        if isinstance(x, nn.Parameter) and x.dtype != to:
            return self._weights.setdefault(id(x), x.to(to))
        return x.to(to)


def saved_bytes(
    model: SeMaskFPN, crop: tuple[int, int], batch: int, casts: AbstractContextManager[Any]
) -> int:
    """Bytes that autograd keeps of the forward pass and the loss for the backward pass.

    Every piece of memory counts once, however many operators keep it; parameters and buffers of the
    model, which is in training mode, do not count. `crop` is height and width; `casts` is the
    context of the forward pass: autocast, or one that does nothing.
    """
    device = next(model.parameters()).device
    own = {x.untyped_storage()._cdata for x in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Tensor] = {}  # tensors, so that no address is used twice

    def keep(x: Tensor) -> Tensor:
        kept[x.untyped_storage()._cdata] = x
        return x

    with saved_tensors_hooks(keep, lambda x: x), casts:
        logits = model(torch.zeros(batch, 3, *crop, device=device))
    # the loss keeps their gradients
    of_loss = sum(x.nbytes for x in logits)
    return of_loss + sum(x.untyped_storage().nbytes() for key, x in kept.items() if key not in own)


class Memory(NamedTuple):
    """Bytes of a training step of any batch."""

    parameters: int  # with gradients and moments
    constant: int  # of the activations: weights in the products' precision, statistics
    per_image: int

    def of(self, batch: int) -> int:
        """Bytes with `batch` images in a pass."""
        return self.parameters + self.constant + batch * self.per_image


def training_memory(settings: Mapping[str, Any], crop: tuple[int, int], precision: str) -> Memory:
    """Memory that training a model takes on an accelerator, counted without running it.

    Weights, gradients, moments of AdamW and what autograd keeps, the loss's part included. Not
    counted: gradients of activations on their way back, workspaces, fragmentation, what the
    framework and its collectives hold. `settings` are of `semask.model.build`, `crop` is height and
    width, `precision` fp32, bf16 or fp16.

    Raises:
        InputError: the settings are not those of a model.
    """
    model = on_meta(settings).train()
    casts = nullcontext() if precision == "fp32" else Autocast(REDUCED[precision])
    # not of one image: a window that is the whole of it is no copy
    two, three = (saved_bytes(model, crop, batch, casts) for batch in (2, 3))
    count = sum(x.numel() for x in model.parameters())
    return Memory(BYTES_PER_PARAMETER * count, 3 * two - 2 * three, three - two)


class Rate(NamedTuple):
    """How fast one device computes, as a run shows; None stands for any device and precision."""

    device: str | None
    precision: str | None
    processes: int
    variant: str
    fps: float  # images per second of all processes
    gmac_per_second: float  # of each

    def hours(self, work: float, processes: int) -> float:
        """Hours of `work` GMAC on so many such devices, none of which waits for another."""
        return work / (self.gmac_per_second * processes * 3600)


def rate_of(path: Path) -> Rate:
    """The rate that the record of a training run shows, loading of data included.

    Raises:
        InputError: `semask.base.records.read_record` refuses the record, or it is of a row with a
            planted fault.
    """
    record = read_record(path, "train")
    recipe, row = record["recipe"], record["row"]
    if "planted_fault" in row:
        raise InputError(
            f"{path}: of a row with a planted fault ({row['planted_fault']}), which says nothing "
            "of a device's speed; give the record of another row"
        )
    training, fps = recipe["training"], record["figures"]["speed"]["fps"]
    each = FORWARDS_PER_STEP * gmac_of(build_settings(recipe), *training["augmentation"]["crop"])
    return Rate(
        row["device"], training["precision"], row["processes"], recipe["model"]["variant"], fps,
        each * fps / row["processes"],
    )  # fmt: skip


def most_like(
    rates: Sequence[Rate], row: Mapping[str, Any], config: Mapping[str, Any]
) -> Rate | None:
    """Of some rates the one that is most like a row: its device and precision, or there is none."""
    kind = row["device"], config["training"]["precision"]
    like = [rate for rate in rates if (rate.device, rate.precision) in (kind, (None, None))]
    wanted = row["processes"], config["model"]["variant"]
    return min(like, key=lambda r: (r.processes != wanted[0], r.variant != wanted[1]), default=None)


class Work(NamedTuple):
    """GMAC of a row, all of its runs together."""

    training: float  # of the full runs
    evaluation: float  # on the way and at the end
    performance: float  # of the performance runs


def recipe_of(config: Mapping[str, Any], row: Mapping[str, Any], mode: str) -> Recipe:
    """The recipe of the runs of a row of an assembled configuration, in a mode.

    Raises:
        InputError: the row's processes cannot share the batch; the data set's size is not known.
    """
    images, name = _images(config, "train"), config["dataset"]["name"]
    settings = {**config, "dataset": name, "model": model_of(config)}
    return resolve(settings, mode=mode, processes=row["processes"], training_images=images)


def row_work(config: Mapping[str, Any], row: Mapping[str, Any]) -> Work:
    """The work of a row's runs; arguments and errors as those of `recipe_of`."""
    training, evaluation = {"full": 0.0, "performance": 0.0}, 0.0
    for mode in row["modes"]:
        recipe = recipe_of(config, row, mode)
        runs = len(seeds_of(config, row, mode))
        images = recipe.training.iterations * recipe.training.global_batch * runs
        each = gmac_of(build_settings(recipe.as_dict()), *recipe.training.augmentation.crop)
        training[mode] = images * FORWARDS_PER_STEP * each
        if mode == "full":
            evaluation = runs * _evaluation_work(config, recipe)
    return Work(training["full"], evaluation, training["performance"])


def _evaluation_work(config: Mapping[str, Any], recipe: Recipe) -> float:
    """GMAC of a full run's evaluations: those on the way, the best and the last, the views."""
    settings = build_settings(recipe.as_dict())
    scale, window = recipe.evaluation.scale, recipe.evaluation.sliding_window
    every = recipe.training.evaluate_every
    on_the_way = math.ceil(recipe.training.iterations / every) if every else 0
    views: list[View] = [*SINGLE_SCALE] * (on_the_way + 2)
    several = config["evaluation"]["multi_scale"]
    if several is not None:
        views += multi_scale_views(several["ratios"], several["flip"])
    shown = [scaled_size(*_size(config), scale, view.ratio) for view in views]
    each = sum(_view_gmac(settings, size, window) for size in shown)
    return _images(config, "val") * each


def _view_gmac(
    settings: Mapping[str, Any], size: Sequence[int], window: SlidingWindow | None
) -> float:
    width, height = size
    if window is None:
        return gmac_of(settings, height, width)
    places = window_places(height, width, window)
    rows, columns = places[0]  # all are of one size
    return len(places) * gmac_of(settings, rows.stop - rows.start, columns.stop - columns.start)


def gmac_of(settings: Mapping[str, Any], height: int, width: int) -> float:
    """GMAC of one image forward through the model of some settings of `semask.model.build`."""
    return _gmac_of(json.dumps(dict(settings), sort_keys=True), height, width)


@cache
def _gmac_of(settings: str, height: int, width: int) -> float:
    return gmac(on_meta(json.loads(settings)), height, width)["total"]


def _images(config: Mapping[str, Any], split: str) -> int:
    """Images of a split: those in its manifest, or as published, or as the config has them made."""
    name = config["dataset"]["name"]
    manifest = Path(config["dataset"]["labels"], f"{split}.json")
    if manifest.is_file():
        return len(read_manifest(manifest)["files"])
    published, made = sets.load(name).IMAGES, config["dataset"].get(name)
    if not published and not made:
        raise InputError(f"dataset.name: {name}: nothing is published of it; give another one")
    return published[split] if published else sum(made["cities"][split].values())


def _size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of an image, typical ones where they differ."""
    name = config["dataset"]["name"]
    made = config["dataset"].get(name)
    return (made["width"], made["height"]) if made else sets.load(name).SIZE or _TYPICAL_SIZE

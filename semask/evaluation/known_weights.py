"""What a file of weights is to be used as: the model that it is of, and how images are shown to it.

Weights alone do not say it. A run's record does, so does an export of ours; of a released
checkpoint the experiment does that is shipped for its data set.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import semask
from semask.base.errors import InputError
from semask.base.files import sha256
from semask.base.records import read_record
from semask.config.checks import check_config
from semask.config.layers import assemble, read_layer, variant_names
from semask.config.recipe import EvaluationRecipe, Numerics, build_settings, evaluation_recipe
from semask.data import sets
from semask.evaluation.weight_files import read_state_dict
from semask.model import size_of

_CHECKOUT: Final = Path(semask.__file__).parents[1]
# of what checkpoints were released
_SHIPPED: Final = ("cityscapes", "ade20k", "coco_stuff10k")
_KEPT: Final = ("best.safetensors", "last.safetensors")


class Use(NamedTuple):
    """How a file of weights is used."""

    source: str  # what says so
    dataset: sets.DataSet
    model: Mapping[str, Any]  # settings of `semask.model.build`
    numerics: Numerics
    precision: str
    evaluation: EvaluationRecipe


def use_of(
    weights: Path,
    record: Path | None = None,
    overlays: Sequence[Path] = (),
    variant: str | None = None,
) -> Use:
    """How a file of weights is used, by the record of the run that kept them, or by an experiment.

    Without a record train.json beside the weights is looked for. Overlays over config.yaml, and
    their variant, say all where they are given.

    Raises:
        InputError: a file cannot be read, the record is of other weights, or nothing says what
            the weights are of.
    """
    if overlays:
        return _of_experiment(overlays, variant, ", ".join(map(str, overlays)))
    is_given = record is not None
    if record is None and (beside := weights.with_name("train.json")).is_file():
        record = beside
    if record is not None and weights.is_file():
        found = _record(record)
        if sha256(weights) in found["weights_digest"].values():
            return _of_recipe(found["recipe"], str(record))
        # beside a run's own files may lie others
        if is_given or weights.name in _KEPT:
            raise InputError(
                f"{weights}: not the weights that {record} speaks of; give --train-record of "
                "theirs, or --configfile of their experiment"
            )
    content = read_state_dict(weights)
    ours = content.get("meta")
    ours = ours.get("semask_bench") if isinstance(ours, Mapping) else None
    if isinstance(ours, Mapping):
        return _of_recipe(ours.get("recipe"), f"{weights}, which was exported from a run")
    return _of_released(content, weights)


def _record(path: Path) -> dict[str, Any]:
    try:
        return read_record(path, "train")
    except InputError as fault:
        # nobody who only wants to predict is to delete a record and train again
        what = str(fault).partition("; delete ")[0]
        raise InputError(f"{what}; give --configfile of the weights' experiment") from None


def _of_recipe(recipe: Any, source: str) -> Use:
    try:
        use = Use(
            source,
            sets.load(recipe["dataset"]),
            build_settings(recipe),
            Numerics(**recipe["numerics"]),
            recipe["training"]["precision"],
            evaluation_recipe(recipe["evaluation"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        raise InputError(
            f"{source}: its recipe is damaged ({type(fault).__name__}: {fault}); give --configfile "
            "of the weights' experiment"
        ) from None
    classes, known = use.model.get("num_classes"), len(use.dataset.CLASSES)
    if classes != known:
        raise InputError(
            f"{source}: model.num_classes is {classes}, its data set has {known}; give "
            "--configfile of the weights' experiment"
        )
    return use


def _of_experiment(overlays: Sequence[Path], variant: str | None, source: str) -> Use:
    layers = [read_layer(path) for path in (_CHECKOUT / "config.yaml", *overlays)]
    config = assemble(layers, variant)
    check_config(config, _CHECKOUT / "schemas" / "config.schema.yaml")
    return _of_recipe({**config, "dataset": config["dataset"]["name"]}, source)


def _of_released(content: Mapping[str, Any], weights: Path) -> Use:
    advice = (
        "give --train-record of the run that kept them, or --configfile of their experiment, with "
        "--variant if it has several"
    )
    size = size_of(content)
    if size is None:
        raise InputError(f"{weights}: not the weights of a SeMask-FPN; {advice}")
    variant, num_classes = size
    for name in _SHIPPED:
        overlay = _CHECKOUT / "experiments" / f"{name}.yaml"
        if len(sets.load(name).CLASSES) == num_classes and variant in variant_names(
            [read_layer(overlay)]
        ):
            source = f"experiments/{name}.yaml, by {num_classes} classes and the size {variant}"
            return _of_experiment([overlay], variant, source)
    raise InputError(
        f"{weights}: of size {variant} with {num_classes} classes, for which no experiment is "
        f"shipped; {advice}"
    )

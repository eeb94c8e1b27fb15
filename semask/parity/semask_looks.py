"""The looks at a row of SeMask-FPN, in float32 and in the recipe's precision."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from semask.config.recipe import Execution, Recipe
from semask.data.inputs import network_input
from semask.data.loading import shares
from semask.devices import computing, distributed, planted, progress, setup
from semask.devices.shared_chance import SharedChance, chance_of
from semask.parity import chance, data, looks, steps, subject
from semask.parity.looks import Keep
from semask.parity.places import Place

# of chance: small images, many of them
_DRAWN = 256, (32, 32)
_FEWEST = 2  # passes of a process, to be held against each other


@dataclass(frozen=True)
class Asked:
    """What all looks at a row's device are told."""

    execution: Execution  # how the row trains
    row: Mapping[str, Any]  # device, processes, threads; planted_fault, in the device alone
    device: torch.device  # of this process
    seed: int  # of weights, inputs and moves
    size: tuple[int, int]  # height and width of the synthetic images
    batch: int  # how many these are


def look_at_row(
    recipe: Recipe,
    asked: Asked,
    *,
    count: int,
    keep: Keep,
    only: Sequence[str] = ("semantics", "precision", "chance"),
    first_batches: Callable[[], list[data.Digests]] = list,
) -> None:
    """Run the looks at a device, bound by `semask.devices.setup.set_up`.

    With several processes all take the steps and draw at random, and the first one does the rest.

    Args:
        recipe: that the row trains, for one process.
        asked: by all looks.
        count: of single steps.
        keep: takes the name of a look and what it found, as soon as it is there.
        only: `semantics` (modules and steps in float32), `precision` (modules and steps as the
            recipe has them), `data`, `chance`.
        first_batches: see `semask.parity.data.batches`.
    """
    kinds = {"semantics": subject.plain(recipe), "precision": recipe}
    for name, chosen in kinds.items():
        if name not in only or (name == "precision" and chosen == kinds["semantics"]):
            continue
        setup.apply_numerics(chosen.numerics, asked.row["device"])
        computing.check_precision(asked.device, chosen.training.precision)
        if distributed.rank() == 0:
            looks.part(f"{name}: modules", keep, partial(_modules, chosen, asked))
        else:
            progress.mark("taking a step")  # beyond the first process, for which it waits
        if count:
            distributed.barrier()  # the first process has looked at modules, for minutes perhaps
            look = partial(_steps, chosen, asked, count)
            looks.part(part := f"{name}: steps", keep, partial(looks.together, part, look))
    setup.apply_numerics(recipe.numerics, asked.row["device"])
    if "data" in only and distributed.rank() == 0:
        painted = partial(data.painted, recipe.training.augmentation, asked.device, asked.seed)
        looks.part("data", keep, lambda: data.found(painted(), first_batches()))
    if "chance" in only:
        looks.part("chance", keep, lambda: _chance(recipe, asked))


def _floor_of(recipe: Recipe, device: str) -> str:
    if recipe.training.precision != "fp32":
        return recipe.training.precision
    numerics = recipe.numerics
    reduced = numerics.reduced_matmul or numerics.reduced_convolution
    return "tf32" if reduced and device != "cpu" else "fp32"


def _modules(recipe: Recipe, asked: Asked) -> dict[str, Any]:
    device, seed = asked.device, asked.seed
    reference = subject.reference_training(recipe, seed)
    fault = asked.row.get("planted_fault")
    model = subject.device_training(recipe, asked.execution, reference, device, fault)
    place = Place(model, device, torch.float32, recipe.training.precision)
    floor_of = _floor_of(recipe, asked.row["device"])

    def inputs_of(number: int) -> tuple[looks.Run, looks.Run, Sequence[Tensor]]:
        made = subject.batch(recipe, asked.batch, asked.size, number)
        images, labels = network_input(made.images), made.labels

        def run(shown: Tensor, labelled: Tensor, module: nn.Module) -> Tensor:
            loss: Tensor = module(shown.to(next(module.parameters()).dtype), labelled)
            return loss

        on_device = partial(run, images.to(device), labels.to(device))
        return partial(run, images, labels), on_device, [images, labels]

    return looks.modules_and_whole(reference, place, inputs_of, floor_of=floor_of, seed=seed)


def _steps(recipe: Recipe, asked: Asked, count: int) -> dict[str, Any]:
    row, seed, images = asked.row, asked.seed, max(asked.batch, asked.row["processes"])
    floor_of = _floor_of(recipe, row["device"])
    training = replace(recipe.training, global_batch=images, accumulation=1)
    recipe = replace(recipe, training=training)
    model, chosen, stepper = subject.stepper(recipe, asked.execution, asked.device, row, seed)
    batches = [subject.batch(chosen, images, asked.size, seed + i) for i in range(count)]
    found = steps.look(model, stepper, chosen, batches, floor_of=floor_of, seed=seed)
    return {} if found is None else asdict(found)


def _chance(recipe: Recipe, asked: Asked) -> dict[str, Any]:
    """What all processes draw; the first one alone compares it, the others find nothing."""
    own = looks.of_all(lambda: _draws(recipe, asked))
    if distributed.rank() > 0:
        return {}
    expected, _, _ = own[0]
    defined = [of for _, _, of in own if of is not None]
    passes = [of for _, of, _ in own]
    return looks.chance_found(chance.look(expected, *passes, defined=defined))


def _draws(
    recipe: Recipe, asked: Asked
) -> tuple[chance.Drawn, list[chance.Drawn], chance.Drawn | None]:
    """The reference's sites, this process's passes, and the first of them by shared chance."""
    images, size = _DRAWN
    device, seed = asked.device, asked.seed
    shared, processes = recipe.numerics.shared_chance, distributed.world_size()
    (samples,) = shares(images * processes, distributed.rank(), processes, 1)
    setup.seed_everything(seed)  # as a run's processes are, each with a stream of its own
    model = subject.as_trained(recipe, seed)
    made = network_input(subject.batch(recipe, images, size, seed).images)
    expected = chance.draw(model, lambda m: m(made[:2]), times=1)[0]
    defined = None
    if shared:
        (defined,) = chance.draw(
            model, lambda m: m(made), 1, lambda i: SharedChance(seed, i, samples)
        )
    computing.place(model, device)
    planted.plant_in_model(asked.row.get("planted_fault"), model)
    there = made.to(device)
    # all of them together draw as much as one would
    times = max(_FEWEST, chance.DRAWS // processes)
    passes = chance.draw(
        model, lambda m: m(there), times, lambda i: chance_of(shared, seed, i, samples)
    )
    return expected, passes, defined

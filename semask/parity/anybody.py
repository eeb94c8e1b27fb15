"""The looks at somebody's own model: any module, the shapes of its inputs, and a loss."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.utils._pytree import tree_leaves

from semask.base import compat  # noqa: F401  (before timm, which the model may be of)
from semask.base.errors import InputError
from semask.devices import computing
from semask.parity import chance, looks, reference
from semask.parity.calls import is_floating
from semask.parity.looks import Keep
from semask.parity.places import Place


def named(name: str, option: str) -> Callable[..., Any]:
    """The function that `package.module:function` names.

    Raises:
        InputError: there is no such thing, it is no function, or its module cannot be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except ImportError as fault:
        raise InputError(
            f"{option} {name}: {fault}; give package.module:function, with the package's folder "
            "on PYTHONPATH"
        ) from fault
    except (AttributeError, ValueError, TypeError) as fault:
        raise InputError(
            f"{option} {name}: {module or 'nothing'} has no {attribute or 'function given'}; give "
            "package.module:function"
        ) from fault
    except (Exception, SystemExit) as fault:  # it is somebody's code
        raise InputError(f"{option} {name}: {module} cannot be imported: {_said(fault)}") from fault
    if not callable(function):
        raise InputError(
            f"{option} {name}: {type(function).__name__}, no function; give package.module:function"
        )
    return cast(Callable[..., Any], function)


def made(factory: Callable[[], Any], name: str, seed: int) -> nn.Module:
    """A model in float64 on the CPU, in training mode.

    Raises:
        InputError: the factory fails, or returns something else, or a model that cannot be copied
            or whose parameters have no values yet or are complex.
    """
    torch.manual_seed(seed)
    try:
        model = factory()
    except (Exception, SystemExit) as fault:  # it is somebody's code
        raise InputError(f"--model {name}: {_said(fault)}") from fault
    if not isinstance(model, nn.Module):
        raise InputError(
            f"--model {name}: returned {type(model).__name__}, not a torch.nn.Module; give a "
            "function without arguments that returns the model"
        )
    for path, parameter in model.named_parameters():
        if isinstance(parameter, UninitializedParameter) or parameter.is_complex():
            kind = "complex" if parameter.is_complex() else "without values until a first call"
            raise InputError(f"--model {name}: {path} is {kind}; give a model of real numbers")
    try:
        return deepcopy(model.cpu().double().train())
    except Exception as fault:  # on the meta device, or it holds what is somebody's own
        raise InputError(f"--model {name}: no copy of it can be made: {_said(fault)}") from fault


def _said(fault: BaseException) -> str:
    """A fault of somebody's code in a line."""
    return f"{type(fault).__name__}: {str(fault).partition(chr(10))[0]}"


def inner_product(seed: int) -> Callable[[Any], Tensor]:
    """A loss for any model: its outputs times numbers that are the same everywhere."""

    def loss(outputs: Any) -> Tensor:
        rng = np.random.default_rng([3, seed])
        total: Any = 0.0
        for leaf in tree_leaves(outputs):
            if is_floating(leaf):
                by = torch.from_numpy(rng.standard_normal(tuple(leaf.shape)) / leaf.numel() ** 0.5)
                wide = torch.promote_types(leaf.dtype, torch.float32)
                total = total + (leaf.to(wide) * by.to(leaf.device, wide)).sum()
        return total

    return loss


def look_at_model(
    model: nn.Module,
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
    *,
    loss: Callable[[Any], Tensor] | None = None,
    precision: str = "fp32",
    seed: int = 0,
    keep: Keep,
    sabotage: Callable[[nn.Module], None] = lambda model: None,
) -> None:
    """Run the looks at modules, the whole and chance.

    The model is float64 on the CPU, in training or whatever mode is to be shown; its inputs, of
    some shapes, are numbers in -2 … 2. Without a loss it is the product of the outputs with seeded
    numbers. Precision is fp32, bf16 or fp16 (autocast). `keep` takes the name of a look and what it
    found; `sabotage` changes the device's model: for tests of what the looks find.

    Raises:
        InputError: the model cannot take such inputs, or returns no tensor.
    """
    on_device = deepcopy(model).float()
    computing.place(on_device, device)
    sabotage(on_device)

    def inputs_of(number: int) -> Any:
        given = [reference.images(shape, number + i) for i, shape in enumerate(shapes)]
        judged = loss or inner_product(number)

        def run(where: torch.device, module: nn.Module) -> Tensor:
            kind = next((p.dtype for p in module.parameters()), torch.float32)
            return judged(module(*[x.to(where, kind) for x in given]))

        return partial(run, torch.device("cpu")), partial(run, device), given

    asked = "--input " + " ".join("x".join(map(str, shape)) for shape in shapes)
    try:
        on_cpu = inputs_of(seed)[0]
    except MemoryError:
        raise InputError(f"{asked}: more than this machine's memory") from None
    _try(deepcopy(model), on_cpu, asked, "--model" if loss is None else "--loss")
    place = Place(on_device, device, torch.float32, precision)
    looks.part(
        "modules",
        keep,
        lambda: looks.modules_and_whole(model, place, inputs_of, floor_of=precision, seed=seed),
    )

    def look_at_chance() -> dict[str, Any]:
        on_cpu, there, _ = inputs_of(seed)
        expected = chance.draw(deepcopy(model).float(), on_cpu, times=1)[0]
        return looks.chance_found(chance.look(expected, chance.draw(on_device, there)))

    looks.part("chance", keep, look_at_chance)


def _try(model: nn.Module, run: looks.Run, asked: str, option: str) -> None:
    """Raises InputError where the model cannot be run on the CPU, so that no device is blamed.

    `asked` says which inputs were asked for, `option` is the one that the loss is of.
    """
    try:
        found = run(model)
    except (Exception, SystemExit) as fault:  # it is somebody's code
        raise InputError(
            f"{asked}: the model{' or the loss' * (option == '--loss')} cannot take it, in "
            f"float64 on the CPU ({_said(fault)})"
        ) from fault
    if not isinstance(found, Tensor) or found.numel() != 1:
        raise InputError(
            "--loss: it returned no single floating number; give one that does"
            if option == "--loss"
            else "--model: it returned no tensor of floating numbers that a loss can be made of; "
            "give one that does, or --loss package.module:function"
        )
    if not found.isfinite().all():
        raise InputError(
            f"{option}: the loss is {float(found)}, which nothing can be compared with; give "
            "a model and a loss that are finite at numbers in -2 … 2"
        )
    if not found.requires_grad:
        raise InputError(
            "--model: no gradient flows from the loss to a parameter; give one that learns"
        )

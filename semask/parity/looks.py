"""All looks at a device: what each found is kept as soon as it is there."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from semask.base.errors import InputError
from semask.devices import distributed
from semask.parity import chance, modules, reference
from semask.parity.calls import Call, buffers_kept, capture
from semask.parity.places import Place, same_chance
from semask.parity.propagated import Propagated, propagate

Keep = Callable[[str, Any], None]
Run = Callable[[nn.Module], Tensor]
Found = TypeVar("Found")

_INPUTS = 3
"""A failure counts where it is there on so many inputs: a rectifier may lie at zero on one."""
_FAULTS = (RuntimeError, ValueError, NotImplementedError, MemoryError)
"""Of a device, or of a library on it: the looks go on."""
_PATIENCE = 30.0
"""Seconds in which what fails in every process, as for want of an operator, does so."""


def modules_and_whole(
    model: nn.Module,
    device: Place,
    inputs_of: Callable[[int], tuple[Run, Run, Sequence[Any]]],
    *,
    floor_of: str,
    seed: int,
) -> dict[str, Any]:
    """Look at every module by itself, and at the whole.

    The model is the reference, float64 on the CPU; its buffers are left as they were. `inputs_of`
    a seed are what calls a model on the CPU in float64 and returns the loss, likewise on the
    device, and what goes in, for the fingerprint. `floor_of` is a key of
    `semask.parity.modules.FLOORS`; the seed is of the inputs and of the honest computations' moves.

    Returns:
        `reference` (its fingerprint), `modules` (in the order of their end), `whole` (the
        device's and an honest pass's), `failed` and `guilty` (names; None where none is),
        `unequal` (outputs and gradients that had other bits in another pass of the device); and
        where the device ended the look half-way, in its place `stopped`, which says why and after
        how many modules.
    """
    first = inputs_of(seed)
    calls, fingerprint, whole, scale = _look_at_whole(model, device, first)
    order = [call.name for call in calls]
    parts = {call.name: [part.name for part in call.parts] for call in calls}
    looks: list[modules.ModuleLook] = []
    stopped: dict[str, str] = {}
    kinds = whole["device"].kinds
    try:
        for each in modules.look(calls, model, device, kinds, floor_of, seed, twice=True):
            looks.append(each)  # one by one: of those before a fault the rest is known
    except _FAULTS as fault:
        done = f"{len(looks)} of {len(order)} modules were looked at"
        stopped = {"stopped": f"{_said(fault)}; {done}"}
    failed = {each.name for each in looks if each.status == "failed"}
    for other in range(1, _INPUTS):
        if not failed:
            break
        given = inputs_of(seed + other)
        try:
            calls, _, again, _ = _look_at_whole(model, device, given)
            found = modules.look(
                calls, model, device, again["device"].kinds, floor_of, seed, only=failed
            )
            failed = {each.name for each in found if each.status == "failed"}
        except _FAULTS as fault:
            missed = f"{len(failed)} that failed were not looked at on other inputs"
            stopped.setdefault("stopped", f"{_said(fault)}; {missed}")
            failed = set()
    # a module that fails on one input and not on another is to be looked at, by people
    looks = [
        replace(each, status="looked at")
        if each.status == "failed" and each.name not in failed
        else each
        for each in looks
    ]
    guilty = [name for name in order if name in failed and not failed & {*_below(name, parts)}]
    return {
        "reference": fingerprint,
        "modules": [asdict(each) for each in looks],
        "whole": {name: pass_.as_dict() for name, pass_ in whole.items()},
        "failed": [name for name in order if name in failed],
        "guilty": guilty[0] if guilty else None,
        **(stopped or {"unequal": _unequal(whole["device"], device, first[1], scale)}),
    }


def _unequal(before: Propagated, device: Place, run: Run, scale: float) -> list[str]:
    """What has other bits in another pass of the device: an observation, which ends no look."""
    try:
        with torch.compiler.set_stance("force_eager"):
            return before.unequal(propagate([], {}, scale, device, run))
    except _FAULTS as fault:
        return [f"a pass that failed: {_said(fault)}"]


def _look_at_whole(
    model: nn.Module, device: Place, given: tuple[Run, Run, Sequence[Any]]
) -> tuple[list[Call], dict[str, Any], dict[str, Propagated], float]:
    on_cpu, on_device, inputs = given
    compiled = {path for path, m in device.model.named_modules() if m._compiled_call_impl}
    with buffers_kept(model):
        with same_chance():
            calls, loss, scale = capture(model, on_cpu, compiled.__contains__)
        fingerprint = reference.fingerprint(model, inputs, calls, loss)
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        model.zero_grad(set_to_none=True)
    # in a graph there are no calls to look at: what is compiled is taken as one, by itself
    with torch.compiler.set_stance("force_eager"):
        whole = {"device": propagate(calls, gradients, scale, device, on_device)}
    honest = Place(deepcopy(model).float(), torch.device("cpu"), precision=device.precision)
    whole["honest"] = propagate(calls, gradients, scale, honest, on_cpu)
    return calls, fingerprint, whole, scale


def _below(name: str, parts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for part in parts[name]:
        yield part
        yield from _below(part, parts)


def part(name: str, keep: Keep, look: Callable[[], Any]) -> None:
    """Run one look; one that fails half-way is kept with its reason, and the next is run.

    `keep` gets the finding under `name`.
    """
    begun = time.perf_counter()
    try:
        found = look()
    except _FAULTS as fault:
        keep(name, {"not_run": _said(fault)})
    else:
        keep(name, {**found, "seconds": time.perf_counter() - begun})


def together(name: str, look: Callable[[], Found]) -> Found:
    """Run a look in which the processes wait for each other.

    Where all fail, the fault is raised, and they can go on with the next look.

    Raises:
        InputError: this process failed, and others did not: they wait for it in a collective, from
            which nothing but the end of the job calls them back.
    """
    try:
        return look()
    except _FAULTS as fault:
        if not distributed.all_come(f"failed in {name}", _PATIENCE):
            own, of = distributed.rank() + 1, distributed.world_size()
            raise InputError(
                f"{name}: process {own} of {of} failed, and the others wait for it: "
                f"{_said(fault)}; see parity.size and parity.batch, or take "
                f"{name.partition(':')[0]} out of parity.looks"
            ) from fault
        raise


def of_all(look: Callable[[], Found]) -> list[Found]:
    """What every process finds, in their order: none waits for one that failed.

    Raises:
        RuntimeError: a process failed; its number, from 1, and why.
    """
    own: Found | None = None
    failed = ""
    try:
        own = look()
    except _FAULTS as fault:
        failed = _said(fault)
    gathered = distributed.gather_objects((own, failed))
    for process, (_, why) in enumerate(gathered, start=1):
        if why:
            raise RuntimeError(f"process {process}: {why}" if len(gathered) > 1 else why)
    return [cast(Found, found) for found, _ in gathered]


def _said(fault: BaseException) -> str:
    reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    return f"{type(fault).__name__}: {reason}"


def chance_found(sites: Sequence[chance.Site]) -> dict[str, Any]:
    """A look at chance as plain values."""
    faults = [
        f"site {site.number} ({site.module}): {site.function} {site.fault}"
        for site in sites
        if site.fault
    ]
    return {"sites": [asdict(site) for site in sites], "faults": faults}

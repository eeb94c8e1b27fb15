"""One of two processes of test_chance_of_two.py: looks at chance as RANK, into FOLDER.

A script, because a spawned process has to find its entry point by name.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from semask.base.errors import InputError
from semask.config.recipe import Execution, resolve
from semask.devices import distributed, setup
from semask.devices.shared_chance import SharedChance, chance_of
from semask.model import VARIANTS, decoder
from semask.parity import looks, semask_looks

ROW = {"device": "cpu", "processes": 2, "threads": 1}
PLAIN = Execution(compile=False, fused_attention=False, checkpointing=False)


def without_rank(seed: int) -> None:
    torch.manual_seed(seed)


def counted_in_each(
    shared: bool, seed: int, iteration: int, samples: Sequence[int]
) -> AbstractContextManager[Any]:
    return SharedChance(seed, iteration, range(len(samples)))


def seed_of_each(
    shared: bool, seed: int, iteration: int, samples: Sequence[int]
) -> AbstractContextManager[Any]:
    return SharedChance(seed + distributed.rank(), iteration, samples)


def failing_in_second(
    shared: bool, seed: int, iteration: int, samples: Sequence[int]
) -> AbstractContextManager[Any]:
    if distributed.rank() == 1:
        raise RuntimeError("out of memory")
    return chance_of(shared, seed, iteration, samples)


def failing(fault: str) -> Callable[..., dict[str, Any]]:
    """A look at steps in which the second process fails, and the first one waits or fails, too."""

    def steps(*_: Any, **__: Any) -> dict[str, Any]:
        if fault == "one fails in steps" and distributed.rank() == 0:
            distributed.barrier()
        raise RuntimeError("out of memory")

    return steps


# by its name: whether chance is shared, how a process is seeded, and what a pass draws from
FAULTS: dict[str, tuple[bool, Callable[[int], None], Callable[..., Any]]] = {
    "none": (False, setup.seed_everything, chance_of),
    "one seed": (False, without_rank, chance_of),
    "shared, none": (True, setup.seed_everything, chance_of),
    "shared, counted in each": (True, setup.seed_everything, counted_in_each),
    "shared, a seed of each": (True, setup.seed_everything, seed_of_each),
    "one fails": (False, setup.seed_everything, failing_in_second),
}


if __name__ == "__main__":
    folder, rank, config = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
    os.environ.update(
        RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="0"
    )
    VARIANTS["nano"] = {"embed": 16, "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 8), "window": 7}
    decoder.CHANNELS = 16
    recipe = resolve(config, mode="full", processes=2, training_images=1000)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'rendezvous'}", rank=int(rank), world_size=2
    )
    found: dict[str, Any] = {}
    semask_looks._DRAWN = 64, (32, 32)
    asked = semask_looks.Asked(PLAIN, ROW, torch.device("cpu"), seed=0, size=(32, 32), batch=2)
    for fault, (shared, seeded, drawn) in FAULTS.items():
        setup.seed_everything, semask_looks.chance_of = seeded, drawn  # type: ignore[assignment]
        semask_looks.look_at_row(
            replace(recipe, numerics=replace(recipe.numerics, shared_chance=shared)), asked,
            count=0, keep=lambda _, of, fault=fault: found.update({fault: of}), only=("chance",),
        )  # fmt: skip
    semask_looks.chance_of = chance_of
    semask_looks._modules = lambda *_, **__: {}  # type: ignore[assignment]
    of_other = replace(recipe, training=replace(recipe.training, precision="bf16"))
    failures = {"all fail in steps": "semantics", "one fails in steps": "precision"}
    for fault, look in failures.items():
        if fault == "one fails in steps":
            looks._PATIENCE = 1.0
        semask_looks._steps = failing(fault)  # type: ignore[assignment]
        of: dict[str, Any] = {}
        found[fault] = of
        try:
            semask_looks.look_at_row(
                of_other, asked, count=1, keep=of.__setitem__, only=(look, "chance")
            )
        except InputError as error:
            (folder / "ended.txt").write_text(str(error), encoding="utf-8")
            os._exit(0)
    if rank == "0":
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    time.sleep(0.5)  # as `distributed.tear_down`; the other one may be gone
    torch.distributed.destroy_process_group()

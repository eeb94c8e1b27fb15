"""The processes of a run, one per device, as torchrun started them."""

import os
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from semask.base.errors import InputError

T = TypeVar("T")


def local_rank() -> int:
    """Index of this process on this machine, as the launcher gives it; 0 without a launcher."""
    return int(os.environ.get("LOCAL_RANK", 0))


def local_world_size() -> int:
    """Number of processes on this machine, as the launcher gives it; 1 without a launcher."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def all_reduce_mean(values: torch.Tensor) -> torch.Tensor:
    """Mean of `values` over the processes; the tensor itself with one process."""
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def all_reduce_counts(counts: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Sum of an int64 tensor of pixel counts over the processes, returned on the host.

    Sent as two int32 parts, the lower one of 24 bits so that 127 processes cannot overflow it:
    some back ends are slow with int64 and have no float64.
    """
    if world_size() == 1:
        return counts.cpu()
    base = 2**24
    parts = torch.stack([counts % base, counts // base]).to(device, torch.int32)
    dist.all_reduce(parts)
    low, high = parts.to("cpu", torch.int64)
    return low + high * base


def gather_objects(own: T) -> list[T]:
    """What each process has, in the order of the processes."""
    if world_size() == 1:
        return [own]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, own)
    return found


def all_come(name: str, seconds: float) -> bool:
    """Whether every process calls this with a name that was not used before, in so many seconds.

    It is no collective: the others may be within one.
    """
    if world_size() == 1:
        return True
    store = dist.distributed_c10d._get_default_store()
    store.set(f"{name}/{rank()}", "")
    try:
        store.wait([f"{name}/{n}" for n in range(world_size())], timedelta(seconds=seconds))
    except RuntimeError:  # they do not, or who keeps the store is gone
        return False
    return True


def share_from_first(tensors: Iterable[torch.Tensor]) -> None:
    """Have tensors hold what the first process's do: everywhere of the same shapes and order."""
    if world_size() == 1:
        return
    for tensor in tensors:
        # collectives want one block of memory
        whole = tensor.contiguous()
        dist.broadcast(whole, 0)
        tensor.copy_(whole)


def check_processes(expected: int, device: torch.device) -> None:
    """Check by a collective that as many processes take part as a record is going to say.

    InputError where they are more or fewer.
    """
    found = int(all_reduce_counts(torch.ones(1, dtype=torch.int64, device=device), device))
    if found != expected:
        raise InputError(
            f"{found} process{'es take' if found > 1 else ' takes'} part, and the row has "
            f"{expected}; start it by its workflow_scripts command, which launches as many"
        )


def barrier() -> None:
    """Wait for all processes to come here."""
    if world_size() > 1:
        dist.barrier()


def tear_down() -> None:
    """Leave the process group, if there is one.

    The destructor of gloo's group waits for gloo's threads while it holds Python's global lock,
    and those threads need that lock to drop the tensors of the last finished operation: without
    the pause, in which they get it, a run now and then never ended.
    """
    if dist.is_initialized():
        dist.barrier()
        time.sleep(0.5)
        dist.destroy_process_group()

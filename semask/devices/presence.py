"""Which devices there are on this machine, and taking some of them for a run."""

import os

from semask.base.errors import InputError
from semask.devices import locks, slurm
from semask.devices.backends import BACKENDS, AbsentError, counted, listed


def count(device: str) -> int:
    """Number of `device` on this machine that this process can use; 0 where there is none.

    A CPU is one device per core; asking for more processes than cores is allowed there.
    """
    try:
        return counted(device)
    except AbsentError:
        return 0


def require(device: str, processes: int, asked_by: str) -> None:
    """Check that `processes` of `device` can be used here; there is no fall-back to the CPU.

    Args:
        device: cpu, gpu or npu.
        processes: how many devices.
        asked_by: what in the config asks for them, for the message.

    Raises:
        InputError: the device is not there, or fewer of it than asked for.
    """
    if device == "cpu":
        return
    try:
        found = counted(device)
    except AbsentError as why:
        raise InputError(
            f"{asked_by}: device {device} is not present on this machine: {why}; or run this where "
            "the device is"
        ) from None
    if found < processes:
        raise InputError(
            f"{asked_by}: asks for {processes} {device} devices and {found} "
            f"{'is' if found == 1 else 'are'} here{listed(BACKENDS[device])}; lower `processes`, "
            "or run this where they are"
        )


def reserve(device: str, processes: int, asked_by: str) -> None:
    """Take `processes` devices for this process and those that it starts, waiting for free ones.

    The devices are among those that the scheduler gave or the user made visible, or else all of
    them. From then on only those taken are visible: process k of the run uses the k-th.

    Raises:
        InputError: there are not so many, free or not; under Slurm also where the job was given
            none of them.
    """
    visible = BACKENDS[device].visible
    if visible is None:
        return
    _keep_to_scheduled(device, visible)
    require(device, processes, asked_by)
    found = count(device)
    ids = _names_in(visible)[:found] or [str(i) for i in range(found)]
    taken = locks.take(
        device,
        ids,
        processes,
        waiting=lambda: print(f"waiting for {processes} free {device} of {len(ids)}", flush=True),
    )
    os.environ[visible] = ",".join(taken)


def _keep_to_scheduled(device: str, visible: str) -> None:
    """Make only those devices visible that Slurm gave to the job.

    Of GPUs Slurm itself does so, perhaps in numbers that count from 0 in each job. A list of NPUs
    that is not within the job's is from elsewhere, such as the shell that the job was sent from.
    """
    listed = _names_in(visible)
    if device == "gpu" and listed:
        return
    try:
        own = slurm.own_devices(device)
    except InputError:
        if listed:  # the site's prolog or the user knows better
            return
        raise
    if own is not None and not (listed and set(listed) <= set(own)):
        os.environ[visible] = ",".join(own)


def _names_in(visible: str) -> list[str]:
    return [name.strip() for name in os.environ.get(visible, "").split(",") if name.strip()]

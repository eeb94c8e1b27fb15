"""What else went on while a speed was measured: other programs, clocks, heat, throttling.

One process of each machine looks every few seconds, in a thread that spends at most a thousandth of
the time on it. What cannot be seen here is said to be so, never taken for nothing.
"""

import os
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from semask.devices import launched, locks, sensors
from semask.devices.sensors import Reading, UnobservedError

USABLE_CORES: Sequence[int] = (
    sorted(os.sched_getaffinity(0))
    if hasattr(os, "sched_getaffinity")
    else range(os.cpu_count() or 1)
)
"""The cores that this process, and so those that it starts, could use when it began.

An NPU's libraries bind its first thread to some of them (`CPU_AFFINITY_CONF`), and it alone.
"""

_PAUSE = 5.0  # seconds between two looks
_COST = 0.001  # most of the time that looks may take
_SHORTEST = 2.0  # seconds: what the kernel counts by hundredths of one says nothing of less


def be_alone() -> None:
    """Wait until no other run, of any user, measures a speed on this machine, or in this Slurm job.

    From then on others wait, until this process, or the program that it becomes, has ended.
    InputError where all users have no folder in common, and somebody else made that of this user's
    locks.
    """
    said, folder = "waiting for another run that measures speed here", locks.everybodys()
    if folder is None:
        print("runs that measure speed here with another TMPDIR are not waited for, nor those of "
              f"other users: all have no folder in common; {locks.LOCKS} names one",
              flush=True)  # fmt: skip
    try:
        locks.take("cpu", ["measuring"], 1, lambda: print(said, flush=True), folder)
    except OSError as fault:  # it is seen by what it takes
        print(f"whether another run measures speed here is not known: {fault}", flush=True)


class _Cores(NamedTuple):
    """What the cores of a run have done so far, in seconds but for the clock (MHz)."""

    at: float
    total: float
    busy: float
    own: float
    throttled: float | None
    clock: float | None


class Watch:
    """A context in which a machine's conditions are watched from `begin` on.

    Its processes have the first `count` devices of the kind; `host`, its name, is for the summary.
    """

    def __init__(self, device: str, count: int, host: str):
        self._device, self._count, self._host = device, count, host
        self._root = os.getppid() if launched.is_one_of_several() else os.getpid()
        self._cores: list[_Cores] = []
        self._readings: list[list[Reading]] = []
        self._unobserved: dict[str, None] = {}
        self._spent = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def begin(self) -> None:
        """Begin to look; not earlier, since processes that load are forked before."""
        self._thread.start()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: object, fault: object, trace: object) -> None:
        self._ended.set()
        if fault is None and self._thread.is_alive():
            self._thread.join()

    def _look_on(self) -> None:
        self._look(None)
        look = None
        if self._device != "cpu":
            try:
                look = sensors.opened(self._device, self._count)
            except Exception as why:
                self._note(why)
        took = self._look(look) if look is not None else 0.0
        while not self._ended.wait(max(_PAUSE, took / _COST)):
            took = self._look(look)
        self._look(None)  # devices that stand still again say nothing of the run

    def _look(self, look: sensors.Look | None) -> float:
        """Seconds of processor time that it took, of the programs that it asked, too."""
        begun = _spent()
        try:
            own = [psutil.Process(self._root)]
            own += own[0].children(recursive=True)
            self._cores.append(_cores_now(own))
            if look is not None:
                self._readings.append(look(frozenset(each.pid for each in own)))
        except Exception as why:  # whatever this machine lacks, the run goes on
            self._note(why)
        took = _spent() - begun
        self._spent += took
        return took

    def _note(self, why: Exception) -> None:
        kind = "" if isinstance(why, UnobservedError) else f"{type(why).__name__}: "
        self._unobserved[f"{kind}{why}"] = None

    def summary(self) -> dict[str, Any] | None:
        """What was seen, as records have it; None where nothing was looked at.

        Keys: host, seconds and samples (how long and how often it was looked), cost (of the looks,
        as a share of the time), cores (how many the run could use), others (shares of the time of
        these cores that other programs took: mean, and most between two looks), throttled (share of
        their time), clock_mhz, devices and not_observed (sentences). A device has samples, others
        (share of the looks at which another program was on it), throttled (likewise), reasons (of
        its clock: the share of each), figures (least, median, most of each) and settings. What was
        not seen is null.
        """
        if self._thread.ident is None:
            return None
        found = _summary_of_cores(self._cores)
        seconds = found["seconds"]
        devices = [_summary_of_device(of) for of in zip(*self._readings, strict=True)]
        unobserved = [*self._unobserved]
        if self._cores and found["others"] is None:
            unobserved.append(f"{seconds:.1f} s are too short to tell what other programs took")
        if self._cores and found["throttled"] is None:
            unobserved.append("the kernel does not count the cores' throttling")
        unobserved += [
            f"{self._device} {number}: {what} not told"
            for number, of in enumerate(devices)
            for key, what in (("others", "processes on it are"), ("throttled", "throttling is"))
            if of[key] is None
        ]
        return {
            "host": self._host,
            "cost": self._spent / seconds if seconds else None,
            **found,
            "devices": devices,
            "not_observed": unobserved,
        }


def _spent() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.thread_time() + ended.ru_utime + ended.ru_stime


def _cores_now(own: Sequence[psutil.Process]) -> _Cores:
    each = psutil.cpu_times(percpu=True)
    # in some containers the kernel's numbers are none of those that are listed
    chosen = [each[n] for n in USABLE_CORES] if USABLE_CORES[-1] < len(each) else each
    # a neighbour of this virtual machine (steal) takes time as a program does
    busy = sum(
        getattr(of, kind, 0.0)
        for of in chosen
        for kind in ("user", "nice", "system", "irq", "softirq", "steal")
    )
    idle = sum(of.idle + getattr(of, "iowait", 0.0) for of in chosen)
    frequency = psutil.cpu_freq()
    return _Cores(
        at=time.perf_counter(),
        total=busy + idle,
        busy=busy,
        own=sum(map(_seconds_of, own)),
        throttled=_throttled(),
        clock=frequency.current if frequency else None,
    )


def _seconds_of(process: psutil.Process) -> float:
    """Time that a process and its children that have ended took; 0 if it is gone."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.Error:
        return 0.0


def _throttled() -> float | None:
    """Seconds for which the cores were throttled by heat, where the kernel counts them."""
    place = "/sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_total_time_ms"
    try:
        return sum(int(Path(place.format(n)).read_text("ascii")) for n in USABLE_CORES) / 1000
    except (OSError, ValueError):
        return None


def _summary_of_cores(looks: Sequence[_Cores]) -> dict[str, Any]:
    seconds, others, throttled = 0.0, None, None
    if looks:
        first, last = looks[0], looks[-1]
        seconds = last.at - first.at
        if seconds >= _SHORTEST:
            mean = _share(first, last)
            others = {"mean": mean, "most": max([mean, *(_share(*of) for of in _spans(looks))])}
        if first.throttled is not None and last.throttled is not None and seconds:
            spent = last.throttled - first.throttled
            throttled = _in_one(spent / seconds / len(USABLE_CORES))
    clocks = [look.clock for look in looks if look.clock]
    return {
        "seconds": seconds,
        "samples": len(looks),
        "cores": len(USABLE_CORES),
        "others": others,
        "throttled": throttled,
        "clock_mhz": _spread(clocks) if clocks else None,
    }


def _spans(looks: Sequence[_Cores]) -> Iterator[tuple[_Cores, _Cores]]:
    """Looks that are far enough apart."""
    begun = looks[0]
    for look in looks:
        if look.at - begun.at >= _SHORTEST:
            yield begun, look
            begun = look


def _share(begun: _Cores, ended: _Cores) -> float:
    """Share of the cores' time between two looks that others took."""
    taken = (ended.busy - begun.busy) - (ended.own - begun.own)
    return _in_one(taken / max(ended.total - begun.total, 1e-9))


def _in_one(share: float) -> float:
    return min(1.0, max(0.0, share))


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"least": min(values), "median": median(values), "most": max(values)}


def _summary_of_device(looks: Sequence[Reading]) -> dict[str, Any]:
    names = dict.fromkeys(name for look in looks for name in look.figures)
    figures = {
        name: _spread([look.figures[name] for look in looks if name in look.figures])
        for name in names
    }
    told = [look.reasons for look in looks if look.reasons is not None]
    reasons = dict.fromkeys(reason for of in told for reason in of)
    return {
        "samples": len(looks),
        "others": _part([bool(look.others) for look in looks if look.others is not None]),
        "throttled": _part([look.throttled for look in looks if look.throttled is not None]),
        "reasons": {reason: _part([reason in of for of in told]) for reason in reasons},
        "figures": figures,
        "settings": dict(looks[-1].settings),
    }


def _part(looks: Sequence[bool]) -> float | None:
    return sum(looks) / len(looks) if looks else None

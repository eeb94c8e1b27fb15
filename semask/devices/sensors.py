"""What accelerators say of themselves while they compute: NVIDIA's by NVML, Ascend's by npu-smi.

NPUs name no reason for a lower clock: one whose cores are busy below their rated clock counts as
throttled. Written to the documented output of npu-smi, and not yet run beside a real NPU.
"""

import importlib
import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from semask.base.processes import output_of
from semask.devices.backends import visible_devices

# of NVML's bit mask of clock event reasons
_REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clocks",
}
# A board at its own power cap is one at full load; idle and chosen clocks are no throttling either.
_THROTTLING = 0x8 | 0x20 | 0x40 | 0x80
_POWER_CAP = 0x4
_LOWERED = "power limit below the default"
_SM, _MEMORY = 1, 2  # NVML's clocks
_UNCORRECTED, _VOLATILE = 1, 0  # since the driver was loaded

_BELOW = "clock below the rated one"
_RATED = 0.95  # of the rated clock; it is met to the MHz under load
_BUSY = 50  # percent: an NPU that waits lowers its clock by itself


class UnobservedError(Exception):
    """Why a kind of device cannot be looked at here, in a few words."""


class Reading(NamedTuple):
    """A look at one device; what it does not tell is missing or None."""

    figures: Mapping[str, float]  # clock_mhz, memory_clock_mhz, temperature_c, power_w
    # ecc, mig, ecc_uncorrected (errors), rated_clock_mhz, power_limit_w, default_power_limit_w
    settings: Mapping[str, Any]
    reasons: Sequence[str] | None  # why its clock is not higher
    throttled: bool | None  # whether one of them is throttling
    others: int | None  # number of other programs' processes on it


Look = Callable[[frozenset[int]], list[Reading]]


def opened(device: str, count: int) -> Look:
    """What looks at the first `count` visible devices, given the process ids of the run itself.

    Raises:
        UnobservedError: they cannot be looked at; also by a later look.
    """
    return _gpus(count) if device == "gpu" else _npus(count)


def _other_processes(found: Sequence[int], own: frozenset[int]) -> int | None:
    """How many are others'; in a container their numbers may be the host's, and one is ours."""
    if not found:
        return None
    return len({*found} - own) if own & {*found} else len({*found}) - 1


def _gpus(count: int) -> Look:
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        raise UnobservedError("nvidia-ml-py is not installed") from None
    try:
        nvml.nvmlInit()
        handles = [_handle(nvml, n) for n in range(count)]
    except nvml.NVMLError as fault:
        raise UnobservedError(f"NVML: {fault}") from None
    return lambda own: [_gpu(nvml, handle, own) for handle in handles]


def _handle(nvml: Any, number: int) -> Any:
    """NVML's handle of a visible GPU, which it counts otherwise; of a part of one, the whole."""
    import torch

    uuid = torch.cuda.get_device_properties(number).uuid
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        part = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")
        return nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)


def _gpu(nvml: Any, handle: Any, own: frozenset[int]) -> Reading:
    def asked(name: str, *of: int) -> Any:
        try:
            return getattr(nvml, f"nvmlDeviceGet{name}")(handle, *of)
        except (nvml.NVMLError, AttributeError):  # not of this board, driver or version
            return None

    def watts(name: str) -> float | None:
        told = asked(name)
        return None if told is None else told / 1000

    figures = {
        "clock_mhz": asked("ClockInfo", _SM),
        "memory_clock_mhz": asked("ClockInfo", _MEMORY),
        "temperature_c": asked("Temperature", 0),
        "power_w": watts("PowerUsage"),
    }
    ecc, mig = asked("EccMode"), asked("MigMode")
    settings = {
        "ecc": ecc and bool(ecc[0]),
        "mig": mig and bool(mig[0]),
        "ecc_uncorrected": asked("TotalEccErrors", _UNCORRECTED, _VOLATILE),
        "power_limit_w": watts("EnforcedPowerLimit"),
        "default_power_limit_w": watts("PowerManagementDefaultLimit"),
    }
    bits = asked("CurrentClocksEventReasons")
    if bits is None:  # of drivers before 535
        bits = asked("CurrentClocksThrottleReasons")
    reasons, throttled = None, None
    if bits is not None:
        reasons = [name for bit, name in _REASONS.items() if bits & bit]
        limits = settings["power_limit_w"], settings["default_power_limit_w"]
        if bits & _POWER_CAP and None not in limits and limits[0] < limits[1]:
            reasons.append(_LOWERED)
        throttled = bool(bits & _THROTTLING) or _LOWERED in reasons
    # those on other parts of a divided GPU are not told apart
    processes = None if settings["mig"] else asked("ComputeRunningProcesses")
    others = _other_processes([of.pid for of in processes or ()], own)
    return Reading(_known(figures), _known(settings), reasons, throttled, others)


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _npus(count: int) -> Look:
    listed = visible_devices("npu")
    names = [*map(str, range(count))] if listed is None else listed.split(",")[:count]
    places = _places(_smi("-m"))
    try:
        chips = [places[int(name)] for name in names]
    except (KeyError, ValueError):
        raise UnobservedError(f"npu-smi info -m: does not list {', '.join(names)}") from None

    def look(own: frozenset[int]) -> list[Reading]:
        processes = _processes(_smi())
        cards = {card: _common(_smi("-t", "common", "-i", card)) for card, _ in chips}
        readings = []
        for card, chip in chips:
            others = _other_processes(processes.get((card, chip), []), own)
            readings.append(_npu(cards[card].get(chip, {}), _uncorrected(card, chip), others))
        return readings

    return look


def _smi(*options: str) -> str:
    command = ["npu-smi", "info", *options]
    try:
        return output_of(*command, env={**os.environ, "LC_ALL": "C"})
    except FileNotFoundError:
        raise UnobservedError("npu-smi is not on PATH") from None
    except (OSError, subprocess.SubprocessError) as fault:
        said = (getattr(fault, "stdout", None) or str(fault)).strip().splitlines()
        raise UnobservedError(f"{' '.join(command)}: {said[-1] if said else 'fails'}") from None


def _places(printed: str) -> dict[int, tuple[str, str]]:
    """Card and chip of each device, by its number among the machine's; of `npu-smi info -m`."""
    if "Chip Logic ID" not in printed:
        return {}
    lines = re.findall(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s", printed, re.MULTILINE)
    return {int(number): (card, chip) for card, chip, number in lines}


def _processes(printed: str) -> dict[tuple[str, str], list[int]]:
    """Process ids by card and chip; of the lower table of `npu-smi info`."""
    found: dict[tuple[str, str], list[int]] = {}
    line = r"^\|\s*(\d+)\s+(\d+)\s*\|\s*(\d+)\s*\|[^|\n]*\|\s*\d*\s*\|\s*$"
    for card, chip, process in re.findall(line, printed, re.MULTILINE):
        found.setdefault((card, chip), []).append(int(process))
    return found


def _common(printed: str) -> dict[str, dict[str, float]]:
    """Figures of each chip of a card, by its number; of `npu-smi info -t common -i CARD`."""
    chips: dict[str, dict[str, float]] = {"0": {}}
    chip = chips["0"]  # of cards with one chip it may not be named
    for line in printed.splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == "Chip ID":
            chip = chips.setdefault(value, {})
        elif name == "Chip Name":  # the card's controller, which computes nothing
            chip = {}
        elif re.fullmatch(r"-?\d+(\.\d+)?", value):
            chip[name] = float(value)
    return chips


def _uncorrected(card: str, chip: str) -> int | None:
    """Uncorrected errors of a chip's memories; None where npu-smi does not count them."""
    try:
        printed = _smi("-t", "ecc", "-i", card, "-c", chip)
    except UnobservedError:
        return None
    found = re.findall(r"Double Bit Error Count\s*:\s*(\d+)", printed)
    return sum(map(int, found)) if found else None


def _npu(common: Mapping[str, float], uncorrected: int | None, others: int | None) -> Reading:
    clock, rated = common.get("Aicore curFreq(MHZ)"), common.get("Aicore Freq(MHZ)")
    busy = common.get("Aicore Usage Rate(%)")
    figures = {
        "clock_mhz": clock,
        "temperature_c": common.get("Temperature(C)"),
        "power_w": common.get("NPU Real-time Power(W)"),
    }
    reasons, throttled = None, None
    if clock is not None and rated and busy is not None:
        throttled = busy >= _BUSY and clock < _RATED * rated
        reasons = [_BELOW] if throttled else []
    settings = {"rated_clock_mhz": rated, "ecc_uncorrected": uncorrected}
    return Reading(_known(figures), _known(settings), reasons, throttled, others)

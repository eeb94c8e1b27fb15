"""What a row's processes must be and compute by; needs no torch, so that any reader can ask."""

from collections.abc import Mapping, Sequence
from typing import Any

REDUCED: Mapping[str, tuple[tuple[str, str], tuple[str | None, str | None]]] = {
    "cpu": (("highest", "highest"), (None, None)),
    "gpu": (("highest", "high"), ("ieee", "tf32")),
    "npu": (("ieee", "hf32"), ("ieee", "hf32")),
}
"""Names of products of matrices, and of convolutions, in float32: exact, with reduced inputs."""


def fault_of(processes: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> str | None:
    """Why some processes are not a row's, in words; None where they are.

    Processes are as `semask.devices.processes.seen` gives them; a row has processes and threads.
    """
    if len(processes) != row["processes"]:
        plural = "es take" if len(processes) != 1 else " takes"
        return f"{len(processes)} process{plural} part"
    if [each["rank"] for each in processes] != [*range(len(processes))]:
        return "processes are missing or there twice"
    names = sorted({each["device"] for each in processes})
    if len(names) > 1:
        return f"its processes ran on devices of several kinds: {', '.join(names)}"
    if len({(each["host"], each["pid"]) for each in processes}) < len(processes):
        return "two of its processes are the same one"
    on = [(each["host"], each["id"]) for each in processes if each["id"] is not None]
    if len({*on}) < len(on):
        return "two of its processes ran on one device"
    threads = {each["threads"] for each in processes} - {row["threads"]}
    if threads:
        return f"its processes had {threads.pop()} threads, not {row['threads']}"
    return None


def precision_of(device: str, numerics: Mapping[str, Any]) -> dict[str, Any]:
    """How a kind of device computes under some `numerics`.

    Keys: matmul, convolution (None on a CPU, which has no setting), by torch's names or, on an NPU,
    ieee or hf32; deterministic.
    """
    matmul, convolution = REDUCED[device]
    return {
        "matmul": matmul[numerics["reduced_matmul"]],
        "convolution": convolution[numerics["reduced_convolution"]],
        "deterministic": numerics["deterministic"],
    }

"""What a row is called: its folder, its name in the table, and what records say of it.

Rows are told apart by device, number of processes and planted fault, here and nowhere else.
"""

from collections.abc import Mapping
from typing import Any

PLANTED_FAULTS = (
    "none",
    "gelu_tanh",
    "drop_path_never_fires",
    "decay_everything",
    "gradients_not_averaged",
)
"""What may be planted in a row's device for a demonstration (`semask.devices.planted`)."""

PLANTED = rf"(?:-(?:{'|'.join(PLANTED_FAULTS)}))?"
"""Regular expression of how a row's folder ends: with its planted fault, if it has one."""
FOLDER = rf"(?:cpu|gpu|npu)-[1-9][0-9]*p{PLANTED}"
"""Regular expression of a row's folder."""

PLANTED_SIGN = " (planted: "
"""What follows the name of a row's device where a fault is planted in it."""

_KEYS = ("device", "processes", "threads", "planted_fault")


def row_folder(row: Mapping[str, Any]) -> str:
    """Folder of a row below that of the results: gpu-8p, cpu-2p-gelu_tanh."""
    planted = row.get("planted_fault")
    return folder_of(row["device"], row["processes"], f"-{planted}" if planted else "")


def folder_of(device: str, processes: str | int, planted: str = "") -> str:
    """The same of the parts of its name, as wildcards have them: `planted` is an end or empty."""
    return f"{device}-{processes}p{planted}"


def row_name(row: Mapping[str, Any]) -> str:
    """NAME of a row, as the seed's table writes it: GPU-8P; CPU-2P (planted: gelu_tanh)."""
    planted = row.get("planted_fault")
    name = f"{row['device'].upper()}-{row['processes']}P"
    return f"{name}{PLANTED_SIGN}{planted})" if planted else name


def as_recorded(row: Mapping[str, Any]) -> dict[str, Any]:
    """What records say of a row of the config, and stages are given; no fault where it has none."""
    return {key: row[key] for key in _KEYS if row.get(key) is not None}

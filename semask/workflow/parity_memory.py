"""Memory on the host that a row's looks at its device take."""

from collections.abc import Mapping
from math import ceil
from typing import Any

_SIZES = {
    "nano": (5.4, 1350),
    "tiny": (34.6, 3200),
    "small": (56.0, 4600),
    "base": (96.5, 7100),
    "large": (211.0, 10300),
}
"""By variant: millions of parameters; bytes that a training step keeps of each pixel in fp32
(`semask.comparison.cost.training_memory`)."""

_PROCESS = 3000  # MB: Python, torch and its libraries, an accelerator's context
# Bytes of each parameter: the model in float64 twice and in float32 three times, gradients, and
# weights and moments before a step and after it, by the device, again, and by the reference.
_PER_PARAMETER = 150
_FLOAT64 = 2  # of what a step keeps in float32


def megabytes(config: Mapping[str, Any], row: Mapping[str, Any]) -> int:
    """MB that all processes of a row may take; the first one alone computes the reference.

    Measured on a CPU, in float32: nano with 2 images of 112x112 1,680 for a process, with one
    of 448x448 1,950; SeMask-S with one of 112x112 9,770, nearly all of it the parameters', and of
    768x768 11,970 (11,600 before steps were run twice). Asked for are 4,000, 5,000, 12,000 and
    17,000. Of two processes with nano the first one took 1,470 and the other 1,120. Larger models
    are counted, not measured.
    """
    parameters, per_pixel = _SIZES[config["model"]["variant"]]
    look, processes = config["parity"], row["processes"]
    images = max(look["batch"], processes)
    if config["model"]["norm"] != "syncbn":
        # of a step the reference takes each process's share by itself
        images = max(look["batch"], ceil(images / processes))
    width, height = look["size"]
    reference = _FLOAT64 * per_pixel * images * width * height / 1e6
    return ceil((processes * (_PROCESS + _PER_PARAMETER * parameters) + reference) / 1000) * 1000

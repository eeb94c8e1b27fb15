"""What makers say that a device can do at most: the other peak that MFU divides by.

Only what a maker's data sheet or white paper has for a name that a device gives; without sparsity.
Huawei's have figures of servers, not of the chips that call themselves Ascend910B1 to B4.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Peaks(NamedTuple):
    """10¹² FLOP per second of matrix products, by what they are computed with, and who says so.

    `reduced` is fp32 with products of fewer bits, TF32 or HF32.
    """

    tflops: Mapping[str, float]  # by fp32, reduced, fp16, bf16; without what it has no figure of
    source: str


_V100 = "NVIDIA V100 Tensor Core GPU data sheet, https://www.nvidia.com/en-us/data-center/v100/"
_A100 = "NVIDIA A100 Tensor Core GPU data sheet, https://www.nvidia.com/en-us/data-center/a100/"
_H100 = "NVIDIA H100 Tensor Core GPU Architecture, https://resources.nvidia.com/en-us-tensor-core"
_H200 = "NVIDIA H200 Tensor Core GPU data sheet, https://www.nvidia.com/en-us/data-center/h200/"
_910 = (
    "Huawei's announcement of the Ascend 910, "
    "https://www.huawei.com/en/news/2019/8/huawei-ascend-910-most-powerful-ai-processor"
)

_V100_SXM = Peaks({"fp32": 15.7, "fp16": 125}, _V100)
_V100_PCIE = Peaks({"fp32": 14, "fp16": 112}, _V100)
_ANY_A100 = Peaks({"fp32": 19.5, "reduced": 156, "fp16": 312, "bf16": 312}, _A100)
_PEAKS = {
    "V100-SXM2-16GB": _V100_SXM,
    "V100-SXM2-32GB": _V100_SXM,
    "V100-PCIE-16GB": _V100_PCIE,
    "V100-PCIE-32GB": _V100_PCIE,
    "A100-SXM4-40GB": _ANY_A100,
    "A100-SXM4-80GB": _ANY_A100,
    "A100-PCIE-40GB": _ANY_A100,
    "A100 80GB PCIe": _ANY_A100,
    "H100 80GB HBM3": Peaks({"fp32": 66.9, "reduced": 494.7, "fp16": 989.4, "bf16": 989.4}, _H100),
    "H100 PCIe": Peaks({"fp32": 51.2, "reduced": 378, "fp16": 756, "bf16": 756}, _H100),
    # with sparsity 989 and 1,979
    "H200": Peaks({"fp32": 67, "reduced": 494.5, "fp16": 989.5, "bf16": 989.5}, _H200),
    "Ascend910A": Peaks({"fp16": 256}, _910),
}


def peaks_of(name: str) -> Peaks | None:
    """What is known of a device by the name that it gives; a part of one (MIG) has another name."""
    return _PEAKS.get(name.removeprefix("NVIDIA ").removeprefix("Tesla "))

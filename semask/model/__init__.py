"""SeMask-FPN as torch modules: build one, run it, compute its loss, load and save its weights."""

from semask.model.losses import SegmentationLosses, segmentation_losses
from semask.model.segmentor import SeMaskFPN
from semask.model.variants import VARIANTS, build, size_of
from semask.model.weights import LoadReport, export_reference, load_pretrained_swin, load_reference

__all__ = [
    "VARIANTS",
    "LoadReport",
    "SeMaskFPN",
    "SegmentationLosses",
    "build",
    "export_reference",
    "load_pretrained_swin",
    "load_reference",
    "segmentation_losses",
    "size_of",
]

"""SeMask-FPN as torch modules: build one, run it, compute its loss, load and save its weights."""

from semask.model.losses import SegmentationLosses, segmentation_losses
from semask.model.segmentor import SeMaskFPN
from semask.model.variants import VARIANTS, build

__all__ = ["VARIANTS", "SeMaskFPN", "SegmentationLosses", "build", "segmentation_losses"]

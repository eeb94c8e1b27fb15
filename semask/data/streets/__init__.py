"""Drawn street scenes in the Cityscapes format: the data of the embedded experiment.

Colours are drawn from palettes that the classes share, and every picture has its own light, so a
class is known by its shape, its texture and its place, not by its colour. A scene is a function of
(seed, split, city, number, size): the same bytes in every run.
"""

from semask.data.streets.writing import generate

__all__ = ["generate"]

"""Colours. A kind of thing has usual colours, but any may occur: colour alone names no class."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

Colour = tuple[int, int, int]  # RGB, 0 to 255
T = TypeVar("T")

EARTHS = (
    (200, 170, 130), (170, 115, 85), (210, 195, 165), (150, 130, 105), (180, 95, 75), (110, 90, 75),
)  # fmt: skip
BRIGHTS = (
    (190, 45, 40), (40, 80, 160), (40, 120, 70), (210, 170, 50), (60, 140, 150), (215, 120, 50),
    (120, 60, 110), (110, 140, 185), (90, 110, 60), (35, 45, 80),
)  # fmt: skip
LEAVES = (
    (55, 95, 42), (75, 110, 50), (48, 80, 45), (92, 118, 55), (66, 100, 60), (40, 72, 40),
    (145, 110, 45), (150, 90, 42),
)  # fmt: skip
GRASSES = ((150, 160, 72), (165, 165, 84), (142, 150, 64), (172, 158, 88))
SKIES = (  # zenith, horizon
    ((105, 150, 210), (190, 210, 228)), ((135, 170, 215), (222, 226, 232)),
    ((180, 185, 190), (218, 218, 218)), ((150, 156, 166), (192, 194, 197)),
    ((225, 228, 232), (245, 245, 243)), ((150, 145, 180), (240, 185, 145)),
    ((120, 135, 175), (215, 180, 165)), ((200, 192, 172), (232, 220, 198)),
)  # fmt: skip
FACADES = ((205, 172, 132), (188, 150, 112), (215, 192, 152), (176, 128, 96))
SLABS = ((208, 186, 176), (192, 168, 158), (220, 200, 190))
CARS = ((30, 33, 42), (45, 60, 110), (110, 30, 38), (58, 64, 78))
LOADS = ((215, 120, 50), (200, 92, 40), (222, 145, 75))
BUSES = ((228, 188, 56), (215, 170, 40), (238, 208, 100))
TRAINS = ((70, 165, 165), (60, 140, 150), (105, 190, 190))
CLOTHES = ((110, 60, 130), (140, 75, 125), (82, 52, 110), (125, 90, 160))
CYCLES = ((70, 205, 95), (95, 220, 75), (55, 175, 120))
MOTORS = ((200, 45, 70), (215, 60, 120), (175, 35, 60))
STEELS = ((150, 168, 178), (170, 186, 194), (130, 150, 160))
SKINS = ((225, 185, 160), (200, 150, 120), (150, 105, 80), (95, 65, 50))


def scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = colour
    return min(int(r * factor), 255), min(int(g * factor), 255), min(int(b * factor), 255)


class Rng(Random):
    """Random choices and colours, from `random()` alone: Python promises to keep its sequence."""

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.random() * len(choices))]

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def side(self) -> int:
        """1, the right side of the street, or -1, the left."""
        return 1 if self.chance(0.5) else -1

    def count(self, low: float, high: float) -> int:
        """A number of things: what is drawn between the limits, rounded down."""
        return int(self.uniform(low, high))

    def near(self, colour: Colour, amount: float = 14) -> Colour:
        light = self.uniform(-2, 2) * amount
        r, g, b = (min(max(int(c + light + self.uniform(-1, 1) * amount), 0), 255) for c in colour)
        return r, g, b

    def grey(self, low: float, high: float) -> Colour:
        """A grey with a slight tint."""
        level = int(self.uniform(low, high))
        return self.near((level, level, level), 5)

    def paint(self) -> Colour:
        """Bodywork, cloth, doors: greys, earth colours and bright ones."""
        kind = self.random()
        if kind < 0.42:
            return self.grey(35, 225)
        return self.near(self.pick(EARTHS if kind < 0.72 else BRIGHTS), 18)

    def usual(self, colours: Sequence[Colour]) -> Colour:
        """Mostly one of the colours that are usual for a kind of thing, else any paint."""
        return self.near(self.pick(colours), 12) if self.chance(0.9) else self.paint()

    def contrasting(self, colour: Colour) -> Colour:
        """A paint that stands out from the given one in brightness."""
        dark = sum(colour) > 330
        other = self.paint()
        factor = self.uniform(25, 70) if dark else self.uniform(170, 225)
        return scaled(other, 3 * factor / max(sum(other), 60))

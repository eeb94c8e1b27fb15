"""Colours. Everything man-made draws from one palette, so that colour does not name the class."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from semask.data.streets.canvas import Colour

T = TypeVar("T")

EARTHS = (
    (200, 170, 130), (170, 115, 85), (210, 195, 165), (150, 130, 105), (180, 95, 75), (110, 90, 75),
)  # fmt: skip
BRIGHTS = (
    (190, 45, 40), (40, 80, 160), (40, 120, 70), (210, 170, 50), (60, 140, 150), (215, 120, 50),
    (120, 60, 110), (110, 140, 185), (90, 110, 60), (35, 45, 80),
)  # fmt: skip
STONES = ((160, 150, 132), (155, 92, 70), (128, 126, 122), (140, 110, 88), (176, 140, 110))
LEAVES = (
    (55, 95, 42), (75, 110, 50), (48, 80, 45), (92, 118, 55), (66, 100, 60), (40, 72, 40),
    (145, 110, 45), (150, 90, 42),
)  # fmt: skip
GRASSES = (
    (125, 145, 72), (148, 150, 85), (152, 136, 88), (108, 134, 62), (132, 122, 76), (140, 158, 90),
)  # fmt: skip
SKIES = (  # zenith, horizon
    ((105, 150, 210), (190, 210, 228)),
    ((135, 170, 215), (222, 226, 232)),
    ((180, 185, 190), (218, 218, 218)),
    ((150, 156, 166), (192, 194, 197)),
    ((225, 228, 232), (245, 245, 243)),
    ((150, 145, 180), (240, 185, 145)),
    ((120, 135, 175), (215, 180, 165)),
    ((200, 192, 172), (232, 220, 198)),
)
SKINS = ((225, 185, 160), (200, 150, 120), (150, 105, 80), (95, 65, 50))


def pick(rng: Random, choices: Sequence[T]) -> T:
    """One of the choices; built on `random()`, whose sequence Python promises to keep."""
    return choices[int(rng.random() * len(choices))]


def chance(rng: Random, probability: float) -> bool:
    """True with the given probability."""
    return rng.random() < probability


def scaled(colour: Colour, factor: float) -> Colour:
    """A lighter or darker colour."""
    r, g, b = colour
    return min(int(r * factor), 255), min(int(g * factor), 255), min(int(b * factor), 255)


def jittered(rng: Random, colour: Colour, amount: float = 14) -> Colour:
    """A colour near the given one."""
    light = rng.uniform(-2, 2) * amount
    r, g, b = (min(max(int(c + light + rng.uniform(-1, 1) * amount), 0), 255) for c in colour)
    return r, g, b


def grey(rng: Random, low: float, high: float) -> Colour:
    """A grey with a slight tint."""
    level = rng.uniform(low, high)
    return jittered(rng, (int(level), int(level), int(level)), 5)


def paint(rng: Random) -> Colour:
    """Bodywork, cloth, doors: greys, earth colours and bright ones."""
    kind = rng.random()
    if kind < 0.42:
        return grey(rng, 35, 225)
    if kind < 0.72:
        return jittered(rng, pick(rng, EARTHS), 18)
    return jittered(rng, pick(rng, BRIGHTS), 18)


def plaster(rng: Random) -> Colour:
    """Facade: mostly earth colours and light greys."""
    kind = rng.random()
    if kind < 0.5:
        return jittered(rng, pick(rng, EARTHS), 18)
    return grey(rng, 90, 220) if kind < 0.75 else paint(rng)


def contrasting(rng: Random, colour: Colour) -> Colour:
    """A paint that stands out from the given one in brightness."""
    dark = sum(colour) > 330
    other = paint(rng)
    factor = rng.uniform(25, 70) if dark else rng.uniform(170, 225)
    return scaled(other, 3 * factor / max(sum(other), 60))

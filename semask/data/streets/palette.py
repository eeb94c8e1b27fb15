"""Colours. Everything man-made draws from one palette, so that colour does not name the class."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from semask.data.streets.canvas import Colour

T = TypeVar("T")

EARTHS = (
    (190, 160, 120),
    (165, 110, 80),
    (205, 190, 160),
    (140, 120, 95),
    (175, 90, 70),
    (95, 75, 60),
)
BRIGHTS = (
    (190, 45, 40), (40, 80, 160), (40, 120, 70), (210, 170, 50), (60, 140, 150), (215, 120, 50),
    (120, 60, 110), (110, 140, 185), (90, 110, 60), (35, 45, 80),
)  # fmt: skip
LEAVES = (
    (70, 105, 50),
    (50, 80, 45),
    (100, 120, 55),
    (85, 95, 60),
    (135, 115, 50),
    (150, 95, 45),
    (90, 80, 60),
)
GRASSES = (
    (85, 115, 55),
    (115, 125, 70),
    (140, 125, 80),
    (70, 95, 55),
    (125, 105, 75),
    (100, 90, 65),
)
SKIES = (  # zenith, horizon
    ((95, 140, 205), (185, 205, 225)),
    ((130, 165, 210), (220, 225, 230)),
    ((175, 180, 185), (215, 215, 215)),
    ((140, 145, 155), (180, 182, 185)),
    ((225, 228, 232), (245, 245, 243)),
    ((115, 110, 145), (235, 170, 120)),
    ((70, 85, 125), (190, 150, 140)),
    ((190, 180, 160), (225, 210, 185)),
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
    r, g, b = (min(max(int(c * factor), 0), 255) for c in colour)
    return r, g, b


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
    """Facade, bodywork, cloth: greys, earth colours and bright ones."""
    kind = rng.random()
    if kind < 0.42:
        return grey(rng, 35, 225)
    if kind < 0.72:
        return jittered(rng, pick(rng, EARTHS), 18)
    return jittered(rng, pick(rng, BRIGHTS), 18)


def contrasting(rng: Random, colour: Colour) -> Colour:
    """A paint that stands out from the given one in brightness."""
    dark = sum(colour) > 330
    other = paint(rng)
    factor = rng.uniform(25, 70) if dark else rng.uniform(170, 225)
    return scaled(other, 3 * factor / max(sum(other), 60))

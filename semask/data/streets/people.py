"""People, bicycles, motorcycles, and people on them."""

import math

import numpy as np

from semask.data.streets.canvas import GROUND, Canvas, Face, board, stack, upright
from semask.data.streets.materials import CLOTH
from semask.data.streets.palette import CLOTHES, CYCLES, MOTORS, SKINS, Colour, Rng, scaled

TYRE: Colour = (24, 24, 26)
BAND: Colour = (225, 228, 230)  # reflective


def stand(x: float, z: float, yaw: float) -> tuple[Face, bool]:
    """The plane that a two-wheeler is drawn on, and whether that is as seen from an end."""
    end_on = abs(math.cos(yaw)) < 0.45
    return board(x, z, 0.0 if end_on else yaw), end_on


def person(canvas: Canvas, rng: Rng, x: float, z: float, name: str = "person") -> None:
    k = rng.uniform(0.92, 1.1) * (0.68 if rng.chance(0.1) else 1)
    plane = upright(x, z, x + k, z, k)
    skin, hair = rng.near(rng.pick(SKINS)), scaled(rng.pick(SKINS), 0.4)
    top, bottom = rng.usual(CLOTHES), rng.usual(CLOTHES)
    stride, swing = rng.uniform(0.02, 0.24), rng.uniform(0.0, 0.22)
    canvas.shade(GROUND.box(x - 0.5, z - 0.2, x + 0.5, z + 0.3), 0.4)
    skirt = rng.chance(0.25)
    legs = skin if skirt else bottom
    parts = [
        (plane.bar(-0.09, 0.86, -0.09 - stride, 0.03, 0.13, 0.08), legs),
        (plane.bar(0.09, 0.86, 0.09 + stride, 0.03, 0.13, 0.08), scaled(legs, 0.8)),
        (plane.bar(-0.12 - stride, 0.05, 0.04 - stride, 0.05, 0.05, 0.05), TYRE),
        (plane.bar(0.06 + stride, 0.05, 0.22 + stride, 0.05, 0.05, 0.05), TYRE),
        (plane.bar(-0.24, 1.36, -0.3 - swing, 0.84, 0.08, 0.06), scaled(top, 0.8)),
        (plane.bar(0.24, 1.36, 0.3 + swing, 0.84, 0.08, 0.06), scaled(top, 0.85)),
        (plane.bar(0, 1.48, 0, 0.78, 0.25, 0.2), top),
    ]
    shapes = canvas.fill_each(parts, CLOTH)
    if rng.chance(0.75):  # striped shirt
        stripes = stack(-0.22, 0.22, 0.09, 0.84, 1.02, 1.2, 1.38)
        canvas.fill(plane.box(stripes), rng.contrasting(top))
    if skirt or rng.chance(0.1):  # skirt or coat
        flared = plane.bar(0, 0.95, 0, 0.45, 0.19, 0.3)
        shapes += canvas.fill(flared, bottom if skirt else top, CLOTH)
    shapes += canvas.fill(plane.disc(0, 1.62, 0.135, 0.17), skin)
    canvas.fill(plane.at([(-0.14, 1.63), (0.14, 1.63), (0.1, 1.8), (-0.1, 1.8)]), hair)
    if rng.chance(0.25):  # bag
        shapes += canvas.fill(plane.box(0.22, 0.7, 0.48, 1.05), rng.paint())
    canvas.label(name, shapes)


def bicycle(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float, group: str = "") -> None:
    """A bicycle from the side, or from behind where it is seen end on."""
    colour = rng.usual(CYCLES)
    plane, end_on = stand(x, z, yaw)
    shapes = []
    if end_on:
        shapes += canvas.fill(plane.box(-0.08, 0, 0.08, 0.74), TYRE)
        shapes += canvas.fill(plane.box(-0.1, 0.6, 0.1, 0.92), colour)
        shapes += canvas.fill(plane.box(-0.34, 0.95, 0.34, 1.05), (60, 60, 62))
        canvas.fill(plane.box(-0.06, 0.5, 0.06, 0.6), (215, 45, 40))
    else:
        r = rng.uniform(0.36, 0.4)
        rim = r - 0.1
        for u in (0.4, 1.5):  # spoked wheels, seen through: rings with hubs
            rings = plane.disc((u, r, r, r), (u, r, rim, rim), corners=14)
            shapes += canvas.fill(rings, TYRE)[:1]
            turns = [i * math.pi / 4 + 0.2 for i in range(4)]
            ends = [(rim * math.cos(turn), rim * math.sin(turn)) for turn in turns]
            spokes = [plane.bar(u - du, r - dv, u + du, r + dv, 0.022, 0.022) for du, dv in ends]
            canvas.fill(np.array(spokes), (190, 190, 192))
            canvas.fill(plane.disc(u, r, 0.07, 0.07, corners=6), (130, 130, 130))
        bars = [
            (0.4, r, 0.72, 0.88, 0.045, 0.045), (0.72, 0.88, 1.3, 0.86, 0.05, 0.05),
            (0.4, r, 0.88, 0.36, 0.045, 0.045), (0.88, 0.36, 1.3, 0.82, 0.05, 0.05),
            (0.88, 0.36, 0.72, 0.98, 0.045, 0.045), (1.27, 1.05, 1.5, r, 0.045, 0.045),
        ]  # fmt: skip
        shapes += canvas.fill_each((plane.bar(*bar), colour) for bar in bars)
        shapes += canvas.fill(plane.box(0.56, 0.96, 0.86, 1.04), TYRE)
        shapes += canvas.fill(plane.box(1.18, 1.02, 1.42, 1.1), TYRE)
    canvas.label(f"bicycle{group}", shapes)


def motorcycle(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float) -> None:
    colour = rng.usual(MOTORS)
    plane, end_on = stand(x, z, yaw)
    shapes = []
    if end_on:
        shapes += canvas.fill(plane.box(-0.14, 0, 0.14, 0.7), TYRE)
        shapes += canvas.fill(plane.bar(0, 0.55, 0, 0.98, 0.28, 0.2), colour)
        shapes += canvas.fill(plane.box(-0.46, 1.02, 0.46, 1.14), (50, 50, 52))
        shapes += canvas.fill(plane.box(-0.36, 0.4, -0.2, 0.62), (150, 150, 150))
        canvas.fill(plane.box(-0.14, 0.74, 0.14, 0.86), (225, 40, 35))
    else:
        for u in (0.36, 1.66):
            shapes += canvas.fill(plane.disc(u, 0.34, 0.34, 0.34, corners=14), TYRE)
            canvas.fill(plane.disc(u, 0.34, 0.2, 0.2), (205, 205, 208))
            canvas.fill(plane.disc(u, 0.34, 0.1, 0.1, corners=8), TYRE)
        dark = scaled(colour, 0.55)
        parts = (
            ([(0.3, 0.45), (1.2, 0.3), (1.42, 0.62), (1.3, 0.8), (0.3, 0.72)], dark),
            ([(0.62, 0.28), (1.2, 0.24), (1.22, 0.52), (0.7, 0.52)], (110, 110, 112)),
            ([(0.02, 0.74), (0.9, 0.76), (0.86, 0.9), (0.0, 0.94)], TYRE),
            ([(0.82, 0.72), (1.36, 0.7), (1.4, 0.98), (0.95, 1.04)], colour),
            ([(1.3, 0.95), (1.42, 1.0), (1.74, 0.36), (1.6, 0.32)], (150, 150, 152)),
            ([(1.24, 1.0), (1.52, 0.92), (1.5, 1.2), (1.36, 1.24)], colour),
            ([(0.1, 0.3), (0.8, 0.26), (0.8, 0.36), (0.1, 0.42)], (175, 175, 178)),
        )
        shapes += canvas.fill_each((plane.at(outline), colour) for outline, colour in parts)
        canvas.fill(plane.box(stack(0.62, 1.2, 0.06, 0.28, 0.4)), (215, 215, 218))
        canvas.fill(plane.disc(1.52, 0.94, 0.12, 0.13, corners=8), (250, 245, 215))
    canvas.label("motorcycle", shapes)


def rider(
    canvas: Canvas, rng: Rng, x: float, z: float, yaw: float, group: str = "", motor: bool = False
) -> None:
    """Someone on a bicycle, or a motorcycle: bent forward, helmet, foot on pedal.

    With group="group", one of many that are labelled as such.
    """
    if motor:
        motorcycle(canvas, rng, x, z, yaw)
    else:
        bicycle(canvas, rng, x, z, yaw, group)
    plane, end_on = stand(x, z, yaw)
    skin, top, bottom = rng.near(rng.pick(SKINS)), rng.paint(), rng.paint()
    helmet, vest = rng.paint(), rng.chance(0.85)
    if vest:  # high visibility
        top = rng.near((225, 120, 35) if rng.chance(0.4) else (205, 215, 50))
        bottom = top if rng.chance(0.7) else bottom
    if end_on:
        wide = 0.34 if motor else 0.26
        parts = [
            (plane.bar(-0.12, 0.95, -wide, 0.35, 0.12, 0.09), bottom),
            (plane.bar(0.12, 0.95, wide, 0.4, 0.12, 0.09), scaled(bottom, 0.85)),
            (plane.bar(-0.24, 1.42, -wide - 0.08, 1.05, 0.08, 0.06), scaled(top, 0.8)),
            (plane.bar(0.24, 1.42, wide + 0.08, 1.05, 0.08, 0.06), scaled(top, 0.8)),
            (plane.bar(0, 1.52, 0, 0.85, 0.27, 0.22), top),
        ]
        shapes = canvas.fill_each(parts, CLOTH)
        canvas.label(f"rider{group}", shapes + canvas.fill(plane.disc(0, 1.68, 0.17, 0.2), helmet))
        if vest:
            canvas.fill(plane.box(stack(-0.22, 0.22, 0.09, 1.0, 1.2)), BAND)
        return
    if motor:
        hip, neck, hand = (0.5, 0.98), (0.86, 1.5), (1.36, 1.1)
        knee, foot = (1.0, 0.78), (0.86, 0.34)
    else:
        hip, neck, hand = (0.68, 1.06), (1.0, 1.52), (1.34, 1.1)
        knee, foot = (1.06, 0.72), (0.92, rng.uniform(0.2, 0.42))
    parts = [
        (plane.bar(*hip, *knee, 0.13, 0.1), bottom),
        (plane.bar(*knee, *foot, 0.1, 0.07), scaled(bottom, 0.85)),
        (plane.bar(foot[0] - 0.08, foot[1], foot[0] + 0.16, foot[1], 0.05, 0.05), TYRE),
        (plane.bar(*hip, *neck, 0.19, 0.21), top),
        (plane.bar(*neck, 1.18, 1.2, 0.085, 0.07), scaled(top, 0.75)),
        (plane.bar(1.16, 1.2, *hand, 0.07, 0.06), skin),
    ]
    shapes = canvas.fill_each(parts, CLOTH)
    shapes += canvas.fill(plane.disc(neck[0] + 0.12, neck[1] + 0.2, 0.15, 0.17), skin)
    for t in (0.3, 0.6) if vest else ():
        u, v = hip[0] + (neck[0] - hip[0]) * t, hip[1] + (neck[1] - hip[1]) * t
        canvas.fill(plane.bar(u - 0.14, v + 0.08, u + 0.14, v - 0.08, 0.045, 0.045), BAND, CLOTH)
    u, v = neck[0] - 0.06, neck[1] + 0.2
    cap = [(u + 0.36 * i / 6, v + 0.2 * math.sin(math.pi * i / 6)) for i in range(7)]
    canvas.label(f"rider{group}", shapes + canvas.fill(plane.at(cap), helmet))

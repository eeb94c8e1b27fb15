"""People, bicycles, motorcycles, and people on them."""

import math
from random import Random

from semask.data.streets.canvas import CLOTH, Canvas, Colour, Face, Pixels, board
from semask.data.streets.palette import (
    CLOTHES,
    CYCLES,
    MOTORS,
    SKINS,
    chance,
    contrasting,
    jittered,
    paint,
    pick,
    scaled,
    usual,
)

TYRE: Colour = (24, 24, 26)
END_ON = 0.45  # cosine of the yaw below which a two-wheeler is seen from an end
BAND: Colour = (225, 228, 230)  # reflective


def limb(u0: float, v0: float, u1: float, v1: float, w0: float, w1: float) -> list[list[float]]:
    """Corners (u, v) of a tapered bar from (u0, v0) to (u1, v1) with half widths w0 and w1."""
    length = math.hypot(u1 - u0, v1 - v0)
    nu, nv = -(v1 - v0) / length, (u1 - u0) / length
    return [
        [u0 + nu * w0, v0 + nv * w0], [u1 + nu * w1, v1 + nv * w1],
        [u1 - nu * w1, v1 - nv * w1], [u0 - nu * w0, v0 - nv * w0],
    ]  # fmt: skip


def person(
    canvas: Canvas, rng: Random, x: float, z: float, name: str | None = "person"
) -> list[Pixels]:
    """Someone who stands or walks; labelled where a name is given."""
    plane = board(x, z)
    k = rng.uniform(0.92, 1.1) * (0.68 if chance(rng, 0.1) else 1)
    skin, hair = jittered(rng, pick(rng, SKINS)), scaled(pick(rng, SKINS), 0.4)
    top, bottom = usual(rng, CLOTHES), usual(rng, CLOTHES)
    stride = rng.uniform(0.02, 0.24)
    swing = rng.uniform(0.0, 0.22)

    def draw(bar: tuple[float, float, float, float, float, float], c: Colour) -> Pixels:
        return canvas.fill(plane.at([[k * u, k * v] for u, v in limb(*bar)]), c, CLOTH)

    canvas.shade(
        Face(
            (x - 0.5, 0, z - 0.2),
            (x + 0.5, 0, z - 0.2),
            (x + 0.5, 0, z + 0.3),
            (x - 0.5, 0, z + 0.3),
        ).box(0, 0, 1, 1),
        0.4,
    )
    skirt = chance(rng, 0.25)
    shapes = [
        draw((-0.09, 0.86, -0.09 - stride, 0.03, 0.13, 0.08), skin if skirt else bottom),
        draw((0.09, 0.86, 0.09 + stride, 0.03, 0.13, 0.08), scaled(skin if skirt else bottom, 0.8)),
        draw((-0.12 - stride, 0.05, 0.04 - stride, 0.05, 0.05, 0.05), TYRE),
        draw((0.06 + stride, 0.05, 0.22 + stride, 0.05, 0.05, 0.05), TYRE),
        draw((-0.24, 1.36, -0.3 - swing, 0.84, 0.08, 0.06), scaled(top, 0.8)),
        draw((0.24, 1.36, 0.3 + swing, 0.84, 0.08, 0.06), scaled(top, 0.85)),
        draw((0, 1.48, 0, 0.78, 0.25, 0.2), top),
    ]
    if chance(rng, 0.75):  # striped shirt
        stripes = [(-0.22, v, 0.22, v + 0.09) for v in (0.84, 1.02, 1.2, 1.38)]
        canvas.fill_many(plane.boxes([[k * c for c in s] for s in stripes]), contrasting(rng, top))
    if skirt or chance(rng, 0.1):  # skirt or coat
        shapes.append(draw((0, 0.95, 0, 0.45, 0.19, 0.3), bottom if skirt else top))
    shapes.append(canvas.fill(plane.disc(0, 1.62 * k, 0.135 * k, 0.17 * k, 10), skin))
    canvas.fill(
        plane.at(
            [[k * u, k * v] for u, v in ((-0.14, 1.63), (0.14, 1.63), (0.1, 1.8), (-0.1, 1.8))]
        ),
        hair,
    )
    if chance(rng, 0.25):
        bag = paint(rng)
        shapes.append(canvas.fill(plane.box(0.22 * k, 0.7 * k, 0.48 * k, 1.05 * k), bag))
    if name:
        canvas.label(name, shapes)
    return shapes


def wheel(canvas: Canvas, plane: Face, u: float, radius: float, tyre: float) -> Pixels:
    """A spoked wheel: a ring with a hub, seen through."""
    outer = plane.disc(u, radius, radius, radius)
    shape = canvas.ring(outer, plane.disc(u, radius, radius - tyre, radius - tyre), TYRE)
    spokes = []
    for i in range(4):
        du, dv = math.cos(i * math.pi / 4 + 0.2), math.sin(i * math.pi / 4 + 0.2)
        long, wide = radius - tyre, 0.022
        spokes.append(
            [
                (u + du * long - dv * wide, radius + dv * long + du * wide),
                (u + du * long + dv * wide, radius + dv * long - du * wide),
                (u - du * long + dv * wide, radius - dv * long - du * wide),
                (u - du * long - dv * wide, radius - dv * long + du * wide),
            ]
        )
    canvas.fill_many(plane.at(spokes), (190, 190, 192))
    canvas.fill(plane.disc(u, radius, 0.07, 0.07, 6), (130, 130, 130))
    return shape


def bicycle(
    canvas: Canvas, rng: Random, x: float, z: float, yaw: float, name: str = "bicycle"
) -> Face:
    """A bicycle from the side, or from behind where it is seen end on; return its plane."""
    colour = usual(rng, CYCLES)
    if abs(math.cos(yaw)) < END_ON:
        plane = board(x, z)
        shapes = [
            canvas.fill(plane.box(-0.08, 0, 0.08, 0.74), TYRE),
            canvas.fill(plane.box(-0.1, 0.6, 0.1, 0.92), colour),
            canvas.fill(plane.box(-0.34, 0.95, 0.34, 1.05), (60, 60, 62)),
        ]
        canvas.fill(plane.box(-0.06, 0.5, 0.06, 0.6), (215, 45, 40))
        canvas.label(name, shapes)
        return plane
    plane = board(x, z, yaw)
    r = rng.uniform(0.36, 0.4)
    shapes = [wheel(canvas, plane, u, r, 0.1) for u in (0.4, 1.5)]
    bars = [
        (0.4, r, 0.72, 0.88, 0.045, 0.045), (0.72, 0.88, 1.3, 0.86, 0.05, 0.05),
        (0.4, r, 0.88, 0.36, 0.045, 0.045), (0.88, 0.36, 1.3, 0.82, 0.05, 0.05),
        (0.88, 0.36, 0.72, 0.98, 0.045, 0.045), (1.27, 1.05, 1.5, r, 0.045, 0.045),
    ]  # fmt: skip
    shapes += [canvas.fill(plane.at(limb(*bar)), colour) for bar in bars]
    shapes.append(canvas.fill(plane.box(0.56, 0.96, 0.86, 1.04), TYRE))
    shapes.append(canvas.fill(plane.box(1.18, 1.02, 1.42, 1.1), TYRE))
    canvas.label(name, shapes)
    return plane


def motorcycle(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> Face:
    """A motorcycle or scooter from the side, or from behind; return its plane."""
    colour = usual(rng, MOTORS)
    dark = scaled(colour, 0.55)
    if abs(math.cos(yaw)) < END_ON:
        plane = board(x, z)
        shapes = [
            canvas.fill(plane.box(-0.14, 0, 0.14, 0.7), TYRE),
            canvas.fill(plane.at([(-0.28, 0.55), (0.28, 0.55), (0.2, 0.98), (-0.2, 0.98)]), colour),
            canvas.fill(plane.box(-0.46, 1.02, 0.46, 1.14), (50, 50, 52)),
            canvas.fill(plane.box(-0.36, 0.4, -0.2, 0.62), (150, 150, 150)),
        ]
        canvas.fill(plane.box(-0.14, 0.74, 0.14, 0.86), (225, 40, 35))
        canvas.label("motorcycle", shapes)
        return plane
    plane = board(x, z, yaw)
    shapes = []
    for u in (0.36, 1.66):
        shapes.append(canvas.fill(plane.disc(u, 0.34, 0.34, 0.34), TYRE))
        canvas.fill(plane.disc(u, 0.34, 0.2, 0.2, 10), (205, 205, 208))
        canvas.fill(plane.disc(u, 0.34, 0.1, 0.1, 8), TYRE)
    parts = (
        ([(0.3, 0.45), (1.2, 0.3), (1.42, 0.62), (1.3, 0.8), (0.3, 0.72)], dark),
        ([(0.62, 0.28), (1.2, 0.24), (1.22, 0.52), (0.7, 0.52)], (110, 110, 112)),
        ([(0.02, 0.74), (0.9, 0.76), (0.86, 0.9), (0.0, 0.94)], TYRE),
        ([(0.82, 0.72), (1.36, 0.7), (1.4, 0.98), (0.95, 1.04)], colour),
        ([(1.3, 0.95), (1.42, 1.0), (1.74, 0.36), (1.6, 0.32)], (150, 150, 152)),
        ([(1.24, 1.0), (1.52, 0.92), (1.5, 1.2), (1.36, 1.24)], colour),
        ([(0.1, 0.3), (0.8, 0.26), (0.8, 0.36), (0.1, 0.42)], (175, 175, 178)),
    )
    shapes += [canvas.fill(plane.at(corners), c) for corners, c in parts]
    fins = [(0.62, v, 1.2, v + 0.06) for v in (0.28, 0.4)]
    canvas.fill_many(plane.boxes(fins), (215, 215, 218))
    canvas.fill(plane.disc(1.52, 0.94, 0.12, 0.13, 8), (250, 245, 215))
    canvas.label("motorcycle", shapes)
    return plane


def rider(
    canvas: Canvas, rng: Random, plane: Face, end_on: bool, motor: bool, name: str = "rider"
) -> None:
    """Someone on a two-wheeler drawn before on `plane`: bent forward, helmet, foot on pedal."""
    skin, top, bottom = jittered(rng, pick(rng, SKINS)), paint(rng), paint(rng)
    helmet, vest = paint(rng), chance(rng, 0.85)
    if vest:  # high visibility
        top = jittered(rng, (225, 120, 35) if chance(rng, 0.4) else (205, 215, 50))
        bottom = top if chance(rng, 0.7) else bottom

    def draw(bar: tuple[float, float, float, float, float, float], c: Colour) -> Pixels:
        return canvas.fill(plane.at(limb(*bar)), c, CLOTH)

    if end_on:
        wide = 0.34 if motor else 0.26
        shapes = [
            draw((-0.12, 0.95, -wide, 0.35, 0.12, 0.09), bottom),
            draw((0.12, 0.95, wide, 0.4, 0.12, 0.09), scaled(bottom, 0.85)),
            draw((-0.24, 1.42, -wide - 0.08, 1.05, 0.08, 0.06), scaled(top, 0.8)),
            draw((0.24, 1.42, wide + 0.08, 1.05, 0.08, 0.06), scaled(top, 0.8)),
            draw((0, 1.52, 0, 0.85, 0.27, 0.22), top),
            canvas.fill(plane.disc(0, 1.68, 0.17, 0.2, 10), helmet),
        ]
        if vest:
            canvas.fill_many(plane.boxes([(-0.22, v, 0.22, v + 0.09) for v in (1.0, 1.2)]), BAND)
        canvas.label(name, shapes)
        return
    hip = (0.5, 0.98) if motor else (0.68, 1.06)
    neck = (0.86, 1.5) if motor else (1.0, 1.52)
    hand = (1.36, 1.1) if motor else (1.34, 1.1)
    foot = (0.86, 0.34) if motor else (0.92, rng.uniform(0.2, 0.42))
    knee = (1.0, 0.78) if motor else (1.06, 0.72)
    shapes = [
        draw((*hip, *knee, 0.13, 0.1), bottom),
        draw((*knee, *foot, 0.1, 0.07), scaled(bottom, 0.85)),
        draw((foot[0] - 0.08, foot[1], foot[0] + 0.16, foot[1], 0.05, 0.05), TYRE),
        draw((*hip, *neck, 0.19, 0.21), top),
        draw((*neck, 1.18, 1.2, 0.085, 0.07), scaled(top, 0.75)),
        draw((1.16, 1.2, *hand, 0.07, 0.06), skin),
        canvas.fill(plane.disc(neck[0] + 0.12, neck[1] + 0.2, 0.15, 0.17, 10), skin),
    ]
    if vest:
        for t in (0.3, 0.6):
            u, v = hip[0] + (neck[0] - hip[0]) * t, hip[1] + (neck[1] - hip[1]) * t
            draw((u - 0.14, v + 0.08, u + 0.14, v - 0.08, 0.045, 0.045), BAND)
    cap = plane.at(
        [
            (neck[0] - 0.06 + 0.36 * i / 6, neck[1] + 0.2 + 0.2 * math.sin(math.pi * i / 6))
            for i in range(7)
        ]
    )
    shapes.append(canvas.fill(cap, helmet))
    canvas.label(name, shapes)


def cyclist(canvas: Canvas, rng: Random, x: float, z: float, yaw: float, group: str = "") -> None:
    """A rider on a bicycle; with group="group", one of many that are labelled as such."""
    plane = bicycle(canvas, rng, x, z, yaw, f"bicycle{group}")
    rider(canvas, rng, plane, abs(math.cos(yaw)) < END_ON, False, f"rider{group}")


def motorcyclist(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> None:
    """A rider on a motorcycle."""
    plane = motorcycle(canvas, rng, x, z, yaw)
    rider(canvas, rng, plane, abs(math.cos(yaw)) < END_ON, True)

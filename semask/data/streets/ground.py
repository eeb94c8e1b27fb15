"""Sky, ground and what lies on it: road, markings, sidewalks, parking, rails, grass."""

from random import Random

import cv2
import numpy as np

from semask.data.streets.canvas import ASPHALT, CLOUD, GRASS, PAVING, PLAIN, Canvas, Face
from semask.data.streets.palette import (
    GRASSES,
    SKIES,
    SLABS,
    chance,
    grey,
    jittered,
    pick,
    scaled,
)

FAR = 400.0  # metres: the horizon
NEAR = 1.2


def flat(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> Face:
    """A horizontal surface; u runs along X, v along Z."""
    return Face((x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1))


def sky(canvas: Canvas, rng: Random, zenith: tuple[int, ...], horizon: tuple[int, ...]) -> None:
    """Fill the picture with a vertical gradient and a few soft clouds, labelled sky."""
    height, width = canvas.pixels.shape[:2]
    end = max(int(canvas.camera.centre_y), 1)
    t = np.minimum(np.arange(height) * 256 // end, 256)[:, None]
    rows = (np.array(zenith) * (256 - t) + np.array(horizon) * t) >> 8
    canvas.pixels[..., :3] = rows[:, None].astype(np.uint8)
    canvas.pixels[..., 3] = CLOUD if chance(rng, 0.6) else PLAIN
    for _ in range(int(rng.uniform(0, 4))):
        cloud = scaled(pick(rng, SKIES)[1], rng.uniform(0.9, 1.1))
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, end))
        for _ in range(4):
            axes = (int(rng.uniform(0.03, 0.09) * width), int(rng.uniform(0.01, 0.03) * width))
            x, y = x + int(rng.uniform(-1, 1) * axes[0]), y + int(rng.uniform(-1, 1) * axes[1])
            cv2.ellipse(canvas.pixels, (x, y), axes, 0, 0, 360, (*cloud, CLOUD), -1)
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    canvas.label("sky", [np.array(corners, np.int32)])


def open_ground(canvas: Canvas, rng: Random) -> None:
    """Everything below the horizon, before anything is built on it: grass or bare ground."""
    surface = flat(-900, 900, NEAR, FAR)
    if chance(rng, 0.5):
        shape = canvas.fill(surface.box(0, 0, 1, 1), jittered(rng, pick(rng, GRASSES)), GRASS)
        canvas.label("terrain", [shape])
    else:
        canvas.label("ground", [canvas.fill(surface.box(0, 0, 1, 1), grey(rng, 80, 150), ASPHALT)])


def road(canvas: Canvas, rng: Random, x0: float, x1: float, end: float) -> None:
    """Asphalt from x0 to x1 as far as `end`, with repairs."""
    colour = grey(rng, 55, 110)
    canvas.label("road", [canvas.fill(flat(x0, x1, NEAR, end).box(0, 0, 1, 1), colour, ASPHALT)])
    for _ in range(int(rng.uniform(0, 4))):
        x, z = rng.uniform(x0 + 0.5, x1 - 1.5), rng.uniform(5, 20)
        patch = flat(x, x + rng.uniform(0.6, 1.6), z, z + rng.uniform(1, 5))
        canvas.fill(patch.box(0, 0, 1, 1), scaled(colour, rng.uniform(0.75, 1.15)), ASPHALT)
    for _ in range(int(rng.uniform(0, 3))):
        x, z = rng.uniform(x0 + 0.5, x1 - 0.5), rng.uniform(6, 16)
        canvas.fill(flat(x, x + 0.8, z, z + 0.8).disc(0.5, 0.5, 0.5, 0.5), scaled(colour, 0.5))


def markings(canvas: Canvas, rng: Random, x0: float, x1: float, end: float) -> None:
    """Lane lines, edge lines, zebra crossings and stop lines."""
    paint = jittered(rng, (215, 175, 75) if chance(rng, 0.15) else (220, 220, 215), 10)
    lanes = max(round((x1 - x0) / 3.2), 2)
    dash, gap = rng.uniform(2, 4), rng.uniform(2.5, 5)
    start = rng.uniform(NEAR, NEAR + dash + gap)
    for lane in range(1, lanes):
        x = x0 + (x1 - x0) * lane / lanes
        if chance(rng, 0.2):
            stripes = [(x - 0.07, NEAR, x + 0.07, end)]
        else:
            steps = [start + i * (dash + gap) for i in range(int(end / (dash + gap)))]
            stripes = [(x - 0.08, z, x + 0.08, min(z + dash, end)) for z in steps if z < end]
        canvas.fill_many(flat(0, 1, 0, 1).boxes(stripes), paint)
    if chance(rng, 0.5):
        edges = [(x0 + 0.2, NEAR, x0 + 0.36, end), (x1 - 0.36, NEAR, x1 - 0.2, end)]
        canvas.fill_many(flat(0, 1, 0, 1).boxes(edges), paint)
    if chance(rng, 0.35):
        z = rng.uniform(7, 18)
        bars = int((x1 - x0 - 0.4) / 1.0)
        zebra = [(x0 + 0.4 + i, z, x0 + 0.9 + i, z + 3) for i in range(bars)]
        canvas.fill_many(flat(0, 1, 0, 1).boxes(zebra), paint)
    elif chance(rng, 0.3):
        z = rng.uniform(6, 15)
        canvas.fill(flat((x0 + x1) / 2, x1, z, z + 0.5).box(0, 0, 1, 1), paint)


def sidewalk(canvas: Canvas, rng: Random, x0: float, x1: float, end: float) -> None:
    """Slabs in two tones and a kerb on the side of the road."""
    colour = jittered(rng, pick(rng, SLABS), 12)
    surface = flat(x0, x1, NEAR, end)
    canvas.label("sidewalk", [canvas.fill(surface.box(0, 0, 1, 1), colour, PAVING)])
    columns = max(round((x1 - x0) / 1.0), 2)
    wide, step = (x1 - x0) / columns, rng.uniform(0.8, 1.1)
    z, row, slabs = NEAR + rng.uniform(0, step), 0, []
    while z < min(end, 40):
        far = z + step * (1 + z / 30)
        slabs += [(x0 + wide * i, z, x0 + wide * (i + 1), far) for i in range(row % 2, columns, 2)]
        z, row = far, row + 1
    canvas.fill_many(flat(0, 1, 0, 1).boxes(slabs), scaled(colour, rng.uniform(0.6, 0.75)), PAVING)
    x = x0 if abs(x0) < abs(x1) else x1
    canvas.fill(flat(x - 0.1, x + 0.1, NEAR, end).box(0, 0, 1, 1), scaled(colour, 1.25))


def parking(canvas: Canvas, rng: Random, x0: float, x1: float, end: float) -> None:
    """A strip of parking bays."""
    colour = jittered(rng, grey(rng, 75, 150), 10)
    canvas.label("parking", [canvas.fill(flat(x0, x1, NEAR, end).box(0, 0, 1, 1), colour, PAVING)])
    bays = [(x0, z, x1, z + 0.15) for z in np.arange(rng.uniform(1, 6), 40, 5.5).tolist()]
    canvas.fill_many(flat(0, 1, 0, 1).boxes(bays), (215, 215, 210))


def terrain(canvas: Canvas, rng: Random, x0: float, x1: float, end: float) -> None:
    """A strip of grass with tufts and bare spots."""
    colour = jittered(rng, pick(rng, GRASSES))
    canvas.label("terrain", [canvas.fill(flat(x0, x1, NEAR, end).box(0, 0, 1, 1), colour, GRASS)])
    for _ in range(3):
        z, x = rng.uniform(5, 25), rng.uniform(x0, x1)
        spot = scaled(jittered(rng, colour), rng.uniform(0.8, 1.2))
        size = min(rng.uniform(0.3, 1.0), abs(x1 - x0) / 2)
        x = min(max(x, min(x0, x1) + size), max(x0, x1) - size)
        canvas.fill(flat(x - size, x + size, z, z + 2).disc(0.5, 0.5, 0.5, 0.5), spot, GRASS)


def rails(canvas: Canvas, rng: Random, x: float, end: float, label: bool) -> None:
    """A tram track around x: a bed with sleepers and two rails."""
    bed = grey(rng, 70, 140)
    surface = flat(x - 1.3, x + 1.3, NEAR, end)
    shape = canvas.fill(surface.box(0, 0, 1, 1), bed, ASPHALT)
    if label:
        canvas.label("rail track", [shape])
    sleepers = [(x - 1.1, z, x + 1.1, z + 0.4) for z in np.arange(2, 30, 1.6).tolist()]
    canvas.fill_many(flat(0, 1, 0, 1).boxes(sleepers), scaled(bed, 0.72), ASPHALT)
    lines = [(x - 0.78, NEAR, x - 0.62, end), (x + 0.62, NEAR, x + 0.78, end)]
    canvas.fill_many(flat(0, 1, 0, 1).boxes(lines), scaled(bed, 0.45 if chance(rng, 0.5) else 1.6))


def crossing(canvas: Canvas, rng: Random, z0: float, z1: float) -> None:
    """A road that crosses the street at right angles."""
    shape = canvas.fill(flat(-90, 90, z0, z1).box(0, 0, 1, 1), grey(rng, 55, 110), ASPHALT)
    canvas.label("road", [shape])

"""Sky, ground and what lies on it: road, markings, sidewalks, parking, rails, grass."""

import cv2
import numpy as np

from semask.data.streets.canvas import GROUND, Canvas
from semask.data.streets.materials import ASPHALT, CLOUD, GRASS, PAVING, PLAIN
from semask.data.streets.palette import GRASSES, SKIES, SLABS, Colour, Rng, scaled

FAR = 400.0  # metres: the horizon
NEAR = 1.2


def sky(canvas: Canvas, rng: Rng, zenith: Colour, horizon: Colour) -> None:
    """Fill the picture with a vertical gradient and a few soft clouds, labelled sky."""
    height, width = canvas.pixels.shape[:2]
    end = max(int(canvas.camera.centre_y), 1)
    t = np.minimum(np.arange(height) * 256 // end, 256)[:, None]
    rows = (np.array(zenith) * (256 - t) + np.array(horizon) * t) >> 8
    canvas.pixels[..., :3] = rows[:, None].astype(np.uint8)
    canvas.pixels[..., 3] = CLOUD if rng.chance(0.6) else PLAIN
    for _ in range(rng.count(0, 4)):
        cloud = scaled(rng.pick(SKIES)[1], rng.uniform(0.9, 1.1))
        x, y = rng.count(0, width), rng.count(0, end)
        for _ in range(4):
            axes = (int(rng.uniform(0.03, 0.09) * width), int(rng.uniform(0.01, 0.03) * width))
            x, y = x + int(rng.uniform(-1, 1) * axes[0]), y + int(rng.uniform(-1, 1) * axes[1])
            cv2.ellipse(canvas.pixels, (x, y), axes, 0, 0, 360, (*cloud, CLOUD), -1)
    canvas.overlay([(0, 0), (width, 0), (width, height), (0, height)], None, "sky")


def open_ground(canvas: Canvas, rng: Rng) -> None:
    """Everything below the horizon, before anything is built on it: grass or bare ground."""
    surface = GROUND.box(-900, NEAR, 900, FAR)
    if rng.chance(0.5):
        canvas.fill(surface, rng.near(rng.pick(GRASSES)), GRASS, "terrain")
    else:
        canvas.fill(surface, rng.grey(80, 150), ASPHALT, "ground")


def road(canvas: Canvas, rng: Rng, x0: float, x1: float, end: float) -> None:
    """Asphalt from x0 to x1 as far as `end`, with repairs."""
    colour = rng.grey(55, 110)
    canvas.fill(GROUND.box(x0, NEAR, x1, end), colour, ASPHALT, "road")
    for _ in range(rng.count(0, 4)):
        x, z = rng.uniform(x0 + 0.5, x1 - 1.5), rng.uniform(5, 20)
        patch = GROUND.box(x, z, x + rng.uniform(0.6, 1.6), z + rng.uniform(1, 5))
        canvas.fill(patch, scaled(colour, rng.uniform(0.75, 1.15)), ASPHALT)
    for _ in range(rng.count(0, 3)):
        x, z = rng.uniform(x0 + 0.5, x1 - 0.5), rng.uniform(6, 16)
        canvas.fill(GROUND.disc(x + 0.4, z + 0.4, 0.4, 0.4, corners=14), scaled(colour, 0.5))


def markings(canvas: Canvas, rng: Rng, x0: float, x1: float, end: float) -> None:
    """Lane lines, edge lines, zebra crossings and stop lines."""
    paint = rng.near((215, 175, 75) if rng.chance(0.15) else (220, 220, 215), 10)
    lanes = max(round((x1 - x0) / 3.2), 2)
    dash, gap = rng.uniform(2, 4), rng.uniform(2.5, 5)
    start = rng.uniform(NEAR, NEAR + dash + gap)
    steps = [start + i * (dash + gap) for i in range(int(end / (dash + gap)))]
    for lane in range(1, lanes):
        x = x0 + (x1 - x0) * lane / lanes
        if rng.chance(0.2):
            stripes = [(x - 0.07, NEAR, x + 0.07, end)]
        else:
            stripes = [(x - 0.08, z, x + 0.08, min(z + dash, end)) for z in steps if z < end]
        canvas.fill(GROUND.box(stripes), paint)
    if rng.chance(0.5):
        edges = [(x0 + 0.2, NEAR, x0 + 0.36, end), (x1 - 0.36, NEAR, x1 - 0.2, end)]
        canvas.fill(GROUND.box(edges), paint)
    if rng.chance(0.35):
        z = rng.uniform(7, 18)
        bars = range(int(x1 - x0 - 0.4))
        canvas.fill(GROUND.box([(x0 + 0.4 + i, z, x0 + 0.9 + i, z + 3) for i in bars]), paint)
    elif rng.chance(0.3):
        z = rng.uniform(6, 15)
        canvas.fill(GROUND.box((x0 + x1) / 2, z, x1, z + 0.5), paint)


def sidewalk(canvas: Canvas, rng: Rng, x0: float, x1: float, end: float) -> None:
    """Slabs in two tones and a kerb on the side of the road."""
    colour = rng.near(rng.pick(SLABS), 12)
    canvas.fill(GROUND.box(x0, NEAR, x1, end), colour, PAVING, "sidewalk")
    columns = max(round(x1 - x0), 2)
    wide, step = (x1 - x0) / columns, rng.uniform(0.8, 1.1)
    z, row, slabs = NEAR + rng.uniform(0, step), 0, []
    while z < min(end, 40):
        far = z + step * (1 + z / 30)
        slabs += [(x0 + wide * i, z, x0 + wide * (i + 1), far) for i in range(row % 2, columns, 2)]
        z, row = far, row + 1
    canvas.fill(GROUND.box(slabs), scaled(colour, rng.uniform(0.6, 0.75)), PAVING)
    x = x0 if abs(x0) < abs(x1) else x1
    canvas.fill(GROUND.box(x - 0.1, NEAR, x + 0.1, end), scaled(colour, 1.25))


def parking(canvas: Canvas, rng: Rng, x0: float, x1: float, end: float) -> None:
    colour = rng.near(rng.grey(75, 150), 10)
    canvas.fill(GROUND.box(x0, NEAR, x1, end), colour, PAVING, "parking")
    bays = [(x0, z, x1, z + 0.15) for z in np.arange(rng.uniform(1, 6), 40, 5.5)]
    canvas.fill(GROUND.box(bays), (215, 215, 210))


def terrain(canvas: Canvas, rng: Rng, x0: float, x1: float, end: float) -> None:
    """A strip of grass with tufts and bare spots."""
    colour = rng.near(rng.pick(GRASSES))
    canvas.fill(GROUND.box(x0, NEAR, x1, end), colour, GRASS, "terrain")
    for _ in range(3):
        z, x = rng.uniform(5, 25), rng.uniform(x0, x1)
        spot = scaled(rng.near(colour), rng.uniform(0.8, 1.2))
        size = min(rng.uniform(0.3, 1.0), (x1 - x0) / 2)
        x = min(max(x, x0 + size), x1 - size)
        canvas.fill(GROUND.disc(x, z + 1, size, 1, corners=14), spot, GRASS)


def rails(canvas: Canvas, rng: Rng, x: float, end: float) -> None:
    """A tram track around x: a bed with sleepers and two rails."""
    bed = rng.grey(70, 140)
    canvas.fill(GROUND.box(x - 1.3, NEAR, x + 1.3, end), bed, ASPHALT, "rail track")
    sleepers = [(x - 1.1, z, x + 1.1, z + 0.4) for z in np.arange(2, 30, 1.6)]
    canvas.fill(GROUND.box(sleepers), scaled(bed, 0.72), ASPHALT)
    lines = [(x - 0.78, NEAR, x - 0.62, end), (x + 0.62, NEAR, x + 0.78, end)]
    canvas.fill(GROUND.box(lines), scaled(bed, 0.45 if rng.chance(0.5) else 1.6))


def crossing(canvas: Canvas, rng: Rng, z0: float, z1: float) -> None:
    """A road that crosses the street at right angles."""
    canvas.fill(GROUND.box(-90, z0, 90, z1), rng.grey(55, 110), ASPHALT, "road")

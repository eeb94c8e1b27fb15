"""What stands beside the street: buildings, walls, fences, trees, hedges, bridges."""

import math

import numpy as np

from semask.data.streets.canvas import Canvas, Face, Rectangle, board, row, stack, upright
from semask.data.streets.materials import FOLIAGE, GRASS, PLASTER, STONE
from semask.data.streets.palette import EARTHS, FACADES, GRASSES, LEAVES, Colour, Rng, scaled

STONES = ((158, 88, 68), (140, 78, 62), (172, 104, 80))


def windows(canvas: Canvas, rng: Rng, facade: Face, colour: Colour) -> None:
    """A grid of windows and, below it, doors or a shop front, on a facade of a given colour."""
    length, height = facade.size
    columns = max(round(length / rng.uniform(2.0, 3.0)), 1)
    storey = rng.uniform(2.8, 3.5)
    sill = rng.uniform(3.6, 4.4) if height > 8 else 1.0
    width, tall = rng.uniform(0.46, 0.64), rng.uniform(0.5, 0.66) * storey / height
    glass: list[Rectangle] = []
    for floor in range(max(int((height - sill) / storey), 1)):
        v = (sill + floor * storey) / height
        glass += row(columns, 0.5 - width / 2, v, 0.5 + width / 2, min(v + tall, 0.97))
    pane = rng.near((235, 200, 130) if rng.chance(0.1) else (52, 58, 68), 10)
    if rng.chance(0.8):
        u, v = 0.13 * width / columns, 0.11 * tall
        shade = scaled(colour, 0.65) if rng.chance(0.3) else rng.near((215, 212, 205), 8)
        canvas.fill(facade.box(np.add(glass, (-u, -v, u, v))), shade, PLASTER)
    canvas.fill(facade.box(glass), pane)
    if rng.chance(0.6):
        bars = [(0.55 * a + 0.45 * b, v0, 0.45 * a + 0.55 * b, v1) for a, v0, b, v1 in glass]
        canvas.fill(facade.box(bars), scaled(colour, 1.15))
    if height <= 8:
        return
    high = 2.7 / height
    if rng.chance(0.4):  # shop: panes under a sign board
        canvas.fill(facade.box(row(columns, 0.15, 0.6 / height, 0.85, high)), pane)
        canvas.fill(facade.box(0.02, high, 0.98, 3.3 / height), rng.paint())
    else:
        doors = row(columns, 0.32, 0.0, 0.68, high)[::2]
        canvas.fill(facade.box(doors), rng.near(rng.pick(EARTHS), 20))


def building(
    canvas: Canvas, rng: Rng, x: float, side: int, z0: float, z1: float, light: float
) -> None:
    """A house along the street: the facade at x, and the gable that faces the camera.

    `side` is 1 on the right and -1 on the left; `light` the brightness of the facade, which the
    gable has the less of the more the facade has.
    """
    height = rng.uniform(6, 19)
    colour = rng.usual(FACADES)
    depth = rng.uniform(8, 14) * side
    sunny, shady = scaled(colour, light), scaled(colour, 2 - light)
    shapes = []
    gable = upright(x, z0, x + depth, z0, height)
    facade = upright(x, z0, x, z1, height)
    if rng.chance(0.5):  # a pitched roof
        back, top = x + depth / 2, height + rng.uniform(1.5, 4)
        tiles = rng.near(rng.pick(((150, 75, 55), (75, 70, 72), (110, 80, 65))), 15)
        slope = Face((x, height, z0), (x, height, z1), (back, top, z1), (back, top, z0))
        shapes += canvas.fill(slope.quad, tiles, STONE)
        corners = [(x, height, z0), (x + depth, height, z0), (back, top, z0)]
        shapes += canvas.fill(np.array(corners), shady, PLASTER)
        for u in (0.3, 0.7) if rng.chance(0.6) else ():
            z = z0 + (z1 - z0) * u
            chimney = upright(back, z, back, z + 1.2, top + 1.4, top - 1)
            shapes += canvas.fill(chimney.quad, scaled(tiles, 0.8), STONE)
    shapes += canvas.fill(gable.quad, shady, PLASTER)
    shapes += canvas.fill(facade.quad, sunny, PLASTER)
    canvas.label("building", shapes)
    windows(canvas, rng, gable, shady)
    windows(canvas, rng, facade, sunny)
    eaves = facade.box(0, 1 - 0.5 / height, 1, 1)
    canvas.fill(eaves, scaled(sunny, rng.uniform(0.7, 1.3)), PLASTER)


def row_of_houses(canvas: Canvas, rng: Rng, z: float, reach: float) -> None:
    """Houses across the end of the street, facing the camera, as far as X = ±`reach`."""
    x = -reach
    while x < reach:
        end = x + rng.uniform(6, 14)
        colour, height = rng.usual(FACADES), rng.uniform(6, 16)
        facade = upright(x, z, end, z, height)
        shapes = canvas.fill(facade.quad, colour, PLASTER)
        if rng.chance(0.5):
            roof = [(x, height, z), (end, height, z), ((x + end) / 2, height + 3, z + 4)]
            shapes += canvas.fill(np.array(roof), scaled(colour, 0.7), STONE)
        canvas.label("building", shapes)
        windows(canvas, rng, facade, colour)
        x = end


def skyline(canvas: Canvas, rng: Rng, distance: float) -> None:
    """A distant band of trees and blocks above the horizon."""
    plane, unit = board(0, distance), distance / 100
    trees = []
    blocks = []
    panes = []
    x = -canvas.reach(distance)
    while x < canvas.reach(distance):
        width = rng.uniform(5, 20) * unit
        if rng.chance(0.5):
            height = rng.uniform(4, 16) * unit
            blocks.append((x, -2, x + width, height))
            lows = [(1 + 2.6 * j) * unit for j in range(int(height / unit / 2.6))]
            for i in range(1, int(width / unit / 2.4)):
                u = x + 2.4 * i * unit
                panes += stack(u - 0.6 * unit, u + 0.6 * unit, 1.3 * unit, *lows)
        else:
            for u, v in ((0.2, 1.0), (0.8, 0.6), (0.5, 2.2)):
                size = rng.uniform(0.35, 0.5) * width
                trees.append((x + u * width, v * unit, size, size * 0.6))
        x += width * rng.uniform(0.8, 1.3)
    leaf, stone = rng.near(rng.pick(LEAVES), 12), rng.usual(FACADES)
    if trees:
        parts = [(crown, rng.near(leaf, 5)) for crown in plane.disc(trees)]
        canvas.label("vegetation", canvas.fill_each(parts, FOLIAGE))
    if blocks:
        walls = [rng.near(stone if rng.chance(0.5) else rng.usual(FACADES), 10) for _ in blocks]
        parts = list(zip(plane.box(blocks), walls, strict=True))
        canvas.label("building", canvas.fill_each(parts, PLASTER))
        canvas.fill(plane.box(panes), scaled(stone, 0.6))


def wall(canvas: Canvas, rng: Rng, face: Face) -> None:
    """A free-standing wall of stone blocks or bricks, with a coping."""
    length, height = face.size
    colour = rng.usual(STONES)
    canvas.fill(face.quad, colour, STONE, "wall")
    courses = max(round(height / rng.uniform(0.5, 0.65)), 3)
    bricks = max(round(length / rng.uniform(1.1, 1.5)), 2)
    joint = scaled(colour, 0.45 if rng.chance(0.3) else 1.7)
    h, w = 0.07 / height, 0.1 / length
    beds = [(0, i / courses - h, 1, i / courses + h) for i in range(1, courses)]
    canvas.fill(face.box(beds), joint, STONE)
    heads = [
        (u - w, course / courses, u + w, (course + 1) / courses)
        for course in range(courses)
        for i in range(bricks)
        if 0 < (u := (i + 0.5 * (course % 2)) / bricks) < 1
    ]
    canvas.fill(face.box(heads), joint, STONE)
    canvas.fill(face.box(0, 1 - 0.2 / height, 1, 1), scaled(colour, 1.25), STONE)


def fence(canvas: Canvas, rng: Rng, face: Face) -> None:
    """Pickets on two rails; what is behind shows through, in their shade."""
    length, height = face.size
    colour = rng.near(rng.pick(((215, 215, 210), (185, 145, 100), (165, 125, 85))), 12)
    count = max(round(length / rng.uniform(0.8, 1.1)), 3)
    half = rng.uniform(0.24, 0.3) / count
    canvas.label("fence", list(canvas.project(face.quad)))
    canvas.shade(face.quad, 0.55)
    rail = 0.06 / height
    canvas.fill(face.box([(0, v - rail, 1, v + rail) for v in (0.2, 0.8)]), scaled(colour, 0.7))
    pickets = [
        [(u - half, 0), (u + half, 0), (u + half, 0.92), (u, 1), (u - half, 0.92)]
        for u in [(i + 0.5) / count for i in range(count)]
    ]
    canvas.fill(face.at(pickets), colour)


def guard_rail(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """A steel beam on short posts, 12 metres along the street."""
    face = upright(x, z, x, z + 12, 0.8)
    steel = rng.grey(120, 190)
    shapes = canvas.fill(face.box(row(6, 0, 0, 0.12, 0.8)), scaled(steel, 0.6))
    shapes += canvas.fill(face.box(0, 0.5, 1, 1), steel)
    canvas.fill(face.box(0, 0.7, 1, 0.8), scaled(steel, 0.7))
    canvas.label("guard rail", shapes)


def crown(canvas: Canvas, rng: Rng, x: float, z: float, y: float, rx: float, ry: float) -> None:
    """Leaves: overlapping clumps around (x, y, z), lighter towards the top."""
    colour = rng.near(rng.pick(LEAVES), 12)
    plane = board(x, z)
    turn = rng.uniform(0, 6)
    clumps = [(plane.disc(0, y, rx * 0.8, ry * 0.8), colour)]
    for i in range(9):
        angle, size = turn + i * 0.698 + rng.uniform(-0.2, 0.2), rng.uniform(0.32, 0.5)
        u, high = math.cos(angle) * rx * 0.62, math.sin(angle)
        clump = plane.disc(u, y + high * ry * 0.62, rx * size, ry * size)
        clumps.append((clump, scaled(colour, 0.85 + 0.16 * high + rng.uniform(-0.1, 0.1))))
    canvas.label("vegetation", canvas.fill_each(clumps, FOLIAGE))
    if ry * canvas.camera.focal / z < canvas.pixels.shape[0] / 16:  # too far to see leaves
        return
    for factor in (0.55, 1.5):
        spots = []
        for _ in range(9):
            angle, reach = rng.uniform(0, 6.28), rng.uniform(0, 0.8)
            u, v = math.cos(angle) * rx * reach, y + math.sin(angle) * ry * reach
            spots.append((u, v, rx * 0.13, ry * 0.11))
        canvas.fill(plane.disc(spots, corners=6), scaled(colour, factor), FOLIAGE)


def tree(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """A trunk and a crown; at times a bush or a conifer."""
    if rng.chance(0.15):
        crown(canvas, rng, x, z, 0.9, rng.uniform(0.9, 1.6), rng.uniform(0.9, 1.4))
        return
    height, trunk = rng.uniform(4.5, 8.5), rng.uniform(0.16, 0.3)
    bark = rng.near(rng.pick(((90, 72, 55), (110, 100, 90), (65, 55, 48))), 10)
    plane, fork = board(x, z), (trunk * 0.6, height * 0.6)
    stem = plane.at([(-trunk, 0), (trunk, 0), fork, (-fork[0], fork[1])])
    canvas.fill(stem, bark, GRASS, "vegetation")
    if rng.chance(0.2):
        colour = rng.near((55, 80, 55), 14)
        shapes = []
        for i in range(4):
            low, half = height * (0.15 + 0.2 * i), height * (0.3 - 0.06 * i)
            tier = plane.at([(-half, low), (half, low), (0, low + height * 0.42)])
            shapes += canvas.fill(tier, scaled(colour, 0.9 + 0.1 * i), FOLIAGE)
        canvas.label("vegetation", shapes)
    else:
        radius = height * rng.uniform(0.25, 0.4)
        crown(canvas, rng, x, z, height * 0.72, radius, height * rng.uniform(0.3, 0.4))


def hedge(canvas: Canvas, rng: Rng, face: Face) -> None:
    length, _ = face.size
    colour = rng.near(rng.pick(LEAVES), 12)
    steps = max(round(length / 1.2), 4)
    top = [(1 - i / steps, 1 + rng.uniform(-0.12, 0.12)) for i in range(steps + 1)]
    canvas.fill(face.at([(0, 0), (1, 0), *top]), colour, FOLIAGE, "vegetation")
    for tone in (0.6, 1.4):
        at = [(rng.uniform(0.03, 0.97), rng.uniform(0.1, 0.85)) for _ in range(12)]
        spots = [(u, v, 0.4 / length, 0.12) for u, v in at]
        canvas.fill(face.disc(spots, corners=6), scaled(colour, tone), FOLIAGE)


def bank(canvas: Canvas, rng: Rng, x: float, side: int, z0: float, z1: float) -> None:
    """A grassy slope that rises away from the street."""
    rise, far = rng.uniform(0.3, 1.6), x + rng.uniform(8, 14) * side
    slope = Face((x, 0, z0), (x, 0, z1), (far, rise, z1), (far, rise, z0))
    canvas.fill(slope.quad, rng.near(rng.pick(GRASSES)), GRASS, "terrain")


def bridge(canvas: Canvas, rng: Rng, z: float, x0: float, x1: float) -> None:
    low = rng.uniform(4.6, 5.6)
    high = low + rng.uniform(1.2, 2.0)
    colour = rng.paint()
    deck = upright(x0, z, x1, z, high, low)
    shapes = canvas.fill(deck.quad, colour, PLASTER)
    under = Face((x0, low, z), (x1, low, z), (x1, low, z + 8), (x0, low, z + 8))
    shapes += canvas.fill(under.quad, scaled(colour, 0.4), PLASTER)
    for x in (x0, x1 - 1.4):
        shapes += canvas.fill(board(x, z).box(0, 0, 1.4, low), scaled(colour, 0.8), PLASTER)
    canvas.label("bridge", shapes)
    canvas.fill(deck.box(0, 0.75, 1, 0.85), scaled(colour, 0.6))

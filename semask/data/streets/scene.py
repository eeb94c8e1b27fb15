"""One street scene: which things stand where, drawn from the far end to the camera."""

import hashlib
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semask.data.streets import furniture, ground, people, roadside, vehicles
from semask.data.streets.canvas import SUPERSAMPLING, Camera, Canvas, upright
from semask.data.streets.develop import develop
from semask.data.streets.palette import SKIES, Rng

ACROSS = math.pi / 2

Draw = Callable[..., object]
Thing = tuple[float, Draw, tuple[object, ...]]  # Z of the far edge, what draws it, its place


class Street(NamedTuple):
    """A street: X in metres of what lies on its left (-1) and on its right (1), and its run."""

    edge: dict[int, float]  # of the road
    verge: dict[int, float]  # the outer edge of the sidewalk
    front: dict[int, float]  # where walls, fences and facades stand
    junction: float | None  # distance of the middle of a crossing road
    end: float  # how far the street runs


def scene(
    key: str, index: int, width: int, height: int
) -> tuple[npt.NDArray[np.uint8], list[dict[str, object]]]:
    """Draw one scene, of a width and a height in pixels.

    `key` is what the scene depends on besides its number in its city: seed, split and city.
    Neighbours differ in what they are bound to show, so that few scenes show every class.

    Returns:
        The picture (height, width, 3) uint8 RGB and its objects, back to front.
    """
    rng = Rng(f"{key} {index}")
    turn = index + hashlib.sha256(key.encode()).digest()[0]
    camera = Camera(  # at the height of a car's windscreen, looking roughly down the street
        focal=rng.uniform(1.4, 1.8) * height * SUPERSAMPLING,
        height=rng.uniform(1.45, 1.9),
        centre_x=rng.uniform(0.36, 0.64) * width * SUPERSAMPLING,
        centre_y=rng.uniform(0.36, 0.5) * height * SUPERSAMPLING,
        roll=rng.uniform(-0.03, 0.03),
        mirrored=rng.chance(0.5),
    )
    visibility = rng.uniform(60, 110) if rng.chance(0.25) else rng.uniform(150, 500)
    zenith, horizon = (rng.near(colour, 8) for colour in rng.pick(SKIES))
    canvas = Canvas(width, height, camera, horizon, visibility)
    ground.sky(canvas, rng, zenith, horizon)
    street = street_plan(rng)
    backdrop(canvas, rng, street, turn)
    lanes(canvas, rng, street, turn)
    for side in (-1, 1):
        frontage(canvas, rng, street, side, turn)
    things = [*traffic(rng, street, turn), *pavement(rng, street, turn)]
    things += foreground(canvas, rng, turn)
    if rng.chance(0.1):
        z = rng.uniform(22, 40)
        things.append((z, roadside.bridge, (z, street.front[-1], street.front[1])))
    for _, draw, where in sorted(things, key=lambda thing: -thing[0]):
        draw(canvas, rng, *where)
    if rng.chance(0.4):
        furniture.ego_vehicle(canvas, rng)
    if rng.chance(0.25):
        furniture.borders(canvas, rng)
    return develop(canvas, rng), canvas.objects


def street_plan(rng: Rng) -> Street:
    """Widths drawn at random; traffic keeps right and the camera is in the right lane."""
    edge = {1: rng.uniform(1.1, 1.9), -1: -rng.uniform(3.2, 5.0)}
    verge = {1: edge[1] + rng.uniform(1.8, 3.2), -1: edge[-1] - rng.uniform(1.6, 3.0)}
    greens = {side: rng.uniform(1, 2.5) if rng.chance(0.4) else 0 for side in (1, -1)}
    front = {side: verge[side] + side * green for side, green in greens.items()}
    junction = rng.uniform(9.5, 13) if rng.chance(0.45) else None
    if junction and rng.chance(0.7):  # the street ends there
        end = junction + 3
    else:
        end = rng.uniform(24, 34) if rng.chance(0.3) else rng.uniform(45, 90)
    return Street(edge, verge, front, junction, end)


def backdrop(canvas: Canvas, rng: Rng, street: Street, turn: int) -> None:
    """Open ground, a skyline, and what stands across the end of a short street."""
    ground.open_ground(canvas, rng)
    if rng.chance(0.75):
        roadside.skyline(canvas, rng, rng.uniform(120, 200))
    if street.end > 40:
        return
    z = street.end + rng.uniform(1, 4)
    reach = canvas.reach(z)
    barrier = (None, roadside.wall, roadside.fence)[turn // 2 % 3]
    if barrier is None or rng.chance(0.4):
        roadside.row_of_houses(canvas, rng, z + (8 if barrier else 0), reach)
    else:
        for _ in range(3):
            roadside.tree(canvas, rng, rng.uniform(-reach, reach), z + 3)
    if barrier:
        barrier(canvas, rng, upright(-reach, z, reach, z, rng.uniform(3.2, 4.6)))


def lanes(canvas: Canvas, rng: Rng, street: Street, turn: int) -> None:
    """The ground from facade to facade."""
    left, right, end = street.edge[-1], street.edge[1], street.end
    for side in (-1, 1):
        x0, x1 = sorted((street.front[side], street.verge[side]))
        if x0 != x1:
            ground.terrain(canvas, rng, x0, x1, end)
    ground.road(canvas, rng, left, right, end)
    ground.sidewalk(canvas, rng, street.verge[-1], left, end)
    ground.sidewalk(canvas, rng, right, street.verge[1], end)
    ground.markings(canvas, rng, left, right, end)
    if rng.chance(0.2):
        ground.parking(canvas, rng, right, right + 2.0, end)
    elif rng.chance(0.4):
        ground.terrain(canvas, rng, right + 0.1, right + 1.4, end)
    if street.junction:
        ground.crossing(canvas, rng, street.junction - 3, street.junction + 3)
    if turn % 3 == 2 or rng.chance(0.08):
        ground.rails(canvas, rng, left + 1.6, end)


def plots(rng: Rng, street: Street) -> Iterator[tuple[float, float]]:
    """Where the plots along one side of a street begin and end, nearest first."""
    z, middle = rng.uniform(2, 4), street.junction
    corner, opposite = (middle - 3, middle + 3) if middle else (street.end, street.end)
    while z < street.end:
        if corner - 2 < z < opposite:  # the crossing road is there
            z = opposite
            continue
        length = rng.uniform(7, 14) * (1 + z / 30)
        end = min(z + length, corner if z < corner else street.end)
        yield z, end
        z = end


def frontage(canvas: Canvas, rng: Rng, street: Street, side: int, turn: int) -> None:
    """One side of the street, from far to near: mostly houses, a wall, a fence or a green."""
    x = street.front[side]
    kinds = ("houses", "wall", "green", "fence")
    main = kinds[(turn + (1 + turn // 4 % 3 if side < 0 else 0)) % 4]
    light = rng.uniform(0.82, 1.15)
    for z0, z1 in reversed(list(plots(rng, street))):
        kind = main if z0 < 16 or rng.chance(0.4) else rng.pick(kinds)
        if kind == "houses":
            roadside.building(canvas, rng, x, side, z0, z1, light)
            continue
        first, last = (z1, z0) if side > 0 else (z0, z1)  # from left to right, seen from the street
        set_back = x + side * rng.uniform(6, 9)
        if kind == "green":
            roadside.bank(canvas, rng, x, side, z0, z1)
            face = upright(set_back, first, set_back, last, rng.uniform(1.4, 2.2))
            if rng.chance(0.5):
                roadside.hedge(canvas, rng, face)
            if rng.chance(0.5):
                roadside.tree(canvas, rng, set_back, (z0 + z1) / 2)
            continue
        if rng.chance(0.4):
            roadside.building(canvas, rng, set_back, side, z0, z1, light)
        elif rng.chance(0.6):
            for t in (0.8, 0.3):
                roadside.tree(canvas, rng, x + side * rng.uniform(1.5, 4), z0 + t * (z1 - z0))
        draw = roadside.wall if kind == "wall" else roadside.fence
        draw(canvas, rng, upright(x, first, x, last, rng.uniform(2.5, 4.0)))


def traffic(rng: Rng, street: Street, turn: int) -> Iterator[Thing]:
    """Vehicles on the road, each in a place of its own so that they stay visible."""
    car, train = vehicles.car, vehicles.train
    heavy = (vehicles.bus, vehicles.truck, train)[turn % 3]
    left, right = street.edge[-1], street.edge[1]
    centre = (left + right) / 2
    mine, theirs = (centre + right) / 2, (centre + left) / 2
    if heavy is train:
        if street.junction:
            z = street.junction
            yield z + 2, train, (rng.uniform(-16, -6), z, ACROSS)
        elif rng.chance(0.6):
            z = rng.uniform(8, 12)
            yield z + 10, train, (left + 1.6, z + 20, math.pi)
        else:
            z = rng.uniform(7, 11)
            yield z + 10, train, (left + 1.6, z, 0.0)
        yield 8, car, (mine, rng.uniform(6.5, 9), rng.uniform(-0.15, 0.15))
    elif street.junction:  # crosses in front of us
        z = street.junction
        side = rng.side()
        x = rng.uniform(-7, -2) if side > 0 else rng.uniform(2, 7)
        yield z + 1.5, heavy, (x, z, side * ACROSS + rng.uniform(-0.1, 0.1))
        yield 7, car, rng.pick(((mine, 7.5, 0.0), (theirs, z - 2.5, math.pi)))
    elif rng.chance(0.55):  # ahead of us
        z = rng.uniform(7, 11)
        yield z + 5, heavy, (mine, z, rng.uniform(-0.12, 0.12))
        yield 8, car, (theirs, rng.uniform(11, 14), math.pi)
    else:  # comes towards us
        z = rng.uniform(8, 11)
        yield z + 5, heavy, (theirs, z + 9, math.pi + rng.uniform(-0.1, 0.1))
        yield 8, car, (mine, rng.uniform(6.5, 9), rng.uniform(-0.1, 0.1))
    for x, heading in ((mine, 0.0), (theirs, math.pi)):
        if rng.chance(0.5):
            z = rng.uniform(24, 45)
            yield z + 4, car, (x, z, heading)
    if rng.chance(0.35):  # parked along the right kerb
        z = rng.uniform(7, 10)
        for _ in range(rng.count(1, 5)):
            parked = rng.pick((vehicles.caravan, vehicles.trailer)) if rng.chance(0.1) else car
            yield z + 4, parked, (right + 0.9, z, math.pi if rng.chance(0.2) else 0.0)
            z += rng.uniform(5.2, 7)
    if rng.chance(0.3):
        z = rng.uniform(8, 16)
        for _ in range(rng.count(1, 4)):
            yield z, car, (left - 0.8, z + 4.4, math.pi)
            z += rng.uniform(5.2, 7)
    if rng.chance(0.12):
        z = rng.uniform(40, 60)
        for i in range(4):
            yield z + i, car, (centre + 2 * i - 3, z, 0.0, "cargroup")


def foreground(canvas: Canvas, rng: Rng, turn: int) -> Iterator[Thing]:
    """People and two-wheelers near the camera, side by side so that few hide each other."""
    wanted: list[Draw] = [people.rider, people.motorcycle, people.person]
    if turn // 3 % 2:
        wanted[:2] = partial(people.rider, motor=True), people.bicycle
    if rng.chance(0.3):
        wanted.append(people.person)
    slots = sorted(range(5), key=lambda _: rng.random())
    for slot, draw in zip(slots, wanted, strict=False):
        z = rng.uniform(4.4, 6.8)
        x = canvas.across((slot + rng.uniform(0.3, 0.7)) / 5, z)
        if draw is people.person:
            yield z, draw, (x, z)
            continue
        yaw = rng.uniform(-0.5, 0.5) + (math.pi if rng.chance(0.5) else 0.0)
        if rng.chance(0.15):
            yaw = ACROSS
        yield z, draw, (x - math.cos(yaw), z, yaw)


def pavement(rng: Rng, street: Street, turn: int) -> Iterator[Thing]:
    """Poles, lights, signs, trees, passers-by and small things."""

    def at(z: float, draw: Draw, x: float, *more: object) -> Thing:
        return z, draw, (x, z, *more)

    def walk(side: int) -> float:
        inner, outer = street.edge[side], street.verge[side]
        return inner + (outer - inner) * rng.uniform(0.2, 0.9)

    def kerb(side: int, gap: float = 0.3) -> float:
        return street.edge[side] + side * gap

    near = rng.side()
    for side in (near, -near):  # close enough to be seen well
        z = rng.uniform(6, 8) if side > 0 else rng.uniform(8, 11)
        masted = (turn + (side == near)) % 2
        yield at(z, furniture.signal_mast if masted else furniture.sign_post, kerb(side))
        if rng.chance(0.35):
            other = rng.pick((furniture.lamp, furniture.sign_post, furniture.signal_mast))
            yield at(rng.uniform(12, 22), other, kerb(side))
    if rng.chance(0.5):
        for i in range(rng.count(2, 5)):
            side = rng.side()
            x = street.front[side] - side * 0.5
            yield at(rng.uniform(9, 14) + 7 * i, roadside.tree, x)
    for _ in range(rng.count(0, 2.5)):
        yield at(rng.uniform(8, 13), people.person, walk(rng.side()))
    if rng.chance(0.15):
        z = rng.uniform(7, 9)
        yield z + 12, roadside.guard_rail, (kerb(near, 0.1), z)
    for draw, probability in (
        (furniture.static, 0.4), (furniture.dynamic, 0.15), (furniture.bollards, 0.12),
        (furniture.pole_group, 0.08),
    ):  # fmt: skip
        if rng.chance(probability):
            yield at(rng.uniform(7, 16), draw, walk(rng.side()))
    if rng.chance(0.12):
        z, x = rng.uniform(22, 32), walk(-near)
        for i in range(4):
            yield at(z + i, people.person, x + 0.4 * i, "persongroup")
    if rng.chance(0.12):
        z, x = rng.uniform(10, 14), walk(near)
        for i in range(3):
            yield at(z + 0.5 * i, people.bicycle, x + 0.3 * i, 0.3, "group")
    if rng.chance(0.08):
        z = rng.uniform(24, 34)
        for i in range(3):
            yield at(z + i, people.rider, street.edge[-1] + 0.5 + 0.8 * i, ACROSS, "group")

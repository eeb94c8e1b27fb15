"""Where the vehicles, the people and the street furniture of a scene stand."""

import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

from semask.data.streets import furniture, people, roadside, vehicles
from semask.data.streets.canvas import Canvas, Face
from semask.data.streets.palette import chance, pick

ACROSS = math.pi / 2


class Street(NamedTuple):
    """The cross-section of a street, X in metres."""

    left: float  # the road's edges
    right: float
    verge_left: float  # outer edges of the sidewalks
    verge_right: float
    front_left: float  # where walls, fences and facades stand
    front_right: float
    junction: float | None  # distance of the middle of a crossing road
    end: float  # how far the street runs


Draw = Callable[..., object]
Thing = tuple[float, Callable[[], object]]  # distance of the far edge, and what draws it


def traffic(canvas: Canvas, rng: Random, street: Street, turn: int) -> list[Thing]:
    """Vehicles on the road, each in a place of its own so that they stay visible."""
    things: list[Thing] = []

    def add(far: float, draw: Draw, *args: float) -> None:
        things.append((far, partial(draw, canvas, rng, *args)))

    heavy = (vehicles.bus, vehicles.truck, vehicles.train)[turn % 3]
    centre = (street.left + street.right) / 2
    mine, theirs = (centre + street.right) / 2, (centre + street.left) / 2
    if heavy is vehicles.train:
        track = street.left + 1.6
        if street.junction:
            z = street.junction
            add(z + 2, vehicles.train, rng.uniform(-16, -6), z, ACROSS)
        elif chance(rng, 0.6):
            z = rng.uniform(8, 12)
            add(z + 10, vehicles.train, track, z + 20, math.pi)
        else:
            z = rng.uniform(7, 11)
            add(z + 10, vehicles.train, track, z, 0.0)
        add(8, vehicles.car, mine, rng.uniform(6.5, 9), rng.uniform(-0.15, 0.15))
    elif street.junction:  # crosses in front of us
        z = street.junction
        heading = ACROSS if chance(rng, 0.5) else -ACROSS
        x = rng.uniform(-7, -2) if heading > 0 else rng.uniform(2, 7)
        add(z + 1.5, heavy, x, z, heading + rng.uniform(-0.1, 0.1))
        add(7, vehicles.car, *pick(rng, ((mine, 7.5, 0.0), (theirs, z - 2.5, math.pi))))
    elif chance(rng, 0.55):  # ahead of us
        z = rng.uniform(7, 11)
        add(z + 5, heavy, mine, z, rng.uniform(-0.12, 0.12))
        add(8, vehicles.car, theirs, rng.uniform(11, 14), math.pi)
    else:  # comes towards us
        z = rng.uniform(8, 11)
        add(z + 5, heavy, theirs, z + 9, math.pi + rng.uniform(-0.1, 0.1))
        add(8, vehicles.car, mine, rng.uniform(6.5, 9), rng.uniform(-0.1, 0.1))
    for x, heading in ((mine, 0.0), (theirs, math.pi)):
        if chance(rng, 0.5):
            z = rng.uniform(24, 45)
            add(z + 4, vehicles.car, x, z, heading)
    if chance(rng, 0.35):  # parked along the right kerb
        z = rng.uniform(7, 10)
        for _ in range(int(rng.uniform(1, 5))):
            kind: Draw = vehicles.car
            if chance(rng, 0.1):
                kind = pick(rng, (vehicles.caravan, vehicles.trailer))
            add(z + 4, kind, street.right + 0.9, z, math.pi if chance(rng, 0.2) else 0.0)
            z += rng.uniform(5.2, 7)
    if chance(rng, 0.3):
        z = rng.uniform(8, 16)
        for _ in range(int(rng.uniform(1, 4))):
            add(z, vehicles.car, street.left - 0.8, z + 4.4, math.pi)
            z += rng.uniform(5.2, 7)
    if chance(rng, 0.12):
        z = rng.uniform(40, 60)
        for i in range(4):
            far = partial(vehicles.car, canvas, rng, centre + 2 * i - 3, z, 0.0, "cargroup")
            things.append((z + i, far))
    return things


def foreground(canvas: Canvas, rng: Random, turn: int) -> list[Thing]:
    """People and two-wheelers near the camera, side by side so that few hide each other."""
    ridden, parked = (
        (people.cyclist, people.motorcycle),
        (people.motorcyclist, people.bicycle),
    )[turn // 3 % 2]
    wanted: list[Draw] = [ridden, parked, people.person]
    if chance(rng, 0.3):
        wanted.append(people.person)
    slots = sorted(range(5), key=lambda _: rng.random())
    things: list[Thing] = []
    for slot, draw in zip(slots, wanted, strict=False):
        z = rng.uniform(4.4, 6.8)
        x = canvas.across((slot + rng.uniform(0.3, 0.7)) / 5, z)
        if draw is people.person:
            things.append((z, partial(draw, canvas, rng, x, z)))
            continue
        yaw = rng.uniform(-0.5, 0.5) + (math.pi if chance(rng, 0.5) else 0.0)
        if chance(rng, 0.15):
            yaw = ACROSS
        things.append((z, partial(draw, canvas, rng, x - math.cos(yaw), z, yaw)))
    return things


def pavement(canvas: Canvas, rng: Random, street: Street, turn: int) -> list[Thing]:
    """Poles, lights, signs, trees, passers-by and small things."""
    things: list[Thing] = []

    def add(z: float, draw: Draw, x: float, *more: object) -> None:
        things.append((z, partial(draw, canvas, rng, x, z, *more)))

    def walk(side: int) -> float:
        inner, outer = street.right, street.verge_right
        if side < 0:
            inner, outer = street.left, street.verge_left
        return inner + (outer - inner) * rng.uniform(0.2, 0.9)

    def kerb(side: int) -> float:
        return street.left - 0.3 if side < 0 else street.right + 0.3

    near = 1 if chance(rng, 0.5) else -1
    for side in (near, -near):  # close enough to be seen well
        z = rng.uniform(6, 8) if side > 0 else rng.uniform(8, 11)
        masted = (turn + (side == near)) % 2
        add(z, furniture.signal_mast if masted else furniture.sign_post, kerb(side))
        if chance(rng, 0.35):
            other = pick(rng, (furniture.lamp, furniture.sign_post, furniture.signal_mast))
            add(rng.uniform(12, 22), other, kerb(side))
    if chance(rng, 0.5):
        for i in range(int(rng.uniform(2, 5))):
            side = 1 if chance(rng, 0.5) else -1
            x = street.front_right - 0.5 if side > 0 else street.front_left + 0.5
            add(rng.uniform(9, 14) + 7 * i, roadside.tree, x)
    for _ in range(int(rng.uniform(0, 2.5))):
        add(rng.uniform(8, 13), people.person, walk(1 if chance(rng, 0.5) else -1))
    if chance(rng, 0.15):
        z = rng.uniform(7, 9)
        x = street.left - 0.1 if near < 0 else street.right + 0.1
        face = Face((x, 0, z), (x, 0, z + 12), (x, 0.8, z + 12), (x, 0.8, z))
        things.append((z + 12, partial(roadside.guard_rail, canvas, rng, face, 12)))
    for draw, probability in (
        (furniture.static, 0.4), (furniture.dynamic, 0.15), (furniture.bollards, 0.12),
        (furniture.pole_group, 0.08),
    ):  # fmt: skip
        if chance(rng, probability):
            add(rng.uniform(7, 16), draw, walk(1 if chance(rng, 0.5) else -1))
    if chance(rng, 0.12):
        z, x = rng.uniform(22, 32), walk(-near)
        for i in range(4):
            add(z + i, people.person, x + 0.4 * i, "persongroup")
    if chance(rng, 0.12):
        z, x = rng.uniform(10, 14), walk(near)
        for i in range(3):
            add(z + 0.5 * i, people.bicycle, x + 0.3 * i, 0.3, "bicyclegroup")
    if chance(rng, 0.08):
        z = rng.uniform(24, 34)
        for i in range(3):
            add(z + i, people.cyclist, street.left + 0.5 + 0.8 * i, ACROSS, "group")
    return things

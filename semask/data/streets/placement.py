"""Where the vehicles, the people and the street furniture of a scene stand."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from semask.data.streets import furniture, people, roadside, vehicles
from semask.data.streets.canvas import Canvas
from semask.data.streets.palette import Rng

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
    wanted: list[Draw] = [people.cyclist, people.motorcycle, people.person]
    if turn // 3 % 2:
        wanted[:2] = people.motorcyclist, people.bicycle
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
            yield at(z + 0.5 * i, people.bicycle, x + 0.3 * i, 0.3, "bicyclegroup")
    if rng.chance(0.08):
        z = rng.uniform(24, 34)
        for i in range(3):
            yield at(z + i, people.cyclist, street.edge[-1] + 0.5 + 0.8 * i, ACROSS, "group")

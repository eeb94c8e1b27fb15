"""One street scene: which things stand where, drawn from the far end to the camera."""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from semask.data.streets import furniture, ground, people, roadside, vehicles
from semask.data.streets.canvas import SUPERSAMPLING, Camera, Canvas, Face
from semask.data.streets.develop import develop
from semask.data.streets.palette import SKIES, chance, jittered, pick

ACROSS = math.pi / 2


class Street(NamedTuple):
    """The cross-section of a street, X in metres."""

    left: float  # the road's edges
    right: float
    verge_left: float  # outer edges of the sidewalks
    verge_right: float
    front_left: float  # where walls, fences and facades stand
    front_right: float
    end: float  # how far the street runs


Thing = tuple[float, Callable[[], object]]  # distance of the far edge, and what draws it


def scene(
    key: str, index: int, width: int, height: int
) -> tuple[npt.NDArray[np.uint8], list[dict[str, object]]]:
    """Draw one scene.

    Args:
        key: what the scene depends on besides its index: seed, split and city.
        index: the scene's number in its city; neighbours differ in what they are bound to show,
            so that few scenes show every class.
        width: of the picture, in pixels.
        height: of the picture, in pixels.

    Returns:
        The picture (height, width, 3) uint8 RGB and its objects, back to front.
    """
    rng = Random(f"{key} {index}")
    turn = index + hashlib.sha256(key.encode()).digest()[0]
    canvas = Canvas(width, height, camera(rng, width, height), *air(rng))
    zenith, horizon = (jittered(rng, c, 8) for c in pick(rng, SKIES))
    canvas.haze = horizon
    ground.sky(canvas, rng, zenith, horizon)
    street = street_plan(rng)
    backdrop(canvas, rng, street)
    lanes(canvas, rng, street, turn)
    for side in (-1, 1):
        frontage(canvas, rng, street, side, turn)
    things = traffic(canvas, rng, street, turn) + pavement(canvas, rng, street, turn)
    if chance(rng, 0.1):
        z = rng.uniform(22, 40)
        span = (street.front_left, street.front_right)
        things.append((z, partial(roadside.bridge, canvas, rng, z, *span)))
    for _, draw in sorted(things, key=lambda thing: -thing[0]):
        draw()
    if chance(rng, 0.4):
        furniture.ego_vehicle(canvas, rng)
    if chance(rng, 0.25):
        furniture.borders(canvas, rng)
    return develop(canvas, rng), canvas.objects


def camera(rng: Random, width: int, height: int) -> Camera:
    """A camera at a driver's to a lorry driver's height, looking roughly down the street."""
    return Camera(
        focal=rng.uniform(1.35, 1.75) * height * SUPERSAMPLING,
        height=rng.uniform(1.5, 2.3),
        centre_x=rng.uniform(0.36, 0.64) * width * SUPERSAMPLING,
        centre_y=rng.uniform(0.36, 0.5) * height * SUPERSAMPLING,
        roll=rng.uniform(-0.03, 0.03),
        mirrored=chance(rng, 0.5),
    )


def air(rng: Random) -> tuple[tuple[int, int, int], float]:
    """Colour of the haze, set later, and the distance at which it hides half of a colour."""
    return (0, 0, 0), rng.uniform(60, 110) if chance(rng, 0.25) else rng.uniform(150, 500)


def street_plan(rng: Random) -> Street:
    """Widths drawn at random; traffic keeps right and the camera is in the right lane."""
    right, left = rng.uniform(1.8, 3.2), -rng.uniform(3.8, 6.5)
    verge_right, verge_left = right + rng.uniform(1.8, 3.4), left - rng.uniform(1.8, 3.4)
    front_right = verge_right + (rng.uniform(1.2, 3) if chance(rng, 0.45) else 0)
    front_left = verge_left - (rng.uniform(1.2, 3) if chance(rng, 0.45) else 0)
    end = rng.uniform(22, 34) if chance(rng, 0.3) else rng.uniform(50, 120)
    return Street(left, right, verge_left, verge_right, front_left, front_right, end)


def backdrop(canvas: Canvas, rng: Random, street: Street) -> None:
    """Open ground, a skyline, and houses across the end of a short street."""
    ground.open_ground(canvas, rng)
    if chance(rng, 0.75):
        roadside.skyline(canvas, rng, rng.uniform(120, 200))
    if street.end < 40:
        z = street.end + rng.uniform(8, 12)
        ground.crossing(canvas, rng, street.end, z - 2)
        kind = rng.random()
        if kind < 0.6:
            roadside.row_of_houses(canvas, rng, z, street.front_left * 3, street.front_right * 3)
        else:
            x0, x1 = street.front_left * 2.5, street.front_right * 2.5
            for _ in range(4):
                roadside.tree(canvas, rng, rng.uniform(x0, x1), z + 3)
            tall = rng.uniform(1.8, 3.0)
            face = Face((x0, 0, z), (x1, 0, z), (x1, tall, z), (x0, tall, z))
            draw = roadside.wall if kind < 0.8 else roadside.fence
            draw(canvas, rng, face, x1 - x0, tall)


def lanes(canvas: Canvas, rng: Random, street: Street, turn: int) -> None:
    """The ground from facade to facade."""
    end = street.end
    for front, verge in (
        (street.front_left, street.verge_left),
        (street.front_right, street.verge_right),
    ):
        if front != verge:
            ground.terrain(canvas, rng, min(front, verge), max(front, verge), end)
    kerb_left, kerb_right = street.left, street.right
    ground.road(canvas, rng, street.left, street.right, end)
    ground.sidewalk(canvas, rng, street.verge_left, kerb_left, end)
    ground.sidewalk(canvas, rng, kerb_right, street.verge_right, end)
    ground.markings(canvas, rng, street.left, street.right, end)
    if chance(rng, 0.2):
        ground.parking(canvas, rng, kerb_right, kerb_right + 2.0, end)
    elif chance(rng, 0.25):
        ground.terrain(canvas, rng, kerb_right + 0.1, kerb_right + 1.0, end)
    if turn % 3 == 2 or chance(rng, 0.08):
        ground.rails(canvas, rng, street.left + 1.6, end, label=True)


def frontage(canvas: Canvas, rng: Random, street: Street, side: int, turn: int) -> None:
    """One side of the street: houses, walls, fences, hedges, banks, from far to near."""
    x = street.front_left if side < 0 else street.front_right
    light = rng.uniform(0.82, 1.15)
    z, cuts = rng.uniform(3, 6), []
    while z < street.end:
        length = rng.uniform(7, 14)
        cuts.append((z, min(z + length, street.end)))
        z += length
    for i, (z0, z1) in reversed(list(enumerate(cuts))):
        kind = rng.random()
        if i == 1:  # the segment seen best; wall and fence take turns
            kind = (0.55, 0.7, 0.2, 0.62, 0.78, 0.3)[(turn + (3 if side < 0 else 0)) % 6]
        if kind < 0.5:
            roadside.building(canvas, rng, x, side, z0, z1, light)
            continue
        behind = rng.random()
        if behind < 0.3:
            roadside.building(canvas, rng, x + 5 * side, side, z0, z1, light)
        elif behind < 0.7:
            for _ in range(3):
                roadside.tree(canvas, rng, x + side * rng.uniform(1.5, 6), rng.uniform(z0, z1))
        tall = rng.uniform(1.6, 2.8)
        face = Face((x, 0, z0), (x, 0, z1), (x, tall, z1), (x, tall, z0))
        if side > 0:
            face = Face((x, 0, z1), (x, 0, z0), (x, tall, z0), (x, tall, z1))
        if kind < 0.67:
            roadside.wall(canvas, rng, face, z1 - z0, tall)
        elif kind < 0.84:
            roadside.fence(canvas, rng, face, z1 - z0, tall)
        elif kind < 0.92:
            roadside.hedge(canvas, rng, face, z1 - z0)
        else:
            roadside.bank(canvas, rng, x, side, z0, z1)


def traffic(canvas: Canvas, rng: Random, street: Street, turn: int) -> list[Thing]:
    """Vehicles on the road, each in a place of its own so that they stay visible."""
    things: list[Thing] = []

    def add(far: float, draw: Callable[..., object], *args: float) -> None:
        things.append((far, partial(draw, canvas, rng, *args)))

    heavy = (vehicles.bus, vehicles.truck, vehicles.train)[turn % 3]
    centre = (street.left + street.right) / 2
    mine, theirs = (centre + street.right) / 2, (centre + street.left) / 2
    pattern = rng.random()
    if heavy is vehicles.train:
        track = street.left + 1.6
        if pattern < 0.4:
            z = rng.uniform(14, 19)
            ground.crossing(canvas, rng, z - 3, z + 3)
            add(z + 2, vehicles.train, rng.uniform(-16, -6), z, ACROSS)
        elif pattern < 0.75:
            z = rng.uniform(10, 15)
            add(z + 10, vehicles.train, track, z + 20, math.pi)
        else:
            z = rng.uniform(8, 13)
            add(z + 10, vehicles.train, track, z, 0.0)
        if chance(rng, 0.7):
            add(z + 2, vehicles.car, mine, rng.uniform(7.5, 13), rng.uniform(-0.15, 0.15))
    elif pattern < 0.35:  # crosses in front of us
        z = rng.uniform(12, 17)
        ground.crossing(canvas, rng, z - 2.5, z + 3)
        heading = ACROSS if chance(rng, 0.5) else -ACROSS
        x = rng.uniform(-7, -2) if heading > 0 else rng.uniform(2, 7)
        add(z + 1.5, heavy, x, z, heading + rng.uniform(-0.1, 0.1))
        if chance(rng, 0.5):
            add(9, vehicles.car, theirs, rng.uniform(11, 13), math.pi)
    elif pattern < 0.7:  # ahead of us
        z = rng.uniform(8.5, 14)
        add(z + 5, heavy, mine, z, rng.uniform(-0.12, 0.12))
        if chance(rng, 0.6):
            add(12, vehicles.car, theirs, rng.uniform(11, 20), math.pi)
    else:  # comes towards us
        z = rng.uniform(9, 13)
        add(z + 5, heavy, theirs, z + 9, math.pi + rng.uniform(-0.1, 0.1))
        if chance(rng, 0.6):
            add(12, vehicles.car, mine, rng.uniform(8, 14), rng.uniform(-0.1, 0.1))
    for x, heading in ((mine, 0.0), (theirs, math.pi)):
        if chance(rng, 0.5):
            z = rng.uniform(24, 45)
            add(z + 4, vehicles.car, x, z, heading)
    if chance(rng, 0.55):  # parked along the right kerb
        z = rng.uniform(7, 10)
        for _ in range(int(rng.uniform(1, 5))):
            other = rng.random()
            kind = (
                vehicles.caravan
                if other < 0.06
                else vehicles.trailer
                if other < 0.1
                else vehicles.car
            )
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


def pavement(canvas: Canvas, rng: Random, street: Street, turn: int) -> list[Thing]:
    """People, two-wheelers, poles, lights, signs and small things."""
    things: list[Thing] = []

    def add(z: float, draw: Callable[..., object], x: float, *more: float) -> None:
        things.append((z, partial(draw, canvas, rng, x, z, *more)))

    def walk(side: int) -> float:
        inner, outer = (
            (street.left, street.verge_left) if side < 0 else (street.right, street.verge_right)
        )
        return inner + (outer - inner) * rng.uniform(0.2, 0.9)

    def kerb(side: int) -> float:
        return street.left - 0.3 if side < 0 else street.right + 0.3

    near = 1 if chance(rng, 0.5) else -1
    # poles with lights or signs, close enough to be seen well
    for side in (near, -near):
        z = rng.uniform(7.5, 12) if side == near else rng.uniform(9, 16)
        draw = (furniture.signal_mast, furniture.sign_post)[(turn + (side == near)) % 2]
        add(z, draw, kerb(side))
        if chance(rng, 0.6):
            other = rng.uniform(12, 25)
            add(
                other,
                pick(rng, (furniture.lamp, furniture.sign_post, furniture.signal_mast)),
                kerb(side),
            )
    if chance(rng, 0.5):
        for i in range(int(rng.uniform(2, 5))):
            side = 1 if chance(rng, 0.5) else -1
            x = street.front_right - 0.5 if side > 0 else street.front_left + 0.5
            add(rng.uniform(9, 14) + 7 * i, roadside.tree, x)
    for _ in range(1 + int(rng.uniform(0, 4))):
        side = 1 if chance(rng, 0.5) else -1
        add(rng.uniform(6.5, 16), people.person, walk(side))
    if chance(rng, 0.3):
        add(rng.uniform(7, 13), people.person, rng.uniform(street.left, street.right))
    # two-wheelers take turns: ridden across, ridden along, parked
    pair = ((people.cyclist, people.motorcycle), (people.motorcyclist, people.bicycle))[
        turn // 3 % 2
    ]
    z = rng.uniform(6.8, 10)
    if chance(rng, 0.6):
        heading = 0.0 if chance(rng, 0.5) else math.pi
        add(z, pair[0], rng.uniform(street.left, street.right), heading + rng.uniform(-0.4, 0.4))
    else:
        along = ACROSS + rng.uniform(-0.2, 0.2)
        add(
            rng.uniform(6, 8.5),
            pair[0],
            street.right - 0.5 if near > 0 else street.left + 1.2,
            along,
        )
    side = 1 if chance(rng, 0.5) else -1
    heading = rng.uniform(-0.5, 0.5) + (math.pi if chance(rng, 0.5) else 0.0)
    add(rng.uniform(7, 11), pair[1], walk(side), heading)
    if chance(rng, 0.15):
        rail_z = rng.uniform(7, 9)
        x = street.left - 0.1 if near < 0 else street.right + 0.1
        face = Face((x, 0, rail_z), (x, 0, rail_z + 12), (x, 0.8, rail_z + 12), (x, 0.8, rail_z))
        things.append((rail_z + 12, partial(roadside.guard_rail, canvas, rng, face, 12)))
    for draw, probability in (
        (furniture.static, 0.4), (furniture.dynamic, 0.15), (furniture.bollards, 0.12),
        (furniture.pole_group, 0.08),
    ):  # fmt: skip
        if chance(rng, probability):
            add(rng.uniform(7, 16), draw, walk(1 if chance(rng, 0.5) else -1))
    if chance(rng, 0.12):
        z, x = rng.uniform(22, 32), walk(-near)
        for i in range(4):
            far = partial(people.person, canvas, rng, x + 0.4 * i, z + i, "persongroup")
            things.append((z + i, far))
    return things

"""One street scene: which things stand where, drawn from the far end to the camera."""

import hashlib
import math
from functools import partial
from random import Random

import numpy as np
import numpy.typing as npt

from semask.data.streets import furniture, ground, roadside
from semask.data.streets.canvas import SUPERSAMPLING, Camera, Canvas, Face
from semask.data.streets.develop import develop
from semask.data.streets.palette import SKIES, chance, jittered, pick
from semask.data.streets.placement import Street, foreground, pavement, traffic

ACROSS = math.pi / 2


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
    things += foreground(canvas, rng, turn)
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
    right, left = rng.uniform(1.7, 2.6), -rng.uniform(3.4, 5.5)
    verge_right, verge_left = right + rng.uniform(1.6, 3.0), left - rng.uniform(1.6, 3.0)
    front_right = verge_right + (rng.uniform(1.8, 4) if chance(rng, 0.55) else 0)
    front_left = verge_left - (rng.uniform(1.8, 4) if chance(rng, 0.55) else 0)
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
        if i in (0, 1):  # seen best; wall and fence take turns
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
        tall = rng.uniform(2.0, 3.2)
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

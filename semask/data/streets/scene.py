"""One street scene: which things stand where, drawn from the far end to the camera."""

import hashlib
from functools import partial
from random import Random

import numpy as np
import numpy.typing as npt

from semask.data.streets import furniture, ground, roadside
from semask.data.streets.canvas import SUPERSAMPLING, Camera, Canvas, Face
from semask.data.streets.develop import develop
from semask.data.streets.palette import SKIES, chance, jittered, pick
from semask.data.streets.placement import Street, foreground, pavement, traffic

FAR = 1e3


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
    backdrop(canvas, rng, street, turn)
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
    """A camera at the height of a car's windscreen, looking roughly down the street."""
    return Camera(
        focal=rng.uniform(1.4, 1.8) * height * SUPERSAMPLING,
        height=rng.uniform(1.45, 1.9),
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
    right, left = rng.uniform(1.1, 1.9), -rng.uniform(3.2, 5.0)
    verge_right, verge_left = right + rng.uniform(1.8, 3.2), left - rng.uniform(1.6, 3.0)
    front_right = verge_right + (rng.uniform(1, 2.5) if chance(rng, 0.4) else 0)
    front_left = verge_left - (rng.uniform(1, 2.5) if chance(rng, 0.4) else 0)
    junction = rng.uniform(9.5, 13) if chance(rng, 0.45) else None
    if junction and chance(rng, 0.7):  # the street ends there
        end = junction + 3
    else:
        end = rng.uniform(24, 34) if chance(rng, 0.3) else rng.uniform(45, 90)
    sides = (left, right, verge_left, verge_right, front_left, front_right)
    return Street(*sides, junction, end)


def backdrop(canvas: Canvas, rng: Random, street: Street, turn: int) -> None:
    """Open ground, a skyline, and what stands across the end of a short street."""
    ground.open_ground(canvas, rng)
    if chance(rng, 0.75):
        roadside.skyline(canvas, rng, rng.uniform(120, 200))
    if street.end > 40:
        return
    z = street.end + rng.uniform(1, 4)
    x0, x1 = -canvas.reach(z), canvas.reach(z)
    kind = turn // 2 % 3
    if kind == 0 or chance(rng, 0.4):
        roadside.row_of_houses(canvas, rng, z + (0 if kind == 0 else 8), x0, x1)
    else:
        for _ in range(3):
            roadside.tree(canvas, rng, rng.uniform(x0, x1), z + 3)
    if kind:
        tall = rng.uniform(3.2, 4.6)
        face = Face((x0, 0, z), (x1, 0, z), (x1, tall, z), (x0, tall, z))
        draw = roadside.wall if kind == 1 else roadside.fence
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
    elif chance(rng, 0.4):
        ground.terrain(canvas, rng, kerb_right + 0.1, kerb_right + 1.4, end)
    if street.junction:
        ground.crossing(canvas, rng, street.junction - 3, street.junction + 3)
    if turn % 3 == 2 or chance(rng, 0.08):
        ground.rails(canvas, rng, street.left + 1.6, end, label=True)


def frontage(canvas: Canvas, rng: Random, street: Street, side: int, turn: int) -> None:
    """One side of the street, from far to near: mostly houses, a wall, a fence or a green."""
    x = street.front_left if side < 0 else street.front_right
    kinds = ("houses", "wall", "green", "fence")
    main = kinds[(turn + (1 + turn // 4 % 3 if side < 0 else 0)) % 4]
    light = rng.uniform(0.82, 1.15)
    z, cuts = rng.uniform(2, 4), []
    gap = (street.junction - 3, street.junction + 3) if street.junction else (street.end, FAR)
    while z < street.end:
        if gap[0] - 2 < z < gap[1]:  # the crossing road
            z = gap[1]
            continue
        length = rng.uniform(7, 14) * (1 + z / 30)
        end = min(z + length, street.end, gap[0] if z < gap[0] else street.end)
        cuts.append((z, end))
        z = end
    for z0, z1 in reversed(cuts):
        kind = main if z0 < 16 or chance(rng, 0.4) else pick(rng, kinds)
        if kind == "houses":
            roadside.building(canvas, rng, x, side, z0, z1, light)
            continue
        set_back = x + side * rng.uniform(6, 9)
        if kind == "green":
            roadside.bank(canvas, rng, x, side, z0, z1)
            face = upright(set_back, side, z0, z1, rng.uniform(1.4, 2.2))
            if chance(rng, 0.5):
                roadside.hedge(canvas, rng, face, z1 - z0)
            if chance(rng, 0.5):
                roadside.tree(canvas, rng, set_back, (z0 + z1) / 2)
            continue
        if chance(rng, 0.4):
            roadside.building(canvas, rng, set_back, side, z0, z1, light)
        elif chance(rng, 0.6):
            for t in (0.8, 0.3):
                roadside.tree(canvas, rng, x + side * rng.uniform(1.5, 4), z0 + t * (z1 - z0))
        tall = rng.uniform(2.5, 4.0)
        draw = roadside.wall if kind == "wall" else roadside.fence
        draw(canvas, rng, upright(x, side, z0, z1, tall), z1 - z0, tall)


def upright(x: float, side: int, z0: float, z1: float, height: float) -> Face:
    """A surface along the street that faces it."""
    if side > 0:
        z0, z1 = z1, z0
    return Face((x, 0, z0), (x, 0, z1), (x, height, z1), (x, height, z0))

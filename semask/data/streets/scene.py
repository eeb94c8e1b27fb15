"""One street scene: which things stand where, drawn from the far end to the camera."""

import hashlib

import numpy as np
import numpy.typing as npt

from semask.data.streets import furniture, ground, roadside
from semask.data.streets.canvas import SUPERSAMPLING, Camera, Canvas, Face, upright
from semask.data.streets.develop import develop
from semask.data.streets.palette import SKIES, Rng
from semask.data.streets.placement import Street, foreground, pavement, traffic


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
    view = camera(rng, width, height)
    visibility = rng.uniform(60, 110) if rng.chance(0.25) else rng.uniform(150, 500)
    zenith, horizon = (rng.near(colour, 8) for colour in rng.pick(SKIES))
    canvas = Canvas(width, height, view, horizon, visibility)
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


def camera(rng: Rng, width: int, height: int) -> Camera:
    """A camera at the height of a car's windscreen, looking roughly down the street."""
    return Camera(
        focal=rng.uniform(1.4, 1.8) * height * SUPERSAMPLING,
        height=rng.uniform(1.45, 1.9),
        centre_x=rng.uniform(0.36, 0.64) * width * SUPERSAMPLING,
        centre_y=rng.uniform(0.36, 0.5) * height * SUPERSAMPLING,
        roll=rng.uniform(-0.03, 0.03),
        mirrored=rng.chance(0.5),
    )


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


def plots(rng: Rng, street: Street) -> list[tuple[float, float]]:
    """Where the plots along one side of a street begin and end, nearest first."""
    z, cuts = rng.uniform(2, 4), []
    corner, opposite = street.end, street.end  # the crossing road lies between them
    if street.junction:
        corner, opposite = street.junction - 3, street.junction + 3
    while z < street.end:
        if corner - 2 < z < opposite:
            z = opposite
            continue
        length = rng.uniform(7, 14) * (1 + z / 30)
        end = min(z + length, street.end, corner if z < corner else street.end)
        cuts.append((z, end))
        z = end
    return cuts


def frontage(canvas: Canvas, rng: Rng, street: Street, side: int, turn: int) -> None:
    """One side of the street, from far to near: mostly houses, a wall, a fence or a green."""
    x = street.front[side]
    kinds = ("houses", "wall", "green", "fence")
    main = kinds[(turn + (1 + turn // 4 % 3 if side < 0 else 0)) % 4]
    light = rng.uniform(0.82, 1.15)
    for z0, z1 in reversed(plots(rng, street)):
        kind = main if z0 < 16 or rng.chance(0.4) else rng.pick(kinds)
        if kind == "houses":
            roadside.building(canvas, rng, x, side, z0, z1, light)
            continue
        set_back = x + side * rng.uniform(6, 9)
        if kind == "green":
            roadside.bank(canvas, rng, x, side, z0, z1)
            face = along(set_back, side, z0, z1, rng.uniform(1.4, 2.2))
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
        draw(canvas, rng, along(x, side, z0, z1, rng.uniform(2.5, 4.0)))


def along(x: float, side: int, z0: float, z1: float, height: float) -> Face:
    """A surface along the street that faces it."""
    return upright(x, z1, x, z0, height) if side > 0 else upright(x, z0, x, z1, height)

"""Cars, vans, trucks, buses, trams, caravans and trailers, as boxes with painted faces.

A vehicle has its own axes: a along its length (0 at the rear), b across (0 in the middle, positive
to the right), y up. It is placed by the centre of its rear edge and a yaw: 0 drives away from the
camera, a quarter turn drives to the right.
"""

import math
from collections.abc import Callable
from random import Random

from semask.data.streets.canvas import PLAIN, Canvas, Colour, Face, Pixels
from semask.data.streets.palette import (
    BUSES,
    CARS,
    LOADS,
    TRAINS,
    chance,
    contrasting,
    grey,
    jittered,
    paint,
    pick,
    scaled,
    usual,
)

Place = Callable[[float, float, float], tuple[float, float, float]]

GLASS: Colour = (42, 50, 58)
TYRE: Colour = (26, 26, 28)
LIVERIES = ((40, 110, 70), (45, 75, 150), (180, 45, 45), (60, 60, 65))


def placed(x: float, z: float, yaw: float) -> Place:
    """World coordinates (X, Y, Z) of a vehicle's (a, b, y)."""
    sin, cos = math.sin(yaw), math.cos(yaw)

    def place(a: float, b: float, y: float) -> tuple[float, float, float]:
        return x + a * sin + b * cos, y, z + a * cos - b * sin

    return place


def box(
    place: Place,
    a: tuple[float, float],
    b: tuple[float, float],
    y: tuple[float, float],
    lean: tuple[float, float, float] = (0, 0, 0),
) -> dict[str, Face]:
    """The five outer faces of a box, u from left to right as seen from outside.

    `a`, `b` and `y` say where the box begins and ends; `lean` how far the rear, the front and the
    sides lean in at the top, all in metres.
    """  # fmt: skip
    (a0, a1), (b0, b1), (y0, y1) = a, b, y
    rear, front, side = lean
    low = {k: place(*k, y0) for k in ((a0, b0), (a0, b1), (a1, b0), (a1, b1))}
    high = {
        (a0, b0): place(a0 + rear, b0 + side, y1),
        (a0, b1): place(a0 + rear, b1 - side, y1),
        (a1, b0): place(a1 - front, b0 + side, y1),
        (a1, b1): place(a1 - front, b1 - side, y1),
    }

    def upright(left: tuple[float, float], right: tuple[float, float]) -> Face:
        return Face(low[left], low[right], high[right], high[left])

    return {
        "rear": upright((a0, b0), (a0, b1)),
        "front": upright((a1, b1), (a1, b0)),
        "left": upright((a1, b0), (a0, b0)),
        "right": upright((a0, b1), (a1, b1)),
        "top": Face(high[a0, b0], high[a0, b1], high[a1, b1], high[a1, b0]),
    }


SHADES = {"rear": 0.88, "front": 0.92, "left": 1.0, "right": 0.78, "top": 1.12}


def paint_box(
    canvas: Canvas, faces: dict[str, Face], colour: Colour, material: int = PLAIN
) -> tuple[list[Pixels], list[str]]:
    """Fill the faces that can be seen; return their pixels and names."""
    seen = [name for name, face in faces.items() if face.faces(canvas.camera)]
    shapes = [
        canvas.fill(faces[n].box(0, 0, 1, 1), scaled(colour, SHADES[n]), material)
        for n in sorted(seen, key=["top", "left", "right", "rear", "front"].index)
    ]
    return shapes, seen


def shadow(canvas: Canvas, place: Place, length: float, width: float) -> None:
    """Darken the ground under and beside a vehicle."""
    ground = Face(
        place(-0.3, -width / 2 - 0.3, 0), place(-0.3, width / 2 + 0.3, 0),
        place(length + 0.3, width / 2 + 0.3, 0), place(length + 0.3, -width / 2 - 0.3, 0),
    )  # fmt: skip
    canvas.shade(ground.box(0, 0, 1, 1), 0.5)


def wheels(
    canvas: Canvas, side: Face, length: float, height: float, at: list[float], radius: float
) -> list[Pixels]:
    """Wheels on a side; `at` counts metres from the left edge of the face, whose base is at 0."""
    shapes = []
    for metres in at:
        u, v = metres / length, radius / height
        shapes.append(canvas.fill(side.disc(u, v, radius / length, v), TYRE))
        canvas.fill(side.disc(u, v, radius * 0.52 / length, v * 0.52, 10), (165, 165, 168))
        canvas.fill(side.disc(u, v, radius * 0.2 / length, v * 0.2, 6), (70, 70, 72))
    return shapes


def lights(canvas: Canvas, face: Face, rear: bool, v0: float, v1: float, w: float = 0.17) -> None:
    """Two lamps at the corners of an end face: red behind, white in front."""
    colour = (205, 40, 35) if rear else (245, 242, 215)
    canvas.fill_many(face.boxes([(0.04, v0, 0.04 + w, v1), (0.96 - w, v0, 0.96, v1)]), colour)


def tyres(canvas: Canvas, place: Place, a: float, width: float, turned: bool) -> list[Pixels]:
    """Wheels seen from an end, below the body."""
    flip = -1 if turned else 1
    shapes = []
    for b in (-width / 2 + 0.05, width / 2 - 0.3):
        corners = [place(a, flip * b, 0), place(a, flip * (b + 0.25), 0)]
        corners += [place(a, flip * (b + 0.25), 0.4), place(a, flip * b, 0.4)]
        shapes.append(canvas.fill(Face(*corners).box(0, 0, 1, 1), TYRE))
    return shapes


def plate(canvas: Canvas, face: Face, v: float, height: float) -> None:
    """A license plate."""
    shape = canvas.fill(face.box(0.37, v, 0.63, v + 0.14 / height), (232, 230, 215))
    canvas.label("license plate", [shape])


def car(canvas: Canvas, rng: Random, x: float, z: float, yaw: float, name: str = "car") -> None:
    """A saloon, estate, hatchback, sports utility vehicle or van."""
    kind = int(rng.random() * 4)
    length, width = rng.uniform(4.0, 4.7), rng.uniform(1.75, 1.9)
    waist, roof = rng.uniform(0.88, 1.0), rng.uniform(1.42, 1.55)
    trunk, bonnet, lean = (
        (0.7, 1.3, (0.5, 0.8, 0.14)),
        (0.05, 1.15, (0.3, 0.75, 0.13)),
        (0.05, 1.0, (0.15, 0.6, 0.1)),
        (0.0, 0.6, (0.05, 0.6, 0.08)),
    )[kind]
    if kind == 2:
        waist, roof = waist + 0.12, roof + 0.2
    if kind == 3:
        length, waist, roof, width = length + 0.4, waist + 0.15, roof + 0.55, width + 0.1
    place, colour = placed(x, z, yaw), usual(rng, CARS)
    half = width / 2
    shadow(canvas, place, length, width)
    seat = box(place, (0, length), (-half, half), (0.14, 0.42))
    shapes, seen = paint_box(canvas, seat, (30, 30, 32))
    body = box(place, (0, length), (-half, half), (0.28, waist), (0.03, 0.05, 0.02))
    shapes += paint_box(canvas, body, colour)[0]
    cabin = box(place, (trunk, length - bonnet), (-half + 0.04, half - 0.04), (waist, roof), lean)
    shapes += paint_box(canvas, cabin, colour)[0]
    ground = box(place, (0, length), (-half, half), (0, 1))
    tall = waist - 0.28
    for end in ("rear", "front"):
        if end not in seen:
            continue
        shapes += tyres(canvas, place, 0 if end == "rear" else length, width, end == "front")
        canvas.fill(cabin[end].box(0.05, 0.1, 0.95, 0.88), GLASS)
        lights(canvas, body[end], end == "rear", 0.5, 0.86)
        if end == "front":
            canvas.fill(body[end].box(0.28, 0.42, 0.72, 0.72), (40, 40, 44))
        canvas.fill(body[end].box(0, 0, 1, 0.2), scaled(colour, 0.5))
    for side in ("left", "right"):
        if side not in seen:
            continue
        panes = [(0.1, 0.14, 0.5, 0.9), (0.54, 0.14, 0.9, 0.9)]
        if kind == 3 and chance(rng, 0.5):
            panes = [(0.6, 0.2, 0.95, 0.9)] if side == "right" else [(0.05, 0.2, 0.4, 0.9)]
        canvas.fill_many(cabin[side].boxes(panes), GLASS)
        canvas.fill(body[side].box(0.0, 0.62, 1.0, 0.7), scaled(colour, 0.75))
        axles = [0.8, length - 0.85] if side == "right" else [0.85, length - 0.8]
        shapes += wheels(canvas, ground[side], length, 1.0, axles, 0.34)
    canvas.label(name, shapes)
    for end in ("rear", "front"):
        if end in seen and name == "car":
            plate(canvas, body[end], 0.22, tall)


def truck(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> None:
    """A lorry: a cab in front of a load that is a ribbed box, a tarpaulin or a tipper."""
    length, half, high = rng.uniform(6, 9), 1.22, rng.uniform(3.1, 3.7)
    place, cab_colour = placed(x, z, yaw), usual(rng, LOADS)
    load_colour = usual(rng, LOADS)
    cab_at = length - 1.9
    tipper = chance(rng, 0.25)
    top = rng.uniform(2.1, 2.5) if tipper else high
    shadow(canvas, place, length, 2 * half)
    frame = box(place, (0, length), (-half, half), (0.3, 0.95))
    shapes, seen = paint_box(canvas, frame, (38, 38, 40))
    load = box(place, (0, cab_at - 0.2), (-half, half), (0.95, top))
    cab = box(
        place, (cab_at, length), (-half, half), (0.45, rng.uniform(2.5, 2.9)), (0, 0.25, 0.05)
    )
    parts = [(cab, cab_colour), (load, load_colour)]
    # the nearer part hides the other
    if math.cos(yaw) < -0.1:
        parts.reverse()
    for part, colour in parts:
        shapes += paint_box(canvas, part, colour)[0]
    rib = scaled(load_colour, rng.uniform(0.55, 0.7) if sum(load_colour) > 150 else 1.9)
    for side in ("left", "right"):
        if side in seen:
            count = int(cab_at / 0.75)
            ribs = [((i + 0.32) / count, 0.06, (i + 0.68) / count, 0.94) for i in range(count)]
            canvas.fill_many(load[side].boxes(ribs), rib)
            pane = (0.3, 0.52, 0.85, 0.88) if side == "right" else (0.15, 0.52, 0.7, 0.88)
            canvas.fill(cab[side].box(*pane), GLASS)
            ground = box(place, (0, length), (-half, half), (0, 1))[side]
            axles = (
                [1.0, 2.2, length - 1.0] if side == "right" else [1.0, length - 2.2, length - 1.0]
            )
            shapes += wheels(canvas, ground, length, 1.0, axles, 0.5)
    if "rear" in seen:
        shapes += tyres(canvas, place, 0, 2 * half, False)
        ribs = [(u, 0.04, u + 0.1, 0.96) for u in (0.05, 0.25, 0.45, 0.65, 0.85)]
        canvas.fill_many(load["rear"].boxes(ribs), rib)
        lights(canvas, frame["rear"], True, 0.3, 0.9)
    if "front" in seen:
        shapes += tyres(canvas, place, length, 2 * half, True)
        canvas.fill(cab["front"].box(0.06, 0.52, 0.94, 0.92), GLASS)
        canvas.fill_many(
            cab["front"].boxes([(0.2, v, 0.8, v + 0.06) for v in (0.2, 0.32)]), (45, 45, 48)
        )
        lights(canvas, cab["front"], False, 0.06, 0.16)
    canvas.label("truck", shapes)
    if "rear" in seen:
        plate(canvas, frame["rear"], 0.3, 0.65)


def bus(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> None:
    """A city bus: a long box with a continuous band of windows and a lit destination."""
    length, half, high = rng.uniform(9, 12), 1.25, rng.uniform(2.9, 3.2)
    place, colour = placed(x, z, yaw), usual(rng, BUSES)
    stripe = contrasting(rng, colour)
    shadow(canvas, place, length, 2 * half)
    body = box(place, (0, length), (-half, half), (0.32, high), (0.05, 0.1, 0.03))
    ground = box(place, (0, length), (-half, half), (0, 1))
    shapes, seen = paint_box(
        canvas, box(place, (0, length), (-half, half), (0.15, 0.4)), (32, 32, 34)
    )
    shapes += paint_box(canvas, body, colour)[0]
    for side in ("left", "right"):
        if side not in seen:
            continue
        canvas.fill(body[side].box(0.01, 0.42, 0.99, 0.86), GLASS)
        count = max(int(length / 1.5), 4)
        posts = [((i - 0.07) / count, 0.42, (i + 0.07) / count, 0.86) for i in range(1, count)]
        canvas.fill_many(body[side].boxes(posts), scaled(colour, SHADES[side]))
        pins = [(0, v, 1, v + 0.05) for v in (0.08, 0.19, 0.3)]
        canvas.fill_many(body[side].boxes(pins), stripe)
        if side == "right":
            doors = [(u, 0.02, u + 1.2 / length, 0.84) for u in (0.35, 0.86)]
            canvas.fill_many(body[side].boxes(doors), (60, 68, 76))
            leaves = [(u + 0.55 / length, 0.02, u + 0.65 / length, 0.84) for u in (0.35, 0.86)]
            canvas.fill_many(body[side].boxes(leaves), (20, 20, 22))
        axles = [2.6, length - 2.4] if side == "right" else [2.4, length - 2.6]
        shapes += wheels(canvas, ground[side], length, 1.0, axles, 0.48)
    for end in ("rear", "front"):
        if end not in seen:
            continue
        shapes += tyres(canvas, place, 0 if end == "rear" else length, 2 * half, end == "front")
        face = body[end]
        canvas.fill(face.box(0.06, 0.36 if end == "front" else 0.52, 0.94, 0.82), GLASS)
        canvas.fill(face.box(0.12, 0.86, 0.88, 0.97), (25, 25, 25))
        canvas.fill(face.box(0.2, 0.885, 0.8, 0.945), (250, 170, 50))
        if end == "rear":
            slats = [(0.22, v, 0.78, v + 0.04) for v in (0.16, 0.25, 0.34)]
            canvas.fill_many(face.boxes(slats), scaled(colour, 0.5))
        lights(canvas, face, end == "rear", 0.1, 0.24 if end == "front" else 0.36, 0.13)
    canvas.label("bus", shapes)
    if "rear" in seen:
        plate(canvas, body["rear"], 0.05, high)


def train(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> None:
    """A tram or a train: long, high, striped, with a pointed nose and a pantograph."""
    length, half, high = rng.uniform(16, 26), 1.3, rng.uniform(3.5, 3.9)
    place, colour = placed(x, z, yaw), usual(rng, TRAINS)
    stripe = jittered(rng, pick(rng, LIVERIES), 12)
    shadow(canvas, place, length, 2 * half)
    skirt = box(place, (0.6, length - 0.6), (-half + 0.1, half - 0.1), (0.05, 0.5))
    shapes, _ = paint_box(canvas, skirt, (34, 34, 36))
    body = box(place, (0, length), (-half, half), (0.4, high), (0.7, 0.7, 0.12))
    more, seen = paint_box(canvas, body, colour)
    shapes += more
    for side in ("left", "right"):
        if side not in seen:
            continue
        face = body[side]
        pitch = 1.5 / length  # slanted stripes, the livery of the line
        slanted = [
            [(u, 0.02), (u + pitch / 2, 0.02), (u + pitch * 1.1, 0.42), (u + pitch * 0.6, 0.42)]
            for u in (i * pitch for i in range(int(1 / pitch) - 1))
        ]
        canvas.fill_many(face.at(slanted), stripe)
        canvas.fill(face.box(0, 0.9, 1, 1), stripe)
        count = int(length / 2.2)
        panes = [((i + 0.16) / count, 0.5, (i + 0.84) / count, 0.84) for i in range(count)]
        canvas.fill_many(face.boxes(panes), GLASS)
        doors = [((i + 0.1) / count, 0.04, (i + 0.9) / count, 0.86) for i in range(1, count, 3)]
        canvas.fill_many(face.boxes(doors), scaled(stripe, 0.8))
        leaves = [
            ((i + u) / count, 0.36, (i + u + 0.26) / count, 0.82)
            for i in range(1, count, 3) for u in (0.2, 0.54)
        ]  # fmt: skip
        canvas.fill_many(face.boxes(leaves), GLASS)
    for end in ("rear", "front"):
        if end not in seen:
            continue
        face = body[end]
        slanted = [
            [(u, 0.02), (u + 0.14, 0.02), (u + 0.3, 0.42), (u + 0.16, 0.42)]
            for u in (0.0, 0.28, 0.56)
        ]
        canvas.fill_many(face.at(slanted), stripe)
        canvas.fill(face.at([(0.1, 0.46), (0.9, 0.46), (0.84, 0.82), (0.16, 0.82)]), GLASS)
        canvas.fill(face.box(0.3, 0.87, 0.7, 0.95), (250, 190, 60))
        lamp = (215, 45, 40) if end == "rear" else (250, 248, 225)
        for u in (0.16, 0.84):
            canvas.fill(face.disc(u, 0.25, 0.08, 0.05, 10), lamp)
        canvas.fill(face.disc(0.5, 0.98, 0.06, 0.035, 8), lamp)
    a = length * 0.5
    arm = [
        place(a, -0.08, high),
        place(a, 0.08, high),
        place(a + 0.9, 0.08, high + 0.9),
        place(a + 0.9, -0.08, high + 0.9),
    ]
    shapes.append(canvas.fill(Face(*arm).box(0, 0, 1, 1), (40, 40, 42)))
    canvas.label("train", shapes)


def caravan(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> None:
    """A caravan."""
    place, colour = placed(x, z, yaw), grey(rng, 190, 235)
    shadow(canvas, place, 4.5, 2.2)
    body = box(place, (0, 4.5), (-1.1, 1.1), (0.4, 2.5), (0.2, 0.5, 0.05))
    shapes, seen = paint_box(canvas, body, colour)
    for name in seen:
        if name != "top":
            canvas.fill(body[name].box(0.2, 0.5, 0.8, 0.8), GLASS)
            canvas.fill(body[name].box(0, 0.2, 1, 0.28), paint(rng))
    for end, a in (("rear", 0.0), ("front", 4.5)):
        if end in seen:
            shapes += tyres(canvas, place, a, 2.2, end == "front")
    canvas.label("caravan", shapes)


def trailer(canvas: Canvas, rng: Random, x: float, z: float, yaw: float) -> None:
    """A low open trailer."""
    place = placed(x, z, yaw)
    shadow(canvas, place, 3, 1.7)
    shapes, seen = paint_box(canvas, box(place, (0, 3), (-0.85, 0.85), (0.35, 1.1)), paint(rng))
    if "rear" in seen:
        shapes += tyres(canvas, place, 0, 1.7, False)
    canvas.label("trailer", shapes)

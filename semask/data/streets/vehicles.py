"""Cars, vans, trucks, buses, trams, caravans and trailers, as boxes with painted faces.

A vehicle has its own axes: a along its length (0 at the rear), b across (0 in the middle, positive
to the right), y up. It is placed by the centre of its rear edge and a yaw: 0 drives away from the
camera, a quarter turn drives to the right.
"""

import math
from collections.abc import Sequence

from semask.data.streets.canvas import Canvas, Face, Pixels, row, stack
from semask.data.streets.palette import BUSES, CARS, LOADS, TRAINS, Colour, Rng, scaled

Box = dict[str, Face]
Span = tuple[float, float]
Lean = tuple[float, float, float]  # how far the rear, the front, the sides lean in at the top

GLASS: Colour = (42, 50, 58)
TYRE: Colour = (26, 26, 28)
LIVERIES = ((40, 110, 70), (45, 75, 150), (180, 45, 45), (60, 60, 65))
# lengths of trunk and bonnet, lean of the cabin, and what is added to the length, the width, the
# height of the waist and that of the roof
CAR_KINDS: dict[str, tuple[float, float, Lean, float, float, float, float]] = {
    "saloon": (0.7, 1.3, (0.5, 0.8, 0.14), 0, 0, 0, 0),
    "hatchback": (0.05, 1.15, (0.3, 0.75, 0.13), 0, 0, 0, 0),
    "sports utility vehicle": (0.05, 1.0, (0.15, 0.6, 0.1), 0, 0, 0.12, 0.2),
    "van": (0.0, 0.6, (0.05, 0.6, 0.08), 0.4, 0.1, 0.15, 0.55),
}
# in the order in which they are painted: colours are darker where less light falls
SHADES = {"top": 1.12, "left": 1.0, "right": 0.78, "rear": 0.88, "front": 0.92}


class Vehicle:
    """A vehicle under construction, above its shadow; `shapes` is what its label will join."""

    def __init__(
        self, canvas: Canvas, x: float, z: float, yaw: float, length: float, width: float
    ) -> None:
        self.canvas, self.x, self.z = canvas, x, z
        self.sin, self.cos = math.sin(yaw), math.cos(yaw)
        self.length, self.width = length, width
        self.shapes: list[Pixels] = []
        canvas.shade(Face(*self.level(-0.3, length + 0.3, width / 2 + 0.3, 0)).quad, 0.5)

    def level(self, a0: float, a1: float, half: float, y: float) -> list[tuple[float, ...]]:
        """World points (X, Y, Z) at height y: rear left, rear right, front right, front left."""
        corners = (a0, -half), (a0, half), (a1, half), (a1, -half)
        x, z, sin, cos = self.x, self.z, self.sin, self.cos
        return [(x + a * sin + b * cos, y, z + a * cos - b * sin) for a, b in corners]

    def box(
        self, y: Span, lean: Lean = (0, 0, 0), a: Span | None = None, inset: float = 0.0
    ) -> Box:
        """The five outer faces of a box from one y to another, u from left to right from outside.

        It is as long as the vehicle, or from one `a` to another, and as wide less two insets.
        """
        (a0, a1), half = a or (0, self.length), self.width / 2 - inset
        rear, front, side = lean
        low = self.level(a0, a1, half, y[0])
        high = self.level(a0 + rear, a1 - front, half - side, y[1])
        edges = {"rear": (0, 1), "right": (1, 2), "front": (2, 3), "left": (3, 0)}
        walls = {name: Face(low[i], low[j], high[j], high[i]) for name, (i, j) in edges.items()}
        return {**walls, "top": Face(*high)}

    def paint(self, box: Box, colour: Colour) -> tuple[list[str], list[str]]:
        """Fill the faces of a box that can be seen; return the names of those ends and sides."""
        seen = [name for name in SHADES if box[name].faces(self.canvas.camera)]
        for name in seen:
            self.shapes += self.canvas.fill(box[name].quad, scaled(colour, SHADES[name]))
        ends = [name for name in seen if name in ("rear", "front")]
        return ends, [name for name in seen if name in ("left", "right")]

    def wheels(self, side: str, axles: Sequence[float], radius: float) -> None:
        """Wheels on a side; `axles` are at these distances from the rear."""
        face, length = self.box((0, 1))[side], self.length
        for a in axles if side == "right" else [length - a for a in reversed(axles)]:
            u = a / length
            rings = (1, 14, TYRE), (0.52, 10, (165, 165, 168)), (0.2, 6, (70, 70, 72))
            for part, corners, colour in rings:
                disc = face.disc(u, radius, radius * part / length, radius * part, corners=corners)
                shape = self.canvas.fill(disc, colour)
                self.shapes += shape if colour is TYRE else []

    def tyres(self, end: str) -> None:
        """Wheels seen from an end, below the body."""
        face = self.box((0, 0.4))[end]
        for u in (0.05 / self.width, 1 - 0.3 / self.width):
            self.shapes += self.canvas.fill(face.box(u, 0, u + 0.25 / self.width, 1), TYRE)

    def lights(self, box: Box, end: str, v0: float, v1: float, w: float = 0.17) -> None:
        """Two lamps at the corners of an end: red behind, white in front."""
        colour = (205, 40, 35) if end == "rear" else (245, 242, 215)
        lamps = [(0.04, v0, 0.04 + w, v1), (0.96 - w, v0, 0.96, v1)]
        self.canvas.fill(box[end].box(lamps), colour)

    def plate(self, face: Face, v: float, height: float) -> None:
        """A license plate on an end face of the given height."""
        where = face.box(0.37, v, 0.63, v + 0.14 / height)
        self.canvas.fill(where, (232, 230, 215), label="license plate")


def car(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float, name: str = "car") -> None:
    """A saloon, hatchback, sports utility vehicle or van."""
    kind = rng.pick(tuple(CAR_KINDS))
    trunk, bonnet, lean, longer, wider, higher, taller = CAR_KINDS[kind]
    length, width = rng.uniform(4.0, 4.7) + longer, rng.uniform(1.75, 1.9) + wider
    waist, roof = rng.uniform(0.88, 1.0) + higher, rng.uniform(1.42, 1.55) + taller
    colour = rng.usual(CARS)
    v = Vehicle(canvas, x, z, yaw, length, width)
    ends, sides = v.paint(v.box((0.14, 0.42)), (30, 30, 32))
    body = v.box((0.28, waist), (0.03, 0.05, 0.02))
    cabin = v.box((waist, roof), lean, (trunk, length - bonnet), 0.04)
    v.paint(body, colour)
    v.paint(cabin, colour)
    for end in ends:
        v.tyres(end)
        canvas.fill(cabin[end].box(0.05, 0.1, 0.95, 0.88), GLASS)
        v.lights(body, end, 0.5, 0.86)
        if end == "front":
            canvas.fill(body[end].box(0.28, 0.42, 0.72, 0.72), (40, 40, 44))
        canvas.fill(body[end].box(0, 0, 1, 0.2), scaled(colour, 0.5))
    for side in sides:
        panes = [(0.1, 0.14, 0.5, 0.9), (0.54, 0.14, 0.9, 0.9)]
        if kind == "van" and rng.chance(0.5):
            u = 0.6 if side == "right" else 0.05  # u begins at the rear on the right alone
            panes = [(u, 0.2, u + 0.35, 0.9)]
        canvas.fill(cabin[side].box(panes), GLASS)
        canvas.fill(body[side].box(0.0, 0.62, 1.0, 0.7), scaled(colour, 0.75))
        v.wheels(side, (0.8, length - 0.85), 0.34)
    canvas.label(name, v.shapes)
    for end in ends if name == "car" else ():
        v.plate(body[end], 0.22, waist - 0.28)


def truck(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float) -> None:
    """A lorry: a cab in front of a load that is a ribbed box, a tarpaulin or a tipper."""
    length, high = rng.uniform(6, 9), rng.uniform(3.1, 3.7)
    cab_colour, load_colour = rng.usual(LOADS), rng.usual(LOADS)
    top = rng.uniform(2.1, 2.5) if rng.chance(0.25) else high  # a tipper is lower
    v, cab_at = Vehicle(canvas, x, z, yaw, length, 2.44), length - 1.9
    frame = v.box((0.3, 0.95))
    ends, sides = v.paint(frame, (38, 38, 40))
    load = v.box((0.95, top), a=(0, cab_at - 0.2))
    cab = v.box((0.45, rng.uniform(2.5, 2.9)), (0, 0.25, 0.05), (cab_at, length))
    parts = [(cab, cab_colour), (load, load_colour)]
    # the nearer part hides the other
    for part, colour in reversed(parts) if math.cos(yaw) < -0.1 else parts:
        v.paint(part, colour)
    rib = scaled(load_colour, rng.uniform(0.55, 0.7) if sum(load_colour) > 150 else 1.9)
    for side in sides:
        canvas.fill(load[side].box(row(int(cab_at / 0.75), 0.32, 0.06, 0.68, 0.94)), rib)
        u = 0.3 if side == "right" else 0.15
        canvas.fill(cab[side].box(u, 0.52, u + 0.55, 0.88), GLASS)
        v.wheels(side, (1.0, 2.2, length - 1.0), 0.5)
    for end in ends:
        v.tyres(end)
        if end == "rear":
            ribs = [(u, 0.04, u + 0.1, 0.96) for u in (0.05, 0.25, 0.45, 0.65, 0.85)]
            canvas.fill(load[end].box(ribs), rib)
            v.lights(frame, end, 0.3, 0.9)
        else:
            canvas.fill(cab[end].box(0.06, 0.52, 0.94, 0.92), GLASS)
            canvas.fill(cab[end].box(stack(0.2, 0.8, 0.06, 0.2, 0.32)), (45, 45, 48))
            v.lights(cab, end, 0.06, 0.16)
    canvas.label("truck", v.shapes)
    if "rear" in ends:
        v.plate(frame["rear"], 0.3, 0.65)


def bus(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float) -> None:
    """A city bus: a long box with a continuous band of windows and a lit destination."""
    length, high = rng.uniform(9, 12), rng.uniform(2.9, 3.2)
    colour = rng.usual(BUSES)
    stripe = rng.contrasting(colour)
    v = Vehicle(canvas, x, z, yaw, length, 2.5)
    ends, sides = v.paint(v.box((0.15, 0.4)), (32, 32, 34))
    body = v.box((0.32, high), (0.05, 0.1, 0.03))
    v.paint(body, colour)
    for side in sides:
        face = body[side]
        canvas.fill(face.box(0.01, 0.42, 0.99, 0.86), GLASS)
        posts = row(int(length / 1.5), -0.07, 0.42, 0.07, 0.86)[1:]
        canvas.fill(face.box(posts), scaled(colour, SHADES[side]))
        canvas.fill(face.box(stack(0, 1, 0.05, 0.08, 0.19, 0.3)), stripe)
        if side == "right":
            doors = [(u, 0.02, u + 1.2 / length, 0.84) for u in (0.35, 0.86)]
            gaps = [(u + 0.55 / length, 0.02, u + 0.65 / length, 0.84) for u in (0.35, 0.86)]
            canvas.fill(face.box(doors), (60, 68, 76))
            canvas.fill(face.box(gaps), (20, 20, 22))
        v.wheels(side, (2.6, length - 2.4), 0.48)
    for end in ends:
        face, rear = body[end], end == "rear"
        v.tyres(end)
        canvas.fill(face.box(0.06, 0.52 if rear else 0.36, 0.94, 0.82), GLASS)
        canvas.fill(face.box(0.12, 0.86, 0.88, 0.97), (25, 25, 25))
        canvas.fill(face.box(0.2, 0.885, 0.8, 0.945), (250, 170, 50))
        if rear:
            slats = stack(0.22, 0.78, 0.04, 0.16, 0.25, 0.34)
            canvas.fill(face.box(slats), scaled(colour, 0.5))
        v.lights(body, end, 0.1, 0.36 if rear else 0.24, 0.13)
    canvas.label("bus", v.shapes)
    if "rear" in ends:
        v.plate(body["rear"], 0.05, high)


def slanted(starts: Sequence[float], width: float, shift: float) -> list[list[Sequence[float]]]:
    """Corners (u, v) of stripes on the lower half of a face that move by `shift` as they rise."""
    return [
        [(u, 0.02), (u + width, 0.02), (u + width + shift, 0.42), (u + shift, 0.42)] for u in starts
    ]


def train(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float) -> None:
    """A tram or a train: long, high, striped, with a pointed nose and a pantograph."""
    length, high = rng.uniform(16, 26), rng.uniform(3.5, 3.9)
    colour = rng.usual(TRAINS)
    stripe = rng.near(rng.pick(LIVERIES), 12)
    v = Vehicle(canvas, x, z, yaw, length, 2.6)
    v.paint(v.box((0.05, 0.5), a=(0.6, length - 0.6), inset=0.1), (34, 34, 36))
    body = v.box((0.4, high), (0.7, 0.7, 0.12))
    ends, sides = v.paint(body, colour)
    for side in sides:
        face, count = body[side], int(length / 2.2)
        pitch = 1.5 / length  # slanted stripes, the livery of the line
        starts = [i * pitch for i in range(int(1 / pitch) - 1)]
        canvas.fill(face.at(slanted(starts, pitch / 2, pitch * 0.6)), stripe)
        canvas.fill(face.box(0, 0.9, 1, 1), stripe)
        canvas.fill(face.box(row(count, 0.16, 0.5, 0.84, 0.84)), GLASS)
        doors = row(count, 0.1, 0.04, 0.9, 0.86)[1::3]
        canvas.fill(face.box(doors), scaled(stripe, 0.8))
        leaves = row(count, 0.2, 0.36, 0.46, 0.82)[1::3] + row(count, 0.54, 0.36, 0.8, 0.82)[1::3]
        canvas.fill(face.box(leaves), GLASS)
    for end in ends:
        face, lamp = body[end], (215, 45, 40) if end == "rear" else (250, 248, 225)
        canvas.fill(face.at(slanted((0.0, 0.28, 0.56), 0.14, 0.16)), stripe)
        canvas.fill(face.at([(0.1, 0.46), (0.9, 0.46), (0.84, 0.82), (0.16, 0.82)]), GLASS)
        canvas.fill(face.box(0.3, 0.87, 0.7, 0.95), (250, 190, 60))
        for u in (0.16, 0.84):
            canvas.fill(face.disc(u, 0.25, 0.08, 0.05), lamp)
        canvas.fill(face.disc(0.5, 0.98, 0.06, 0.035, corners=8), lamp)
    arm = v.box((high, high + 0.9), (0.9, 0, 0), (length / 2, length), 1.22)["rear"]
    canvas.label("train", v.shapes + canvas.fill(arm.quad, (40, 40, 42)))


def caravan(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float) -> None:
    colour = rng.grey(190, 235)
    v = Vehicle(canvas, x, z, yaw, 4.5, 2.2)
    body = v.box((0.4, 2.5), (0.2, 0.5, 0.05))
    ends, sides = v.paint(body, colour)
    for name in ends + sides:
        canvas.fill(body[name].box(0.2, 0.5, 0.8, 0.8), GLASS)
        canvas.fill(body[name].box(0, 0.2, 1, 0.28), rng.paint())
    for end in ends:
        v.tyres(end)
    canvas.label("caravan", v.shapes)


def trailer(canvas: Canvas, rng: Rng, x: float, z: float, yaw: float) -> None:
    v = Vehicle(canvas, x, z, yaw, 3, 1.7)
    ends, _ = v.paint(v.box((0.35, 1.1)), rng.paint())
    if "rear" in ends:
        v.tyres("rear")
    canvas.label("trailer", v.shapes)

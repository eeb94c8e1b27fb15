"""Poles and what hangs on them, and the small things of a street."""

from semask.data.streets.canvas import Canvas, board, stack
from semask.data.streets.materials import PLASTER
from semask.data.streets.palette import STEELS, Colour, Rng, scaled

DARK: Colour = (35, 36, 38)
LAMPS = ((240, 60, 45), (245, 180, 50), (70, 225, 130))


def pole(canvas: Canvas, rng: Rng, x: float, z: float, height: float, reach: float = 0) -> None:
    """A pole of the given height, with an arm of length `reach` (signed) at its top."""
    half = rng.uniform(0.16, 0.22)
    colour = rng.usual(STEELS)
    plane = board(x, z)
    shapes = canvas.fill(plane.box(-half, 0, half, height), colour)
    canvas.fill(plane.box(0, 0, half, height), scaled(colour, 0.5))
    step = rng.uniform(0.28, 0.36)  # banded, to be seen in traffic
    bands = [(-half, 2 * i * step, half, (2 * i + 1) * step) for i in range(int(height / step / 2))]
    canvas.fill(plane.box(bands), DARK)
    if reach:
        shapes += canvas.fill(plane.box(0, height - 0.24, reach, height), colour)
    canvas.label("pole", shapes)


def lamp(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    height, reach = rng.uniform(4.5, 7), rng.uniform(0.8, 1.6) * (1 if x < 0 else -1)
    pole(canvas, rng, x, z, height, reach)
    head = board(x + reach, z).box(-0.4, height - 0.35, 0.4, height + 0.1)
    canvas.fill(head, (225, 220, 200), label="static")


def traffic_light(canvas: Canvas, rng: Rng, x: float, z: float, y: float) -> None:
    """A signal head with three lamps, one of which is lit; its lower edge at height y."""
    half, height = rng.uniform(0.34, 0.42), rng.uniform(1.25, 1.45)
    plane = board(x, z - 0.05)
    case = DARK if rng.chance(0.85) else rng.near(rng.pick(((180, 150, 50), (60, 85, 65))))
    rim = half * 1.3 if rng.chance(0.8) else half
    edge = plane.box(-rim, y - (rim - half), rim, y + height + (rim - half))
    canvas.fill(edge, (205, 205, 200) if rim > half else case, label="traffic light")
    canvas.fill(plane.box(-half, y, half, y + height), case)
    lit = int(rng.random() * 3)
    for i, colour in enumerate(LAMPS):
        v = y + height * (5 - 2 * i) / 6
        glow = colour if i == lit else scaled(colour, 0.28)
        canvas.fill(plane.disc(0, v, half * 0.66, height / 7.5), glow)


def traffic_sign(canvas: Canvas, rng: Rng, x: float, z: float, y: float) -> None:
    """A sign plate centred on height y: round, triangular, octagonal or rectangular."""
    plane = board(x, z - 0.05)
    size = rng.uniform(0.48, 0.62)
    rim, field = rng.near((200, 45, 45)), rng.near((225, 225, 220))
    kind = rng.pick(("round", "round", "triangle", "triangle", "octagon", "rectangle"))
    if rng.chance(0.4):
        rim, field = rng.near((225, 225, 220)), rng.near((40, 85, 170))
    ink = rng.contrasting(field)
    if kind == "triangle":
        up = 1 if rng.chance(0.6) else -1
        outline, inner = (
            plane.at([(-k, y - 0.8 * k * up), (k, y - 0.8 * k * up), (0, y + 0.95 * k * up)])
            for k in (size * 1.15, size * 0.66)
        )
    elif kind == "rectangle":
        w = size * rng.uniform(0.9, 1.6)
        outline, inner = (plane.box(-w + k, y - size + k, w - k, y + size - k) for k in (0.0, 0.12))
    else:
        n, large, small = (14, 1, 0.66) if kind == "round" else (8, 1.05, 0.8)
        outline, inner = (plane.disc(0, y, size * k, size * k, corners=n) for k in (large, small))
    canvas.fill(outline, rim, label="traffic sign")
    canvas.fill(inner, field)
    mark = [(-size * 0.16, y - size * 0.4, size * 0.16, y + size * 0.35)]
    if kind == "rectangle":
        mark = stack(-0.6 * size, 0.6 * size, 0.14, y - 0.25, y + 0.12)
    canvas.fill(plane.box(mark), ink)


def signal_mast(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """A pole with a traffic light, at times with a second one on an arm over the road."""
    if rng.chance(0.35):
        reach = rng.uniform(2, 3.5) * (1 if x < 0 else -1)
        pole(canvas, rng, x, z, 4.2, reach)
        traffic_light(canvas, rng, x + reach, z, 2.8)
        traffic_light(canvas, rng, x, z, 1.7)
    else:
        pole(canvas, rng, x, z, rng.uniform(3.2, 3.8))
        traffic_light(canvas, rng, x, z, rng.uniform(1.6, 2.0))


def sign_post(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    height = rng.uniform(2.2, 2.9)
    pole(canvas, rng, x, z, height)
    traffic_sign(canvas, rng, x, z, height - 0.3)
    if rng.chance(0.3):
        traffic_sign(canvas, rng, x, z, height - 1.3)


def bollards(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    for i in (3, 2, 1, 0):  # from the far end
        pole(canvas, rng, x, z + 1.8 * i, 0.95)


def pole_group(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """Poles too close together to be told apart."""
    plane = board(x, z)
    boxes = [(0.3 * i - 0.08, 0.0, 0.3 * i + 0.08, rng.uniform(2.5, 4)) for i in range(3)]
    canvas.fill(plane.box(boxes), rng.grey(70, 160))
    canvas.label("polegroup", list(canvas.project(plane.box(-0.1, 0, 0.7, 2.8))))


def static(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """A litter bin, a bench or an advertising column."""
    plane = board(x, z)
    colour = rng.paint()
    trim = scaled(colour, 0.7)
    kind = int(rng.random() * 3)
    if kind == 0:
        shapes = canvas.fill(plane.at([(-0.3, 0), (0.3, 0), (0.36, 1), (-0.36, 1)]), colour)
        shapes += canvas.fill(plane.box(-0.42, 1.0, 0.42, 1.15), trim)
    elif kind == 1:
        seat, back = (-0.9, 0.4, 0.9, 0.55), (-0.9, 0.7, 0.9, 1.0)
        legs = (-0.8, 0, -0.65, 0.4), (0.65, 0, 0.8, 0.4)
        shapes = canvas.fill(plane.box(seat, back, *legs), colour)
    else:
        shapes = canvas.fill(plane.box(-0.65, 0, 0.65, 2.6), colour, PLASTER)
        shapes += canvas.fill(plane.box(-0.75, 2.6, 0.75, 2.9), trim)
        canvas.fill(plane.box(-0.45, 0.9, 0.45, 2.2), rng.paint())
    canvas.label("static", shapes)


def dynamic(canvas: Canvas, rng: Rng, x: float, z: float) -> None:
    """A pram: what moves but is no vehicle and no person."""
    plane = board(x, z)
    carriage = [(-0.4, 0.35), (0.3, 0.35), (0.45, 0.9), (-0.35, 0.75)]
    shapes = canvas.fill(plane.at(carriage), rng.paint())
    for u in (-0.3, 0.25):
        shapes += canvas.fill(plane.disc(u, 0.17, 0.16, 0.17, corners=8), DARK)
    handle = [(0.35, 0.8), (0.6, 1.05), (0.66, 1.0), (0.42, 0.75)]
    canvas.label("dynamic", shapes + canvas.fill(plane.at(handle), DARK))


def ego_vehicle(canvas: Canvas, rng: Rng) -> None:
    """The bonnet of the car that carries the camera, along the lower edge of the picture."""
    height, width = canvas.pixels.shape[:2]
    rise = rng.uniform(0.06, 0.12)
    colour = rng.paint()
    along = [i / 6 - 1 for i in range(13)]
    points = [(width * (0.5 + 0.53 * t), height * (1 - rise * (1 - 0.6 * t**4))) for t in along]
    canvas.overlay([(0, height), *points, (width, height)], colour, "ego vehicle")
    crest = [(x, y + 0.02 * height) for x, y in points[3:6]]
    gleam = [*crest, (width * 0.45, height), (width * 0.2, height)]
    canvas.overlay(gleam, scaled(colour, 1.3), None)


def borders(canvas: Canvas, rng: Rng) -> None:
    """The dark rims that rectification leaves, and the strip outside the region of interest."""
    height, width = canvas.pixels.shape[:2]
    rim = rng.uniform(0.008, 0.016) * width
    if rng.chance(0.5):
        edge = [(0, 0), (rim, 0), (rim * 0.5, height), (0, height)]
        canvas.overlay(edge, (4, 4, 4), "rectification border")
    top = height * (1 - rng.uniform(0.02, 0.03))
    canvas.overlay([(0, top), (width, top), (width, height), (0, height)], None, "out of roi")

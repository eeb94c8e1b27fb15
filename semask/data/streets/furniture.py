"""Poles and what hangs on them, and the small things of a street."""

from random import Random

from semask.data.streets.canvas import PLASTER, Canvas, Colour, Pixels, board
from semask.data.streets.palette import (
    STEELS,
    chance,
    contrasting,
    grey,
    jittered,
    paint,
    pick,
    scaled,
    usual,
)

DARK: Colour = (35, 36, 38)


def pole(canvas: Canvas, rng: Random, x: float, z: float, height: float, reach: float = 0) -> None:
    """A pole of the given height, with an arm of length `reach` (signed) at its top."""
    half = rng.uniform(0.16, 0.22)
    colour = usual(rng, STEELS)
    plane = board(x, z)
    shapes = [canvas.fill(plane.box(-half, 0, half, height), colour)]
    canvas.fill(plane.box(0, 0, half, height), scaled(colour, 0.5))
    step = rng.uniform(0.28, 0.36)  # banded, to be seen in traffic
    bands = [(-half, 2 * i * step, half, (2 * i + 1) * step) for i in range(int(height / step / 2))]
    canvas.fill_many(plane.boxes(bands), DARK)
    if reach:
        shapes.append(canvas.fill(plane.box(0, height - 0.24, reach, height), colour))
    canvas.label("pole", shapes)


def lamp(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """A street lamp."""
    height, reach = rng.uniform(4.5, 7), rng.uniform(0.8, 1.6) * (1 if x < 0 else -1)
    pole(canvas, rng, x, z, height, reach)
    head = board(x + reach, z).box(-0.4, height - 0.35, 0.4, height + 0.1)
    canvas.label("static", [canvas.fill(head, (225, 220, 200))])


def traffic_light(canvas: Canvas, rng: Random, x: float, z: float, y: float) -> None:
    """A signal head with three lamps, one of which is lit; its lower edge at height y."""
    half, height = rng.uniform(0.34, 0.42), rng.uniform(1.25, 1.45)
    plane = board(x, z - 0.05)
    case = DARK if chance(rng, 0.85) else jittered(rng, pick(rng, ((180, 150, 50), (60, 85, 65))))
    rim = half * 1.3 if chance(rng, 0.8) else half
    shape = canvas.fill(
        plane.box(-rim, y - (rim - half), rim, y + height + (rim - half)),
        (205, 205, 200) if rim > half else case,
    )
    canvas.fill(plane.box(-half, y, half, y + height), case)
    canvas.label("traffic light", [shape])
    lit = int(rng.random() * 3)
    lamps = ((240, 60, 45), (245, 180, 50), (70, 225, 130))
    for i, colour in enumerate(lamps):
        v = y + height * (5 - 2 * i) / 6
        glow = colour if i == lit else scaled(colour, 0.28)
        canvas.fill(plane.disc(0, v, half * 0.66, height / 7.5, 10), glow)


def traffic_sign(canvas: Canvas, rng: Random, x: float, z: float, y: float) -> None:
    """A sign plate centred on height y: round, triangular, octagonal, diamond or rectangular."""
    plane = board(x, z - 0.05)
    size = rng.uniform(0.48, 0.62)
    rim, field = jittered(rng, (200, 45, 45)), jittered(rng, (225, 225, 220))
    kind = pick(rng, (0, 1, 2, 2, 4, 5))
    if chance(rng, 0.4):
        rim, field = jittered(rng, (225, 225, 220)), jittered(rng, (40, 85, 170))
    ink = contrasting(rng, field)
    if kind in (0, 1):
        outline, inner = plane.disc(0, y, size, size), plane.disc(0, y, size * 0.66, size * 0.66)
    elif kind == 2:
        up = 1 if chance(rng, 0.6) else -1
        outline, inner = (
            plane.at([(-k, y - 0.8 * k * up), (k, y - 0.8 * k * up), (0, y + 0.95 * k * up)])
            for k in (size * 1.15, size * 0.66)
        )
    elif kind == 3:
        outline, inner = (
            plane.disc(0, y, size, size, 4),
            plane.disc(0, y, size * 0.7, size * 0.7, 4),
        )
    elif kind == 4:
        outline, inner = (plane.disc(0, y, k, k, 8) for k in (size * 1.05, size * 0.8))
    else:
        wide = rng.uniform(0.9, 1.6)
        outline = plane.box(-size * wide, y - size, size * wide, y + size)
        inner = plane.box(-size * wide + 0.12, y - size + 0.12, size * wide - 0.12, y + size - 0.12)
    canvas.label("traffic sign", [canvas.fill(outline, rim)])
    canvas.fill(inner, field)
    if kind == 5:
        canvas.fill_many(
            plane.boxes([(-0.6 * size, y + d, 0.6 * size, y + d + 0.14) for d in (-0.25, 0.12)]),
            ink,
        )
    else:
        canvas.fill(plane.box(-size * 0.16, y - size * 0.4, size * 0.16, y + size * 0.35), ink)


def signal_mast(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """A pole with a traffic light, at times with a second one on an arm over the road."""
    inward = 1 if x < 0 else -1
    if chance(rng, 0.35):
        reach = rng.uniform(2, 3.5) * inward
        pole(canvas, rng, x, z, 4.2, reach)
        traffic_light(canvas, rng, x + reach, z, 2.8)
        traffic_light(canvas, rng, x, z, 1.7)
    else:
        pole(canvas, rng, x, z, rng.uniform(3.2, 3.8))
        traffic_light(canvas, rng, x, z, rng.uniform(1.6, 2.0))


def sign_post(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """A pole with one or two signs."""
    height = rng.uniform(2.2, 2.9)
    pole(canvas, rng, x, z, height)
    traffic_sign(canvas, rng, x, z, height - 0.3)
    if chance(rng, 0.3):
        traffic_sign(canvas, rng, x, z, height - 1.3)


def bollards(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """A row of bollards."""
    for i in range(3, -1, -1):
        pole(canvas, rng, x, z + 1.8 * i, 0.95)


def pole_group(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """Poles too close together to be told apart."""
    plane = board(x, z)
    boxes = [(0.3 * i - 0.08, 0.0, 0.3 * i + 0.08, rng.uniform(2.5, 4)) for i in range(3)]
    canvas.fill_many(plane.boxes(boxes), grey(rng, 70, 160))
    canvas.label("polegroup", [canvas.project(plane.box(-0.1, 0, 0.7, 2.8))])


def static(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """A litter bin, a bench, a post box or an advertising column."""
    plane = board(x, z)
    colour = paint(rng)
    kind = int(rng.random() * 3)
    shapes: list[Pixels] = []
    if kind == 0:
        shapes.append(
            canvas.fill(plane.at([(-0.3, 0), (0.3, 0), (0.36, 1.0), (-0.36, 1.0)]), colour)
        )
        shapes.append(canvas.fill(plane.box(-0.42, 1.0, 0.42, 1.15), scaled(colour, 0.7)))
    elif kind == 1:
        boxes = [
            (-0.9, 0.4, 0.9, 0.55),
            (-0.9, 0.7, 0.9, 1.0),
            (-0.8, 0, -0.65, 0.4),
            (0.65, 0, 0.8, 0.4),
        ]
        shapes += canvas.fill_many(plane.boxes(boxes), colour)
    else:
        shapes.append(canvas.fill(plane.box(-0.65, 0, 0.65, 2.6), colour, PLASTER))
        shapes.append(canvas.fill(plane.box(-0.75, 2.6, 0.75, 2.9), scaled(colour, 0.7)))
        canvas.fill(plane.box(-0.45, 0.9, 0.45, 2.2), paint(rng))
    canvas.label("static", shapes)


def dynamic(canvas: Canvas, rng: Random, x: float, z: float) -> None:
    """A pram, a suitcase, a dog: what moves but is no vehicle and no person."""
    plane = board(x, z)
    colour = paint(rng)
    shapes = [
        canvas.fill(plane.at([(-0.4, 0.35), (0.3, 0.35), (0.45, 0.9), (-0.35, 0.75)]), colour)
    ]
    shapes += [canvas.fill(plane.disc(u, 0.17, 0.16, 0.17, 8), DARK) for u in (-0.3, 0.25)]
    shapes.append(
        canvas.fill(plane.at([(0.35, 0.8), (0.6, 1.05), (0.66, 1.0), (0.42, 0.75)]), DARK)
    )
    canvas.label("dynamic", shapes)


def ego_vehicle(canvas: Canvas, rng: Random) -> None:
    """The bonnet of the car that carries the camera, along the lower edge of the picture."""
    width, height = canvas.pixels.shape[1], canvas.pixels.shape[0]
    rise = rng.uniform(0.06, 0.12)
    colour = paint(rng)
    points = []
    for i in range(13):
        t = i / 6 - 1
        points.append((width * (0.5 + 0.53 * t), height * (1 - rise * (1 - 0.6 * t**4))))
    canvas.fill_screen("ego vehicle", [(0, height), *points, (width, height)], colour)
    crest = [(x, y + 0.02 * height) for x, y in points[3:6]]
    canvas.fill_screen(
        None, [*crest, (width * 0.45, height), (width * 0.2, height)], scaled(colour, 1.3)
    )


def borders(canvas: Canvas, rng: Random) -> None:
    """The dark rims that rectification leaves, and the strip outside the region of interest."""
    width, height = canvas.pixels.shape[1], canvas.pixels.shape[0]
    rim = rng.uniform(0.008, 0.016) * width
    if chance(rng, 0.5):
        corners = [(0.0, 0.0), (rim, 0.0), (rim * 0.5, height), (0.0, height)]
        canvas.fill_screen("rectification border", corners, (4, 4, 4))
    strip = height * (1 - rng.uniform(0.02, 0.03))
    canvas.fill_screen(
        "out of roi", [(0.0, strip), (width, strip), (width, height), (0.0, height)], None
    )

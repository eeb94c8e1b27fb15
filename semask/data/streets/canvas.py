"""What a street scene is drawn on: a pinhole camera, a picture and the list of labelled polygons.

World coordinates are metres: X to the right, Y up, Z away from the camera, the ground at Y = 0 and
the camera above the origin. The picture is painted back to front at twice the wanted resolution;
a fourth channel holds the material of each pixel, which decides its texture when the picture is
developed. Whatever is labelled is rasterised once more at label resolution and traced, so that the
polygons have integer coordinates inside the picture, as in Cityscapes.

Only integer arithmetic and correctly rounded float operations touch pixels (no BLAS, no
transcendental array functions), so that a scene is the same on every machine.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from semask.data.streets.materials import PLAIN
from semask.data.streets.palette import Colour

Points = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.int32]
Rectangle = tuple[float, float, float, float]  # on a face: u0, v0, u1, v1
Part = tuple[Points, Colour]  # polygons (..., N, 3) and their colour

SUPERSAMPLING = 2
FARTHEST = 16000  # pixels from the picture's corner: OpenCV rasterises in 16.16 fixed point
NEAREST = 0.6  # metres; points closer to the camera's plane are moved there


@dataclass(frozen=True)
class Camera:
    """Pinhole camera looking along +Z; lengths in pixels of the supersampled picture."""

    focal: float
    height: float  # metres above the ground
    centre_x: float  # where the street's direction meets the picture: the vanishing point
    centre_y: float
    roll: float  # radians
    mirrored: bool  # left-hand traffic: the same world, seen in a mirror


@cache
def _circle(corners: int) -> Points:
    turn = [2 * math.pi * (i + 0.5) / corners for i in range(corners)]
    return np.array([(math.cos(a), math.sin(a)) for a in turn])


class Face:
    """A four-cornered surface in the world; (u, v) runs over it as seen from outside.

    Its corners (X, Y, Z) are bottom left, bottom right, top right, top left, where (u, v) is
    (0, 0), (1, 0), (1, 1), (0, 1); in between, bilinear.
    """

    def __init__(self, *corners: Sequence[float]) -> None:
        origin, right, opposite, top = np.array(corners, np.float64)
        self.basis = np.array((origin, right - origin, top - origin))
        twist = opposite - right - self.basis[2]  # how far it is off a parallelogram's corner
        self.twist = twist if np.abs(twist).max() > 1e-9 else None

    @property
    def size(self) -> tuple[float, float]:
        """Lengths of the lower and of the left edge in metres."""
        return math.hypot(*self.basis[1]), math.hypot(*self.basis[2])

    def at(self, uv: npt.ArrayLike) -> Points:
        """World points (..., 3) of surface coordinates (..., 2)."""
        uv = np.asarray(uv, np.float64)
        u, v = uv[..., :1], uv[..., 1:]
        points: Points = self.basis[0] + self.basis[1] * u + self.basis[2] * v
        return points if self.twist is None else points + self.twist * (u * v)

    @property
    def quad(self) -> Points:
        """World points (1, 4, 3) of the whole surface."""
        return self.box(0, 0, 1, 1)

    def box(self, *rectangles: npt.ArrayLike) -> Points:
        """World points (M, 4, 3) of M rectangles, u0, v0, u1, v1 of each."""
        r = np.asarray(rectangles, np.float64).reshape(-1, 4)
        return self.at(r[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))

    def disc(self, *ellipses: npt.ArrayLike, corners: int = 10) -> Points:
        """World points (M, corners, 3) of M ellipses, u, v and the radii along both of each."""
        e = np.asarray(ellipses, np.float64).reshape(-1, 1, 4)
        return self.at(_circle(corners) * e[..., 2:] + e[..., :2])

    def bar(self, u0: float, v0: float, u1: float, v1: float, w0: float, w1: float) -> Points:
        """World points (4, 3) of a bar from (u0, v0) to (u1, v1), of half widths w0 and w1."""
        length = math.hypot(u1 - u0, v1 - v0)
        nu, nv = (v0 - v1) / length, (u1 - u0) / length
        ends = (u0, v0, w0), (u1, v1, w1), (u1, v1, -w1), (u0, v0, -w0)
        return self.at([(u + nu * w, v + nv * w) for u, v, w in ends])

    def faces(self, camera: Camera) -> bool:
        """Whether the outside is turned towards the camera."""
        o, u, v = self.basis
        view = o - (0, camera.height, 0)
        return float((np.cross(u, v) * view).sum()) > 0


GROUND = Face((0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1))  # u is X, v is Z


def upright(x0: float, z0: float, x1: float, z1: float, top: float, bottom: float = 0.0) -> Face:
    """A vertical surface over the line from (x0, z0) to (x1, z1), between two heights."""
    return Face((x0, bottom, z0), (x1, bottom, z1), (x1, top, z1), (x0, top, z0))


def board(x: float, z: float, yaw: float = 0.0) -> Face:
    """An upright surface standing on the ground at (x, z); u and v are metres.

    `yaw` is the angle in radians by which the direction of u is turned from +X towards +Z.
    """
    return upright(x, z, x + math.cos(yaw), z + math.sin(yaw), 1)


def row(count: int, u0: float, v0: float, u1: float, v1: float) -> list[Rectangle]:
    """A rectangle in each of `count` equal columns of a face; u0 and u1 are parts of a column."""
    return [((i + u0) / count, v0, (i + u1) / count, v1) for i in range(count)]


def stack(u0: float, u1: float, height: float, *bottoms: float) -> list[Rectangle]:
    """Equal rectangles of a face above each other, from u0 to u1."""
    return [(u0, v, u1, v + height) for v in bottoms]


class Canvas:
    """A picture under construction and the polygons drawn so far.

    `pixels` (2·height, 2·width, 4) uint8 are RGB and material, `objects` are in drawing order.
    """

    def __init__(
        self, width: int, height: int, camera: Camera, haze: Colour, visibility: float
    ) -> None:
        self.width, self.height, self.camera = width, height, camera
        self.haze, self.visibility = haze, visibility
        self.pixels = np.zeros((height * SUPERSAMPLING, width * SUPERSAMPLING, 4), np.uint8)
        self.objects: list[dict[str, object]] = []  # {"label": name, "polygon": [[x, y], ...]}
        # picture axes: x to the right, y down; half a pixel is added for rounding
        self._axes = np.array((-1.0 if camera.mirrored else 1.0, -1.0))
        self._eye = np.array((0.0, camera.height))
        self._centre = np.array((camera.centre_x, camera.centre_y)) + 0.5
        self._cos = math.cos(camera.roll)
        self._sin = np.array((-math.sin(camera.roll), math.sin(camera.roll)))

    def project(self, points: Points) -> Pixels:
        """Project world points (..., 3) to supersampled pixel coordinates (..., 2) int32."""
        scale = self.camera.focal / np.maximum(points[..., 2:], NEAREST)
        offset = (points[..., :2] * self._axes + self._eye) * scale
        pixels = offset * self._cos + offset[..., ::-1] * self._sin + self._centre
        np.minimum(np.maximum(pixels, -FARTHEST, out=pixels), FARTHEST, out=pixels)
        return np.floor(pixels, out=pixels).astype(np.int32, order="C")

    def hazy(self, colour: Colour, points: Points) -> Colour:
        """Blend a colour with the haze between the camera and a polygon (N, 3)."""
        distance = float(points[0, 2] + points[len(points) // 2, 2]) / 2
        t = distance / (distance + self.visibility)
        (r, g, b), (hr, hg, hb) = colour, self.haze
        return int(r + (hr - r) * t), int(g + (hg - g) * t), int(b + (hb - b) * t)

    def reach(self, distance: float) -> float:
        """How far to either side the picture shows the world at a distance, in metres."""
        return distance * 1.4 * self.pixels.shape[1] * 0.7 / self.camera.focal

    def across(self, fraction: float, z: float) -> float:
        """X of what appears at a fraction of the picture's width, at a distance z."""
        camera = self.camera
        x = (fraction * self.pixels.shape[1] - camera.centre_x) / camera.focal * z
        return -x if camera.mirrored else x

    def overlay(self, corners: npt.ArrayLike, colour: Colour | None, label: str | None) -> None:
        """Fill a polygon (N, 2) in supersampled pixels, unless in no colour, and label it."""
        shape = np.rint(corners).astype(np.int32)
        if colour:
            cv2.fillPoly(self.pixels, [shape], (*colour, PLAIN))
        if label:
            self.label(label, [shape])

    def fill(
        self, points: Points, colour: Colour, material: int = PLAIN, label: str | None = None
    ) -> list[Pixels]:
        """Fill one polygon (N, 3), or several (M, N, 3), with one colour; an overlap leaves a hole.

        Returns their pixels for `label`, which is called at once where a name is given.
        """
        polygons = points.reshape(-1, *points.shape[-2:])
        shapes = list(self.project(polygons))
        if shapes:
            cv2.fillPoly(self.pixels, shapes, (*self.hazy(colour, polygons[0]), material))
        if label:
            self.label(label, shapes)
        return shapes

    def fill_each(self, parts: Iterable[Part], material: int = PLAIN) -> list[Pixels]:
        """Fill parts one after the other, each with its own colour; return their pixels."""
        return [shape for part in parts for shape in self.fill(*part, material)]

    def shade(self, points: Points, strength: float) -> None:
        """Darken what lies under one polygon (..., N, 3): a shadow."""
        polygon = self.project(points).reshape(-1, 2)
        (x0, y0), (x1, y1) = np.maximum((polygon.min(0), polygon.max(0) + 1), 0).tolist()
        region = self.pixels[y0:y1, x0:x1, :3]
        if region.size == 0:
            return
        mask = np.zeros(region.shape[:2], np.uint8)
        cv2.fillPoly(mask, [polygon - np.array([x0, y0], np.int32)], 1)
        factor = np.array([256, int(256 * (1 - strength))], np.uint16)[mask]
        region[:] = (region * factor[..., None]) >> 8

    def label(self, name: str, shapes: Sequence[Pixels]) -> None:
        """Append the outline of the union of drawn shapes to the labelled polygons.

        A union in several pieces becomes several polygons; one outside the picture, none.
        """
        # the supersampled pixel i has its centre at i/2 - 1/4 label pixels: in quarters, 2i - 1
        corners = np.concatenate(shapes) * (4 // SUPERSAMPLING) - 1
        x0, y0 = np.maximum(corners.min(0) // 4, 0).tolist()
        x1, y1 = np.minimum(corners.max(0) // 4 + 1, (self.width - 1, self.height - 1)).tolist()
        if x1 <= x0 or y1 <= y0:
            return
        mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
        corners -= np.array([x0 * 4, y0 * 4], np.int32)
        ends = np.cumsum([len(shape) for shape in shapes])
        for polygon in np.split(corners, ends[:-1]):  # one by one: no holes where they overlap
            cv2.fillPoly(mask, [polygon], 1, shift=2)
        contours, _ = cv2.findContours(
            mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x0, y0)
        )
        for contour in sorted(contours, key=lambda c: tuple(c[0, 0])):
            outline = cv2.approxPolyDP(contour, 0.6, True)[:, 0].tolist()
            if len(outline) >= 3:
                self.objects.append({"label": name, "polygon": outline})

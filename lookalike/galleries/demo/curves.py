"""Plane geometry of the drawings: smooth curves, ellipses, and tubes, which every limb and body is made of.

Units are those of a drawing: about 1 for half its size, x to the right and y down. Angles are degrees, clockwise
as seen, because y points down.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]


def smooth(points: Sequence[Point], *, closed: bool = False, steps: int = 6) -> list[Point]:
    """A uniform Catmull-Rom spline through ``points`` (Catmull and Rom, 1974), ``steps`` samples a span."""
    num = len(points)
    if num < 3:
        return list(points)
    samples: list[Point] = []
    for i in range(num if closed else num - 1):
        if closed:
            p0, p1, p2, p3 = points[i - 1], points[i], points[(i + 1) % num], points[(i + 2) % num]
        else:
            p0, p1, p2, p3 = points[max(i - 1, 0)], points[i], points[i + 1], points[min(i + 2, num - 1)]
        for step in range(steps):
            t = step / steps
            w0 = t * (-0.5 + t * (1 - 0.5 * t))
            w1 = 1 + t * t * (-2.5 + 1.5 * t)
            w2 = t * (0.5 + t * (2 - 1.5 * t))
            w3 = t * t * (-0.5 + 0.5 * t)
            samples.append(
                (
                    w0 * p0[0] + w1 * p1[0] + w2 * p2[0] + w3 * p3[0],
                    w0 * p0[1] + w1 * p1[1] + w2 * p2[1] + w3 * p3[1],
                )
            )
    if not closed:
        samples.append(points[-1])
    return samples


def polar(x: float, y: float, angle: float, length: float) -> Point:
    """The point ``length`` away from (x, y) in the direction ``angle``."""
    radians = math.radians(angle)
    return x + length * math.cos(radians), y + length * math.sin(radians)


def arc(
    x: float,
    y: float,
    rx: float,
    ry: float,
    start: float = 0.0,
    end: float = 360.0,
    *,
    tilt: float = 0.0,
    num: int = 28,
) -> list[Point]:
    """``num`` points along an ellipse's arc, both ends included; ``tilt`` turns the ellipse about its centre."""
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    points = []
    for i in range(num):
        angle = math.radians(start + (end - start) * i / (num - 1))
        u, v = rx * math.cos(angle), ry * math.sin(angle)
        points.append((x + u * cos - v * sin, y + u * sin + v * cos))
    return points


def wavy(x: float, y: float, rx: float, ry: float, *, bumps: int, depth: float, phase: float = 0.0) -> list[Point]:
    """A closed ellipse whose edge swells in and out ``bumps`` times by ``depth`` of its radius, like wool."""
    num = max(6 * bumps, 24)
    points = []
    for i in range(num):
        angle = 2 * math.pi * i / num
        swell = 1 + depth * (abs(math.sin(bumps * angle / 2 + phase)) - 0.5)
        points.append((x + rx * swell * math.cos(angle), y + ry * swell * math.sin(angle)))
    return points


@dataclass(frozen=True)
class Tube:
    """A smooth spine with a radius at each sample: a body, a neck, a leg, a trunk, a bat.

    Positions on it are (along, across): along in [0, 1] from its first end to its last, across in [-1, 1] from
    its left edge (up, for a spine to the right) to its right edge.
    """

    spine: tuple[Point, ...]
    radii: tuple[float, ...]

    @classmethod
    def through(cls, points: Sequence[Point], radii: Sequence[float], *, steps: int = 6) -> "Tube":
        """A tube through ``points`` with a radius for each; between them both are interpolated smoothly."""
        widths = smooth([(radius, 0.0) for radius in radii], steps=steps)
        spine = smooth(points, steps=steps)
        if len(points) == 2:
            (x0, y0), (x1, y1) = points
            spine = [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps + 1)]
            widths = [(radii[0] + (radii[1] - radii[0]) * i / steps, 0.0) for i in range(steps + 1)]
        return cls(tuple(spine), tuple(max(width[0], 0.0) for width in widths))

    def at(self, along: float, across: float) -> Point:
        """The point at (along, across)."""
        position = min(max(along, 0.0), 1.0) * (len(self.spine) - 1)
        i = min(int(position), len(self.spine) - 2)
        rest = position - i
        (x0, y0), (x1, y1) = self.spine[i], self.spine[i + 1]
        radius = self.radii[i] + (self.radii[i + 1] - self.radii[i]) * rest
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        offset = across * radius / length
        return x0 + (x1 - x0) * rest - (y1 - y0) * offset, y0 + (y1 - y0) * rest + (x1 - x0) * offset

    def outline(self) -> list[Point]:
        """The closed edge, with round ends."""
        last = len(self.spine) - 1
        left = [self.at(i / last, -1.0) for i in range(last + 1)]
        right = [self.at(i / last, 1.0) for i in range(last, -1, -1)]
        return left + self._cap(last, left[-1]) + right + self._cap(0, right[-1])

    def _cap(self, index: int, start: Point) -> list[Point]:
        (x, y), radius = self.spine[index], self.radii[index]
        first = math.degrees(math.atan2(start[1] - y, start[0] - x))
        return [polar(x, y, first + turn, radius) for turn in (30, 60, 90, 120, 150)]

    def band(self, start: float, end: float, *, low: float = -1.0, high: float = 1.0, lean: float = 0.0) -> list[Point]:
        """The closed piece between two positions along, and two across; ``lean`` slants it along the tube."""
        across = [low + (high - low) * i / 4 for i in range(5)]
        there = [self.at(start + lean * a, a) for a in across]
        back = [self.at(end + lean * a, a) for a in reversed(across)]
        return there + back

    def strip(self, low: float, high: float, *, start: float = 0.0, end: float = 1.0) -> list[Point]:
        """The closed piece that follows the tube from ``start`` to ``end``, between two positions across."""
        along = [start + (end - start) * i / 12 for i in range(13)]
        return [self.at(a, low) for a in along] + [self.at(a, high) for a in reversed(along)]

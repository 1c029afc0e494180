"""Markings on a tube: stripes, spots, patches. Each stays within the part that it is painted on."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube
from lookalike.galleries.demo.palette import Colour, mix
from lookalike.galleries.demo.quadruped import Coat


def bare(pen: Pen, rng: Random, part: Tube, size: float) -> None:
    """No markings."""


def stripes(colour: Colour, spacing: float) -> Coat:
    """Dark bands across, like a zebra's; ``spacing`` is the distance between two in units of the drawing."""

    def paint(pen: Pen, rng: Random, part: Tube, size: float) -> None:
        length = _length(part)
        num = max(round(length / spacing), 3)
        lean = rng.uniform(-0.2, 0.2) / num
        for i in range(num):
            start = (i + 0.2 + rng.uniform(-0.1, 0.1)) / num
            low, high = (-0.98, 0.98) if i % 3 else (-0.98, rng.uniform(0.5, 0.98))
            pen.polygon(part.band(start, start + rng.uniform(0.42, 0.58) / num, low=low, high=high, lean=lean), colour)

    return paint


def spots(colour: Colour, spacing: float) -> Coat:
    """Angular fields close together, like a giraffe's."""

    def paint(pen: Pen, rng: Random, part: Tube, size: float) -> None:
        columns = max(round(_length(part) / (spacing * size)), 2)
        rows = max(round(2 * max(part.radii) / (spacing * size)), 1)
        for column in range(columns):
            for row in range(rows):
                along, across = (column + 0.5) / columns, -0.95 + 1.9 * (row + 0.5) / rows
                dx, dy = 0.40 / columns, 0.78 / rows
                corners = ((-1, -0.6), (-0.2, -1), (0.9, -0.7), (1, 0.5), (0.1, 1), (-0.9, 0.7))
                field = [
                    part.at(
                        along + dx * a * rng.uniform(0.75, 1.1),
                        min(max(across + dy * b * rng.uniform(0.75, 1.1), -0.97), 0.97),
                    )
                    for a, b in corners
                ]
                pen.polygon(field, colour)

    return paint


def patches(colour: Colour, num: int) -> Coat:
    """A few large irregular fields, like a cow's or a piebald dog's, on the large parts only."""

    def paint(pen: Pen, rng: Random, part: Tube, size: float) -> None:
        if size < 0.9:
            return
        for _ in range(rng.randint(max(num - 1, 1), num + 1)):
            along, across = rng.uniform(0.08, 0.92), rng.uniform(-0.7, 0.5)
            dx, dy = rng.uniform(0.09, 0.2), rng.uniform(0.3, 0.6)
            corners = ((-1, 0), (-0.6, -0.9), (0.3, -1), (1, -0.3), (0.7, 0.8), (-0.3, 1))
            field = [
                part.at(along + dx * a * rng.uniform(0.6, 1.1), min(max(across + dy * b, -0.96), 0.96))
                for a, b in corners
            ]
            pen.blob(field, colour)

    return paint


def tabby(colour: Colour) -> Coat:
    """Short soft bars down from the back, like a tabby cat's."""

    def paint(pen: Pen, rng: Random, part: Tube, size: float) -> None:
        soft = mix(colour, (0, 0, 0), 0.1)
        num = 7 if size >= 0.9 else 3
        for i in range(num):
            start = (i + 0.4) / num
            pen.polygon(part.band(start, start + 0.4 / num, low=-0.97, high=rng.uniform(-0.2, 0.4)), soft)

    return paint


def fleece(colour: Colour) -> Coat:
    """Curls of wool."""

    def paint(pen: Pen, rng: Random, part: Tube, size: float) -> None:
        if size < 0.9:
            return
        for _ in range(26):
            x, y = part.at(rng.uniform(-0.1, 1.1), rng.uniform(-0.85, 0.85))
            pen.canvas.trace(
                pen.frame.apply([(x - 0.05, y), (x - 0.03, y + 0.04), (x + 0.03, y + 0.04), (x + 0.05, y)]),
                colour,
                0.015 * pen.frame.scale,
            )

    return paint


def _length(part: Tube) -> float:
    pairs = zip(part.spine, part.spine[1:], strict=False)
    return float(sum(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 for (x0, y0), (x1, y1) in pairs))

"""The balls of five sports, drawn at the origin from about -1 to 1."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, polar
from lookalike.galleries.demo.palette import BLACK, BLUE, CREAM, LIME, RED, WHITE, YELLOW, pick, vary


def sports_ball(pen: Pen, rng: Random) -> None:
    spin = pen.at(0, 0, rng.uniform(0, 360))
    (_football, _basketball, _tennis_ball, _volleyball, baseball)[rng.randrange(5)](spin, rng)
    pen.plain().ellipse(-0.35, -0.45, 0.2, 0.12, WHITE, tilt=-40)


def _football(pen: Pen, rng: Random) -> None:
    pen.ellipse(0, 0, 0.85, 0.85, vary(rng, WHITE, 6))
    dark = pick(rng, (BLACK, BLACK, BLUE, RED))
    pen.plain().polygon([polar(0, 0, 72 * i, 0.3) for i in range(5)], dark)
    for i in range(5):
        pen.stroke([polar(0, 0, 72 * i, 0.3), polar(0, 0, 72 * i, 0.6)], 0.04, dark)
        edge = [
            polar(0, 0, 72 * i - turn, length) for turn, length in ((20, 0.82), (12, 0.64), (-12, 0.64), (-20, 0.82))
        ]
        pen.plain().polygon(edge, dark)
        pen.stroke([polar(0, 0, 72 * i + 12, 0.64), polar(0, 0, 72 * i + 60, 0.64)], 0.035, dark)


def _basketball(pen: Pen, rng: Random) -> None:
    pen.ellipse(0, 0, 0.85, 0.85, vary(rng, (224, 112, 44)))
    for line in (
        [(-0.84, 0), (0.84, 0)],
        [(0, -0.84), (0, 0.84)],
        [(-0.55, -0.63), (-0.26, 0), (-0.55, 0.63)],
        [(0.55, -0.63), (0.26, 0), (0.55, 0.63)],
    ):
        pen.stroke(line, 0.05, BLACK)


def _tennis_ball(pen: Pen, rng: Random) -> None:
    pen.ellipse(0, 0, 0.85, 0.85, vary(rng, (204, 224, 64)))
    pen.stroke([(-0.68, -0.48), (-0.2, -0.2), (-0.2, 0.25), (-0.66, 0.5)], 0.08, WHITE)
    pen.stroke([(0.68, -0.48), (0.25, -0.25), (0.25, 0.2), (0.66, 0.5)], 0.08, WHITE)


def _volleyball(pen: Pen, rng: Random) -> None:
    one, other = vary(rng, WHITE, 6), pick(rng, (BLUE, YELLOW, RED, LIME))
    pen.ellipse(0, 0, 0.85, 0.85, one)
    for i in range(3):
        part = pen.at(0, 0, 120 * i)
        part.plain().blob([(0.05, -0.05), (0.4, -0.32), (0.78, -0.3), (0.84, 0.1), (0.45, 0.02)], other)
        for bend in (-0.32, -0.1, 0.12):
            part.stroke([(0.02, 0.0), (0.4, bend), (0.8, bend * 0.9)], 0.03, BLUE)


def baseball(pen: Pen, rng: Random) -> None:
    pen.ellipse(0, 0, 0.85, 0.85, vary(rng, CREAM, 8))
    for side in (-1, 1):
        seam = Tube.through([(side * 0.5, -0.68), (side * 0.22, 0), (side * 0.5, 0.68)], [0.07, 0.07, 0.07])
        for i in range(9):
            pen.plain().polygon(seam.band(i / 9, i / 9 + 0.035, lean=0.05), RED)
        pen.stroke([(side * 0.5, -0.68), (side * 0.22, 0), (side * 0.5, 0.68)], 0.025, RED)

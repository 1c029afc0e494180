"""The ten animals. Each has several coats, and is seen from the side or, as a close-up, from the front."""

from random import Random

from lookalike.galleries.demo import coats, faces, heads
from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.coats import bare
from lookalike.galleries.demo.curves import Tube
from lookalike.galleries.demo.palette import (
    BLACK,
    BRIGHT,
    BROWN,
    CHOCOLATE,
    CREAM,
    GREY,
    ORANGE,
    PINK,
    TAN,
    WHITE,
    Colour,
    darker,
    lighter,
    pick,
    vary,
)
from lookalike.galleries.demo.quadruped import Build, Coat, Colours, Head, draw_quadruped

CLOSE_UPS = 0.3
"""The share of animals drawn as a face."""

_CAT = Build(0.34, 0.22, 0.2, 0.23, 0.36, 0.07, 0.24, 0.15, (35, 60), 0.29, (0.75, 0.06, 0.04), (10, 60), 40)
_DOG = Build(0.4, 0.25, 0.2, 0.21, 0.46, 0.075, 0.34, 0.15, (35, 60), 0.3, (0.42, 0.07, 0.03), (15, 60), 30)
_HORSE = Build(
    0.4,
    0.25,
    0.23,
    0.25,
    0.72,
    0.065,
    0.55,
    0.13,
    (40, 65),
    0.34,
    (0.6, 0.1, 0.09),
    (-50, -20),
    -40,
    mane=0.09,
    grazes=0.25,
)
_SHEEP = Build(
    0.34, 0.3, 0.36, 0.3, 0.34, 0.06, 0.32, 0.2, (15, 40), 0.3, (0.14, 0.07, 0.05), (-40, 0), wool=True, grazes=0.2
)
_COW = Build(
    0.48,
    0.29,
    0.32,
    0.3,
    0.46,
    0.075,
    0.3,
    0.2,
    (10, 30),
    0.32,
    (0.62, 0.03, 0.03),
    (-75, -50),
    -15,
    tuft=0.07,
    grazes=0.3,
)
_ELEPHANT = Build(
    0.36, 0.38, 0.4, 0.38, 0.46, 0.13, 0.36, 0.3, (10, 30), 0.44, (0.4, 0.03, 0.03), (-70, -40), tuft=0.05
)
_BEAR = Build(0.42, 0.33, 0.34, 0.34, 0.36, 0.12, 0.34, 0.25, (5, 30), 0.36, (0.1, 0.07, 0.06), (0, 20), grazes=0.15)
_ZEBRA = Build(
    0.4,
    0.25,
    0.24,
    0.26,
    0.58,
    0.065,
    0.48,
    0.14,
    (35, 58),
    0.33,
    (0.5, 0.04, 0.03),
    (-65, -40),
    tuft=0.07,
    mane=0.09,
    grazes=0.25,
)
_GIRAFFE = Build(
    0.26,
    0.22,
    0.18,
    0.18,
    0.7,
    0.05,
    1.0,
    0.09,
    (58, 80),
    0.22,
    (0.4, 0.03, 0.02),
    (-75, -50),
    tuft=0.05,
    mane=0.03,
    grazes=0.05,
)


def _animal(pen: Pen, rng: Random, build: Build, colours: Colours, head: Head, face: Head, coat: Coat) -> None:
    if rng.random() < CLOSE_UPS:
        face(pen, rng, colours)
    else:
        lift = 0.2 + max(build.neck - 0.6, 0.0)
        draw_quadruped(pen.at(-0.2, lift - build.leg * 0.4, width=1.08), rng, build, colours, head, coat)


def cat(pen: Pen, rng: Random) -> None:
    coat = pick(rng, (GREY, ORANGE, BLACK, WHITE, TAN, (90, 84, 80)))
    dark = darker(coat, 0.4)
    pattern = coats.tabby(dark) if rng.random() < 0.6 else bare
    _animal(pen, rng, _CAT, Colours(coat, dark, lighter(coat, 0.3), PINK), heads.cat, faces.cat, pattern)


def dog(pen: Pen, rng: Random) -> None:
    coat = pick(rng, (TAN, BROWN, CHOCOLATE, CREAM, BLACK, WHITE, (206, 160, 80)))
    dark = pick(rng, (darker(coat, 0.35), CHOCOLATE), 6)
    pattern = coats.patches(dark, 2) if rng.random() < 0.4 else bare
    _animal(pen, rng, _DOG, Colours(coat, dark, lighter(coat, 0.2), BLACK), heads.dog, faces.dog, pattern)


def horse(pen: Pen, rng: Random) -> None:
    coat = pick(rng, (BROWN, (150, 82, 42), CHOCOLATE, (190, 184, 178), TAN))
    colours = Colours(coat, pick(rng, (BLACK, CHOCOLATE, CREAM)), BLACK, darker(coat, 0.25))
    _animal(pen, rng, _HORSE, colours, heads.horse, faces.horse, bare)


def sheep(pen: Pen, rng: Random) -> None:
    wool = pick(rng, (WHITE, CREAM, (216, 208, 192)), 8)
    face = pick(rng, (BLACK, (70, 60, 56), CREAM, TAN))
    pattern = coats.fleece(darker(wool, 0.2))
    _animal(pen, rng, _SHEEP, Colours(wool, wool, BLACK, face), heads.sheep, faces.sheep, pattern)


def cow(pen: Pen, rng: Random) -> None:
    if rng.random() < 0.65:
        coat, patch = vary(rng, WHITE, 6), pick(rng, (BLACK, BROWN, (60, 40, 30)))
    else:
        coat = pick(rng, (BROWN, (150, 92, 50), BLACK))
        patch = pick(rng, (WHITE, darker(coat)))
    _animal(pen, rng, _COW, Colours(coat, patch, BLACK, vary(rng, PINK)), heads.cow, faces.cow, coats.patches(patch, 4))


def elephant(pen: Pen, rng: Random) -> None:
    coat = pick(rng, ((130, 130, 136), (112, 108, 108), (150, 142, 134)))
    _animal(pen, rng, _ELEPHANT, Colours(coat, darker(coat), lighter(coat), PINK), heads.elephant, faces.elephant, bare)


def bear(pen: Pen, rng: Random) -> None:
    coat = pick(rng, (BROWN, CHOCOLATE, BLACK, (150, 104, 60), (236, 230, 214)))
    muzzle = lighter(coat, 0.3)
    _animal(pen, rng, _BEAR, Colours(coat, darker(coat), darker(coat), muzzle), heads.bear, faces.bear, bare)


def zebra(pen: Pen, rng: Random) -> None:
    coat, stripe = vary(rng, WHITE, 8), vary(rng, BLACK, 8)
    pattern = coats.stripes(stripe, rng.uniform(0.1, 0.15))
    _animal(pen, rng, _ZEBRA, Colours(coat, stripe, BLACK, (70, 64, 62)), heads.zebra, faces.zebra, pattern)


def giraffe(pen: Pen, rng: Random) -> None:
    coat, spot = vary(rng, (238, 208, 140)), pick(rng, ((170, 104, 44), (140, 84, 40), (190, 124, 60)))
    pattern = coats.spots(spot, rng.uniform(0.14, 0.2))
    _animal(pen, rng, _GIRAFFE, Colours(coat, spot, CHOCOLATE, lighter(coat)), heads.giraffe, faces.giraffe, pattern)


def bird(pen: Pen, rng: Random) -> None:
    body = pick(rng, (*BRIGHT, GREY, BROWN, BLACK))
    wing = pick(rng, (darker(body), lighter(body, 0.4), BLACK, WHITE), 8)
    beak = pick(rng, ((236, 150, 40), (60, 54, 50), (220, 190, 60)), 8)
    (_flying if rng.random() < 0.4 else _perched)(pen, rng, body, wing, beak)


def _perched(pen: Pen, rng: Random, body: Colour, wing: Colour, beak: Colour) -> None:
    slope = rng.uniform(-25, 25)
    pen = pen.at(0, 0, slope)
    for x in (-0.08, 0.14):
        pen.stroke([(x, 0.4), (x + 0.02, 0.85)], 0.05, beak)
        pen.stroke([(x - 0.1, 0.86), (x + 0.18, 0.86)], 0.05, beak)
    pen.polygon(
        [(-0.4, 0.0), (-1.0, rng.uniform(0.2, 0.4)), (-0.95, rng.uniform(0.45, 0.6)), (-0.3, 0.3)], darker(wing, 0.1)
    )
    pen.polygon([(0.6, -0.55), (1.0, -0.42), (0.62, -0.32)], beak)
    pen.tube(Tube.through([(-0.35, 0.2), (0.05, 0.1), (0.42, -0.42)], [0.2, 0.44, 0.3]), body)
    pen.plain().ellipse(0.3, 0.14, 0.2, 0.32, lighter(body, 0.35), tilt=35)
    pen.blob([(0.15, -0.1), (0.1, 0.25), (-0.35, 0.42), (-0.75, 0.4), (-0.3, 0.0)], wing)
    heads.eye(pen, 0.5, -0.5, 0.07)


def _flying(pen: Pen, rng: Random, body: Colour, wing: Colour, beak: Colour) -> None:
    spread, lift = rng.uniform(0.75, 1.0), rng.uniform(0.35, 0.9)
    far = [(0.05, -0.1), (0.25, -lift * 0.8), (spread * 0.75, -lift), (0.4, -0.3), (0.35, 0.0)]
    pen.blob(far, darker(wing))
    pen.polygon([(-0.4, 0.0), (-0.9, -0.05), (-0.95, 0.2), (-0.4, 0.16)], darker(wing, 0.15))
    pen.polygon([(0.62, -0.06), (0.95, 0.06), (0.62, 0.14)], beak)
    pen.tube(Tube.through([(-0.5, 0.08), (0.0, 0.08), (0.55, 0.02)], [0.1, 0.23, 0.18]), body)
    near = [(0.2, 0.0), (0.0, -lift * 0.8), (-spread * 0.8, -lift), (-spread * 0.6, -lift * 0.5), (-0.3, 0.1)]
    pen.blob(near, wing)
    heads.eye(pen, 0.58, -0.04, 0.05)

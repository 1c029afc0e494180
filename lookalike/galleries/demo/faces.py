"""The faces of the animals from the front, filling about -1 to 1: the close-up among their views."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, wavy
from lookalike.galleries.demo.heads import eye
from lookalike.galleries.demo.palette import BLACK, CREAM, WHITE, darker, lighter, mix
from lookalike.galleries.demo.quadruped import Colours

SIDES = (-1.0, 1.0)


def cat(pen: Pen, rng: Random, colours: Colours) -> None:
    for side in SIDES:
        pen.polygon([(side * 0.7, -0.3), (side * 0.66, -1.05), (side * 0.15, -0.62)], colours.coat)
        pen.plain().polygon([(side * 0.58, -0.5), (side * 0.6, -0.88), (side * 0.3, -0.62)], colours.muzzle)
    pen.ellipse(0, 0, 0.82, 0.72, colours.coat)
    for x in (-0.16, 0.0, 0.16):
        pen.plain().polygon([(x - 0.05, -0.7), (x + 0.05, -0.7), (x * 0.9, -0.42)], colours.marking)
    iris = rng.choice(((120, 180, 70), (220, 180, 50), (90, 160, 200)))
    for side in SIDES:
        pen.ellipse(side * 0.33, -0.12, 0.18, 0.15, iris)
        pen.plain().ellipse(side * 0.33, -0.12, 0.06, 0.14, BLACK)
        pen.plain().ellipse(side * 0.16, 0.34, 0.22, 0.17, lighter(colours.coat, 0.5))
        for lean in (-0.08, 0.04, 0.16):
            pen.stroke([(side * 0.25, 0.3 + lean * 0.3), (side * 1.0, 0.24 + lean)], 0.02, WHITE)
    pen.plain().polygon([(-0.11, 0.14), (0.11, 0.14), (0.0, 0.26)], colours.muzzle)
    pen.stroke([(-0.2, 0.42), (-0.06, 0.46), (0.0, 0.28), (0.06, 0.46), (0.2, 0.42)], 0.03, BLACK)


def dog(pen: Pen, rng: Random, colours: Colours) -> None:
    pen.blob(
        [(-0.62, -0.5), (0, -0.78), (0.62, -0.5), (0.6, 0.2), (0.35, 0.75), (-0.35, 0.75), (-0.6, 0.2)], colours.coat
    )
    for side in SIDES:
        drop = rng.uniform(0.2, 0.45)
        ear = [(side * 0.45, -0.66), (side * 0.85, -0.35), (side * 0.88, drop)]
        pen.tube(Tube.through(ear, [0.14, 0.24, 0.14]), colours.marking)
        eye(pen, side * 0.27, -0.15, 0.1)
    if rng.random() < 0.6:
        pen.tube(Tube.through([(0, 0.5), (0, 0.88)], [0.14, 0.16]), (224, 96, 110))
    pen.ellipse(0, 0.35, 0.38, 0.32, lighter(colours.coat, 0.35))
    pen.plain().ellipse(0, 0.18, 0.17, 0.12, BLACK)
    pen.stroke([(-0.24, 0.42), (0, 0.52), (0.24, 0.42)], 0.04, BLACK)


def horse(pen: Pen, rng: Random, colours: Colours) -> None:
    for side in SIDES:
        pen.polygon([(side * 0.1, -0.6), (side * 0.34, -1.1), (side * 0.42, -0.5)], colours.coat)
    face = [
        (-0.42, -0.55),
        (0.42, -0.55),
        (0.4, 0.0),
        (0.26, 0.6),
        (0.3, 0.9),
        (0, 1.02),
        (-0.3, 0.9),
        (-0.26, 0.6),
        (-0.4, 0.0),
    ]
    pen.blob(face, colours.coat)
    if rng.random() < 0.6:
        pen.plain().blob([(0, -0.4), (0.1, 0.1), (0.08, 0.6), (-0.08, 0.6), (-0.1, 0.1)], WHITE)
    pen.ellipse(0, 0.84, 0.3, 0.22, colours.muzzle)
    for side in SIDES:
        eye(pen, side * 0.33, -0.2, 0.09)
        pen.plain().ellipse(side * 0.13, 0.82, 0.06, 0.08, BLACK)
    pen.blob([(-0.2, -0.85), (0.2, -0.85), (0.16, -0.3), (0.0, -0.1), (-0.15, -0.35)], colours.marking)


def zebra(pen: Pen, rng: Random, colours: Colours) -> None:
    horse(pen, rng, colours)
    half = Tube.through([(0, -0.5), (0, 0.1), (0, 0.68)], [0.42, 0.38, 0.26])
    for i in range(6):
        along = 0.16 + i * 0.13
        for low, high, lean in ((-0.97, -0.12, -0.1), (0.12, 0.97, 0.1)):
            pen.plain().polygon(half.band(along, along + 0.06, low=low, high=high, lean=lean), colours.marking)
    for side in SIDES:
        eye(pen, side * 0.33, -0.2, 0.1)


def sheep(pen: Pen, rng: Random, colours: Colours) -> None:
    pen.polygon(wavy(0, -0.1, 0.86, 0.8, bumps=12, depth=0.2, phase=rng.random()), colours.coat)
    for side in SIDES:
        pen.ellipse(side * 0.72, 0.0, 0.34, 0.14, colours.muzzle, tilt=side * rng.uniform(5, 35))
    pen.blob([(-0.4, -0.35), (0.4, -0.35), (0.36, 0.3), (0.18, 0.8), (-0.18, 0.8), (-0.36, 0.3)], colours.muzzle)
    pen.polygon(wavy(0, -0.5, 0.5, 0.28, bumps=8, depth=0.25), colours.coat)
    for side in SIDES:
        pen.plain().ellipse(side * 0.22, -0.04, 0.1, 0.1, CREAM)
        eye(pen, side * 0.22, -0.04, 0.07)
        pen.plain().ellipse(side * 0.08, 0.6, 0.04, 0.03, BLACK)


def cow(pen: Pen, rng: Random, colours: Colours) -> None:
    for side in SIDES:
        horn = [(side * 0.3, -0.62), (side * 0.65, -0.75), (side * 0.7, -1.05)]
        pen.tube(Tube.through(horn, [0.12, 0.1, 0.03]), CREAM)
        pen.ellipse(side * 0.72, -0.35, 0.32, 0.17, darker(colours.coat, 0.15), tilt=side * rng.uniform(-10, 25))
    pen.blob([(-0.5, -0.62), (0.5, -0.62), (0.48, 0.0), (0.38, 0.6), (-0.38, 0.6), (-0.48, 0.0)], colours.coat)
    side = rng.choice(SIDES)
    pen.plain().blob([(0, -0.6), (side * 0.44, -0.55), (side * 0.44, 0.1), (side * 0.1, 0.2)], colours.marking)
    pen.ellipse(0, 0.62, 0.48, 0.3, colours.muzzle)
    for side in SIDES:
        pen.plain().ellipse(side * 0.2, 0.58, 0.09, 0.07, darker(colours.muzzle, 0.6))
        pen.plain().ellipse(side * 0.28, -0.15, 0.12, 0.12, WHITE)
        eye(pen, side * 0.28, -0.15, 0.08)


def elephant(pen: Pen, rng: Random, colours: Colours) -> None:
    for side in SIDES:
        ear = [
            (side * 0.3, -0.6),
            (side * 0.8, -0.75),
            (side * 1.05, -0.3),
            (side * 0.9, 0.3),
            (side * 0.5, 0.45),
            (side * 0.3, 0.1),
        ]
        pen.blob(ear, darker(colours.coat, 0.15))
        pen.plain().blob([(x * 0.85 + side * 0.06, y * 0.8) for x, y in ear], mix(colours.coat, colours.muzzle, 0.3))
    pen.ellipse(0, -0.2, 0.5, 0.55, colours.coat)
    for side in SIDES:
        pen.tube(Tube.through([(side * 0.26, 0.2), (side * 0.36, 0.55), (side * 0.28, 0.8)], [0.08, 0.07, 0.02]), CREAM)
        eye(pen, side * 0.28, -0.2, 0.07)
    swing = rng.uniform(-0.5, 0.5)
    trunk = Tube.through([(0, 0.0), (0, 0.5), (swing * 0.6, 0.85), (swing, 1.0)], [0.26, 0.2, 0.15, 0.12])
    pen.tube(trunk, colours.coat)
    for along in (0.3, 0.42, 0.54, 0.66, 0.78):
        pen.plain().polygon(trunk.band(along, along + 0.03, low=-0.8, high=0.8), darker(colours.coat, 0.25))


def bear(pen: Pen, rng: Random, colours: Colours) -> None:
    for side in SIDES:
        pen.ellipse(side * 0.56, -0.58, 0.26, 0.26, colours.coat)
        pen.plain().ellipse(side * 0.56, -0.56, 0.14, 0.14, darker(colours.coat, 0.4))
    pen.ellipse(0, 0, 0.82, 0.76, colours.coat)
    pen.ellipse(0, 0.32, 0.38, 0.3, colours.muzzle)
    pen.plain().ellipse(0, 0.18, 0.16, 0.11, BLACK)
    pen.stroke([(-0.16, 0.38), (0, 0.47), (0.16, 0.38)], 0.04, BLACK)
    for side in SIDES:
        eye(pen, side * 0.3, -0.12, 0.08)


def giraffe(pen: Pen, rng: Random, colours: Colours) -> None:
    neck = Tube.through([(rng.uniform(-0.2, 0.2), 1.3), (0, 0.3)], [0.36, 0.3])
    pen.tube(neck, colours.coat)
    for along in (0.1, 0.32, 0.54):
        for across in (-0.55, 0.5):
            pen.plain().ellipse(*neck.at(along, across), 0.13, 0.1, colours.marking, tilt=rng.uniform(0, 90))
    for side in SIDES:
        pen.stroke([(side * 0.14, -0.55), (side * 0.2, -0.98)], 0.11, colours.coat)
        pen.plain().ellipse(side * 0.2, -1.0, 0.11, 0.09, colours.marking)
        pen.ellipse(side * 0.62, -0.45, 0.3, 0.12, colours.coat, tilt=side * rng.uniform(-35, 5))
    pen.blob([(-0.38, -0.55), (0.38, -0.55), (0.36, -0.1), (0.24, 0.5), (-0.24, 0.5), (-0.36, -0.1)], colours.coat)
    pen.plain().blob([(-0.15, -0.5), (0.12, -0.45), (0.1, -0.1), (-0.12, -0.15)], colours.marking)
    pen.ellipse(0, 0.5, 0.3, 0.2, colours.muzzle)
    for side in SIDES:
        eye(pen, side * 0.31, -0.2, 0.1)
        pen.plain().ellipse(side * 0.11, 0.44, 0.05, 0.04, BLACK)

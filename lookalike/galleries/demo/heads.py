"""The heads of the animals from the side, facing right, in units of the head; the neck ends at the origin."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube
from lookalike.galleries.demo.palette import BLACK, CREAM, WHITE, darker, lighter, mix
from lookalike.galleries.demo.quadruped import Colours


def eye(pen: Pen, x: float, y: float, size: float = 0.1) -> None:
    pen.plain().ellipse(x, y, size, size, BLACK)
    pen.plain().ellipse(x + size * 0.3, y - size * 0.3, size * 0.35, size * 0.35, WHITE)


def cat(pen: Pen, rng: Random, colours: Colours) -> None:
    for x, shade in ((0.05, 0.2), (-0.45, 0.0)):
        pen.polygon([(x - 0.25, -0.4), (x, -1.1), (x + 0.32, -0.5)], darker(colours.coat, shade))
        pen.plain().polygon([(x - 0.1, -0.5), (x + 0.02, -0.9), (x + 0.18, -0.55)], colours.muzzle)
    pen.ellipse(0.0, -0.1, 0.68, 0.6, colours.coat)
    pen.ellipse(0.48, 0.1, 0.3, 0.24, lighter(colours.coat, 0.4))
    pen.plain().polygon([(0.68, -0.06), (0.82, 0.0), (0.7, 0.1)], colours.muzzle)
    eye(pen, 0.28, -0.2, 0.12)
    for lean in (-0.12, 0.02, 0.16):
        pen.stroke([(0.5, 0.12), (1.05, 0.1 + lean * 1.4)], 0.025, WHITE)


def dog(pen: Pen, rng: Random, colours: Colours) -> None:
    pen.ellipse(0.0, -0.15, 0.58, 0.52, colours.coat)
    pen.tube(Tube.through([(0.2, 0.0), (0.95, 0.08)], [0.38, 0.22]), lighter(colours.coat, 0.12))
    pen.plain().ellipse(1.12, -0.04, 0.13, 0.11, BLACK)
    pen.stroke([(0.5, 0.24), (0.8, 0.24), (1.05, 0.16)], 0.05, darker(colours.coat, 0.6))
    if rng.random() < 0.5:
        pen.tube(Tube.through([(0.8, 0.24), (0.84, 0.6)], [0.1, 0.13]), (224, 96, 110))
    eye(pen, 0.32, -0.25, 0.09)
    swing = rng.uniform(-0.25, 0.1)
    pen.tube(Tube.through([(-0.15, -0.5), (-0.4, -0.1), (-0.35 + swing, 0.4)], [0.16, 0.26, 0.14]), colours.marking)


def horse(pen: Pen, rng: Random, colours: Colours) -> None:
    for x in (0.0, -0.22):
        pen.polygon([(x - 0.12, -0.3), (x + 0.02, -0.85), (x + 0.16, -0.32)], colours.coat)
    pen.tube(Tube.through([(-0.05, -0.05), (0.5, 0.2), (1.15, 0.55)], [0.42, 0.32, 0.24]), colours.coat)
    pen.tube(Tube.through([(1.0, 0.47), (1.2, 0.58)], [0.24, 0.22]), colours.muzzle)
    pen.plain().ellipse(1.28, 0.52, 0.06, 0.05, BLACK)
    pen.stroke([(1.02, 0.7), (1.24, 0.72)], 0.04, BLACK)
    eye(pen, 0.28, -0.06, 0.09)
    pen.plain().blob([(-0.15, -0.5), (0.2, -0.35), (0.34, -0.08), (0.05, -0.2)], colours.marking)


def zebra(pen: Pen, rng: Random, colours: Colours) -> None:
    horse(pen, rng, colours)
    skull = Tube.through([(0.0, -0.02), (0.5, 0.2), (1.0, 0.46)], [0.38, 0.3, 0.24])
    for start in (0.34, 0.52, 0.7):
        pen.plain().polygon(skull.band(start, start + 0.08, lean=0.05), colours.marking)
    pen.plain().polygon(skull.band(0.06, 0.14, low=0.1), colours.marking)


def sheep(pen: Pen, rng: Random, colours: Colours) -> None:
    pen.tube(Tube.through([(0.0, -0.1), (0.85, 0.3)], [0.42, 0.28]), colours.muzzle)
    pen.ellipse(-0.35, 0.0, 0.36, 0.15, colours.muzzle, tilt=rng.uniform(-10, 40))
    eye(pen, 0.3, -0.12, 0.08)
    for x, y in ((-0.3, -0.45), (0.0, -0.55), (0.25, -0.42)):
        pen.ellipse(x, y, 0.26, 0.22, colours.coat)
    pen.plain().ellipse(1.02, 0.36, 0.05, 0.04, BLACK)


def cow(pen: Pen, rng: Random, colours: Colours) -> None:
    length = rng.uniform(0.3, 0.6)
    for x in (0.12, -0.15):
        pen.tube(
            Tube.through([(x, -0.4), (x + 0.25, -0.5 - length * 0.4), (x + 0.2, -0.5 - length)], [0.1, 0.08, 0.02]),
            CREAM,
        )
    pen.ellipse(-0.35, -0.2, 0.36, 0.16, darker(colours.coat, 0.15), tilt=25)
    pen.tube(Tube.through([(0.0, -0.05), (0.5, 0.2), (0.9, 0.42)], [0.46, 0.4, 0.32]), colours.coat)
    pen.plain().blob([(0.1, -0.3), (0.4, -0.15), (0.35, 0.3), (0.05, 0.2)], colours.marking)
    pen.ellipse(0.98, 0.46, 0.32, 0.32, colours.muzzle)
    pen.plain().ellipse(1.12, 0.38, 0.07, 0.06, darker(colours.muzzle, 0.6))
    eye(pen, 0.3, -0.08, 0.1)


def elephant(pen: Pen, rng: Random, colours: Colours) -> None:
    curl = rng.uniform(-0.9, 1.0)
    rise = max(curl, 0.0)
    trunk = [(0.4, 0.0), (0.85, 0.45), (0.95 + 0.3 * rise, 1.0 - 0.5 * rise), (1.05 + 0.55 * curl, 1.45 - 1.3 * rise)]
    pen.tube(Tube.through(trunk, [0.4, 0.27, 0.18, 0.12]), colours.coat)
    pen.ellipse(0.15, -0.15, 0.68, 0.66, colours.coat)
    if rng.random() < 0.75:
        pen.tube(Tube.through([(0.55, 0.4), (0.85, 0.75), (1.25, 0.78)], [0.1, 0.09, 0.03]), CREAM)
    eye(pen, 0.45, -0.2, 0.08)
    flap = rng.uniform(0.8, 1.15)
    ear = [(0.1, -0.55), (-0.35 * flap, -0.75), (-0.85 * flap, -0.4), (-0.75 * flap, 0.35), (-0.3, 0.7), (0.05, 0.25)]
    pen.blob(ear, darker(colours.coat, 0.18))
    pen.plain().blob([(x * 0.75 - 0.06, y * 0.75) for x, y in ear], mix(colours.coat, colours.muzzle, 0.25))


def bear(pen: Pen, rng: Random, colours: Colours) -> None:
    for x, shade in ((0.2, 0.2), (-0.35, 0.0)):
        pen.ellipse(x, -0.52, 0.22, 0.22, darker(colours.coat, shade))
        pen.plain().ellipse(x, -0.5, 0.11, 0.11, darker(colours.coat, 0.4))
    pen.ellipse(0.0, -0.05, 0.7, 0.58, colours.coat)
    pen.tube(Tube.through([(0.45, 0.1), (0.85, 0.16)], [0.32, 0.22]), colours.muzzle)
    pen.plain().ellipse(1.02, 0.06, 0.13, 0.1, BLACK)
    eye(pen, 0.36, -0.18, 0.07)


def giraffe(pen: Pen, rng: Random, colours: Colours) -> None:
    for x in (0.02, 0.22):
        pen.stroke([(x - 0.05, -0.3), (x, -0.75)], 0.1, colours.coat)
        pen.plain().ellipse(x, -0.8, 0.12, 0.1, colours.marking)
    pen.ellipse(-0.32, -0.35, 0.34, 0.13, colours.coat, tilt=rng.uniform(10, 40))
    pen.tube(Tube.through([(0.0, -0.08), (0.5, 0.08), (1.05, 0.3)], [0.36, 0.28, 0.2]), colours.coat)
    pen.tube(Tube.through([(0.95, 0.26), (1.15, 0.34)], [0.22, 0.18]), colours.muzzle)
    eye(pen, 0.3, -0.12, 0.1)
    pen.plain().ellipse(1.22, 0.28, 0.05, 0.04, BLACK)

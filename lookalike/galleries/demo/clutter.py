"""Things of no category: small ones beside or behind the objects, and large ones in front that hide a part."""

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, polar, wavy
from lookalike.galleries.demo.palette import (
    BRIGHT,
    BROWN,
    CREAM,
    GREEN,
    GREY,
    LIME,
    ORANGE,
    RED,
    SKIN,
    STEEL,
    WHITE,
    darker,
    lighter,
    pick,
    vary,
)

DrawThing: TypeAlias = Callable[[Pen, Random], None]


def cloud(pen: Pen, rng: Random) -> None:
    pen.polygon(wavy(0, 0, 1.0, 0.45, bumps=rng.randint(6, 9), depth=0.35, phase=rng.random()), vary(rng, WHITE, 10))


def leaf(pen: Pen, rng: Random) -> None:
    colour = pick(rng, (GREEN, LIME, ORANGE, BROWN))
    pen.blob([(-1, 0), (-0.2, -0.45), (0.9, 0), (-0.2, 0.45)], colour)
    pen.stroke([(-1.2, 0), (0.8, 0)], 0.06, darker(colour))


def stone(pen: Pen, rng: Random) -> None:
    colour = pick(rng, (GREY, (170, 160, 146), (100, 100, 108)))
    pen.blob([polar(0, 0, 60 * i, rng.uniform(0.6, 1.0)) for i in range(6)], colour)
    pen.plain().ellipse(-0.2, -0.25, 0.3, 0.18, lighter(colour, 0.25))


def cup(pen: Pen, rng: Random) -> None:
    colour = pick(rng, BRIGHT)
    pen.ring(0.65, 0, 0.38, 0.42, 0.6, colour)
    pen.polygon([(-0.7, -0.75), (0.7, -0.75), (0.5, 0.8), (-0.5, 0.8)], colour)
    pen.ellipse(0, -0.75, 0.7, 0.18, darker(colour))


def tree(pen: Pen, rng: Random) -> None:
    pen.tube(Tube.through([(0, 1.0), (0, 0.0)], [0.16, 0.1]), vary(rng, BROWN))
    pen.polygon(
        wavy(0, -0.4, 0.75, 0.62, bumps=9, depth=0.25, phase=rng.random()), pick(rng, (GREEN, (40, 90, 50), LIME))
    )


def flower(pen: Pen, rng: Random) -> None:
    petals = pick(rng, BRIGHT)
    pen.stroke([(0, 0), (rng.uniform(-0.3, 0.3), 1.0)], 0.1, GREEN)
    for i in range(6):
        pen.ellipse(*polar(0, 0, 60 * i, 0.45), 0.28, 0.28, petals)
    pen.plain().ellipse(0, 0, 0.25, 0.25, pick(rng, (ORANGE, CREAM, BROWN)))


def box(pen: Pen, rng: Random) -> None:
    colour = pick(rng, (*BRIGHT, (200, 160, 110)))
    pen.polygon([(-0.8, -0.4), (0.4, -0.4), (0.4, 0.8), (-0.8, 0.8)], colour)
    pen.polygon([(-0.8, -0.4), (-0.4, -0.8), (0.8, -0.8), (0.4, -0.4)], lighter(colour))
    pen.polygon([(0.4, -0.4), (0.8, -0.8), (0.8, 0.4), (0.4, 0.8)], darker(colour))


def cone(pen: Pen, rng: Random) -> None:
    colour = pick(rng, (ORANGE, RED, LIME))
    pen.polygon([(-0.8, 0.8), (0.8, 0.8), (0.7, 0.95), (-0.7, 0.95)], darker(colour))
    pen.polygon([(-0.15, -0.9), (0.15, -0.9), (0.6, 0.8), (-0.6, 0.8)], colour)
    pen.plain().polygon([(-0.31, -0.2), (0.31, -0.2), (0.42, 0.2), (-0.42, 0.2)], WHITE)


def fork(pen: Pen, rng: Random) -> None:
    metal = vary(rng, STEEL)
    pen.stroke([(0, 1.2), (0, -0.3)], 0.14, metal)
    pen.stroke([(-0.24, -0.9), (-0.2, -0.4), (0.2, -0.4), (0.24, -0.9)], 0.1, metal)
    pen.stroke([(0, -0.9), (0, -0.4)], 0.1, metal)


def junk(pen: Pen, rng: Random) -> None:
    """Any polygon, disc or bar."""
    colour, kind = pick(rng, (*BRIGHT, GREY), 25), rng.randrange(3)
    if kind == 0:
        num = rng.randint(3, 6)
        pen.polygon([polar(0, 0, 360 / num * i, rng.uniform(0.5, 1)) for i in range(num)], colour)
    elif kind == 1:
        pen.ellipse(0, 0, rng.uniform(0.3, 1), rng.uniform(0.3, 1), colour)
    else:
        pen.stroke([(-1, rng.uniform(-0.4, 0.4)), (0, rng.uniform(-0.4, 0.4)), (1, 0)], rng.uniform(0.1, 0.35), colour)


def plate(pen: Pen, rng: Random) -> None:
    """A plate that an object of the same size can lie on."""
    colour, flat = pick(rng, (WHITE, WHITE, CREAM, (176, 196, 214)), 8), rng.uniform(0.75, 1.0)
    pen.ellipse(0, 0.1, 1.3, 1.3 * flat, darker(colour, 0.15))
    pen.ellipse(0, 0.08, 1.27, 1.27 * flat, colour)
    pen.plain().ellipse(0, 0.08, 0.95, 0.95 * flat, darker(colour, 0.06))


def blades(pen: Pen, rng: Random) -> None:
    """Tall grass from below."""
    colour = pick(rng, (GREEN, LIME, (180, 160, 80)))
    for _ in range(rng.randint(9, 20)):
        x, lean = rng.uniform(-1.2, 1.2), rng.uniform(-0.3, 0.3)
        top = rng.uniform(-0.1, 0.6)
        pen.tube(
            Tube.through([(x, 1.6), (x + lean * 0.4, 0.9), (x + lean, top)], [0.06, 0.045, 0.01]), vary(rng, colour)
        )


def bars(pen: Pen, rng: Random) -> None:
    """A fence: posts, or rails."""
    colour = pick(rng, (STEEL, BROWN, WHITE, (90, 90, 96)))
    fence, width = pen.at(0, 0, rng.choice((0, 90)) + rng.uniform(-8, 8)), rng.uniform(0.06, 0.13)
    for i in range(rng.randint(2, 4)):
        x = -0.9 + 0.6 * i + rng.uniform(-0.1, 0.1)
        fence.polygon([(x - width, -4), (x + width, -4), (x + width, 4), (x - width, 4)], colour)


def branch(pen: Pen, rng: Random) -> None:
    """A twig with leaves across one side."""
    twig, green = pen.at(0, rng.choice((-0.6, 0.6)), rng.uniform(-30, 30)), pick(rng, (GREEN, LIME, (60, 110, 60)))
    twig.tube(Tube.through([(-3, 0.1), (0, 0), (2, -0.2)], [0.08, 0.06, 0.03]), BROWN)
    for i in range(9):
        twig.at(-1.6 + 0.4 * i, rng.uniform(-0.15, 0.15), rng.uniform(-100, 100), 0.24).blob(
            [(-0.2, 0), (0.5, -0.45), (1.3, 0), (0.5, 0.45)], vary(rng, green)
        )


def hand(pen: Pen, rng: Random) -> None:
    """An arm from outside with a hand on the object."""
    skin, sleeve = pick(rng, SKIN, 8), pick(rng, BRIGHT)
    arm = pen.at(0.35, 0.35, rng.uniform(0, 360))
    arm.tube(Tube.through([(0.35, 0), (3.5, 0.3)], [0.17, 0.28]), skin)
    arm.tube(Tube.through([(1.2, 0.08), (3.6, 0.3)], [0.26, 0.36]), sleeve)
    for i in range(4):
        y = -0.24 + 0.14 * i
        arm.tube(Tube.through([(0.2, y), (-0.05, y), (-0.32, y * 0.9)], [0.08, 0.075, 0.06]), skin)
    arm.ellipse(0.28, -0.03, 0.28, 0.27, skin)


def panel(pen: Pen, rng: Random) -> None:
    """A piece of something large at one side: a wall, a sign, a shoulder."""
    side = pen.at(0, 0, rng.uniform(0, 360))
    x = rng.uniform(0.35, 0.7)
    side.polygon([(x, -3), (3, -3), (3, 3), (x + rng.uniform(-0.15, 0.15), 3)], pick(rng, (*BRIGHT, GREY, BROWN), 20))


THINGS: dict[str, DrawThing] = {
    "cloud": cloud, "leaf": leaf, "stone": stone, "cup": cup, "tree": tree, "flower": flower, "box": box,
    "cone": cone, "fork": fork, "junk": junk,
}  # fmt: skip
OCCLUDERS: dict[str, DrawThing] = {"blades": blades, "bars": bars, "branch": branch, "hand": hand, "panel": panel}

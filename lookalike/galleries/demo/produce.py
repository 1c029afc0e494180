"""Fruit and vegetables, drawn at the origin from about -1 to 1; the scene turns them."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, polar, wavy
from lookalike.galleries.demo.palette import (
    BROWN,
    CHOCOLATE,
    GREEN,
    LIME,
    ORANGE,
    RED,
    YELLOW,
    darker,
    lighter,
    mix,
    pick,
    vary,
)


def banana(pen: Pen, rng: Random) -> None:
    skin = pick(rng, (YELLOW, YELLOW, (250, 216, 40), (222, 214, 70)))
    num = rng.choice((1, 1, 2, 3, 4))
    bend = rng.uniform(0.3, 0.55)
    for i in range(num):
        fruit = pen.at(0, 0, (i - (num - 1) / 2) * rng.uniform(14, 20))
        shade = vary(rng, skin, 8)
        curve = Tube.through(
            [(-0.8, -0.45), (-0.45, 0.2), (0.1, bend), (0.7, 0.15), (0.9, -0.1)], [0.09, 0.2, 0.23, 0.17, 0.06]
        )
        fruit.tube(curve, shade)
        fruit.plain().polygon(curve.strip(0.35, 0.92, start=0.04, end=0.97), darker(shade, 0.15))
        fruit.plain().polygon(curve.strip(-0.7, -0.45, start=0.15, end=0.85), lighter(shade, 0.4))
        fruit.plain().ellipse(0.92, -0.12, 0.07, 0.07, CHOCOLATE)
        for _ in range(rng.choice((0, 2, 6))):
            fruit.plain().ellipse(*curve.at(rng.uniform(0.15, 0.85), rng.uniform(-0.6, 0.8)), 0.04, 0.025, BROWN)
    stem = pen.at(-0.8, -0.45)
    stem.tube(Tube.through([(0.03, 0.03), (-0.08, -0.25)], [0.1, 0.06]), mix(skin, GREEN, 0.4))


def apple(pen: Pen, rng: Random) -> None:
    skin = pick(rng, (RED, (180, 30, 40), (190, 40, 50), (150, 190, 60)))
    shape = [
        (0, -0.55),
        (0.4, -0.72),
        (0.8, -0.4),
        (0.76, 0.25),
        (0.42, 0.78),
        (0, 0.7),
        (-0.42, 0.78),
        (-0.76, 0.25),
        (-0.8, -0.4),
        (-0.4, -0.72),
    ]
    pen.blob(shape, skin)
    if rng.random() < 0.25:
        pen.plain().blob([(x * 0.88, y * 0.88) for x, y in shape], (248, 238, 200))
        pen.plain().ellipse(0, 0.05, 0.26, 0.36, (236, 220, 164))
        for x in (-0.09, 0.09):
            pen.plain().ellipse(x, 0.05, 0.05, 0.11, CHOCOLATE)
    else:
        pen.plain().blob(
            [(x * 0.5 + 0.24, y * 0.75) for x, y in shape], mix(skin, pick(rng, (YELLOW, RED, darker(skin))), 0.3)
        )
        pen.plain().ellipse(-0.42, -0.25, 0.13, 0.24, lighter(skin, 0.55), tilt=20)
    pen.stroke([(0, -0.5), (0.04, -0.75), (rng.uniform(-0.1, 0.2), -0.98)], 0.08, CHOCOLATE)
    if rng.random() < 0.65:
        pen.blob([(0.06, -0.72), (0.3, -1.0), (0.62, -0.96), (0.36, -0.72)], vary(rng, GREEN))


def orange(pen: Pen, rng: Random) -> None:
    skin = vary(rng, ORANGE, 12)
    kind = rng.random()
    pen.ellipse(0, 0, 0.85, 0.83, skin)
    if kind < 0.4:
        flesh = lighter(skin, 0.15)
        pen.plain().ellipse(0, 0, 0.76, 0.74, (252, 234, 196))
        for i in range(9):
            wedge = [
                polar(0, 0, 40 * i + turn, length)
                for turn, length in ((20, 0.09), (3, 0.62), (10, 0.69), (30, 0.69), (37, 0.62))
            ]
            pen.plain().polygon(wedge, vary(rng, flesh, 6))
    else:
        pen.plain().ellipse(0.12, 0.14, 0.68, 0.64, darker(skin, 0.06))
        for _ in range(34):
            pen.plain().ellipse(
                *polar(0, 0, rng.uniform(0, 360), 0.75 * rng.random() ** 0.5), 0.025, 0.025, darker(skin, 0.2)
            )
        pen.plain().ellipse(-0.36, -0.38, 0.17, 0.12, lighter(skin, 0.5), tilt=-40)
        x, y = polar(0, 0, rng.uniform(0, 360), rng.uniform(0.1, 0.5))
        pen.plain().polygon([polar(x, y, 36 * i, 0.11 if i % 2 else 0.05) for i in range(10)], GREEN)
        if kind > 0.75:
            pen.blob([(0, -0.78), (0.3, -1.08), (0.7, -1.02), (0.35, -0.76)], vary(rng, GREEN))


def broccoli(pen: Pen, rng: Random) -> None:
    green = pick(rng, ((50, 112, 44), (64, 130, 60), (40, 96, 52), (86, 140, 60)), 10)
    stalk = mix(LIME, green, rng.uniform(0.1, 0.4))
    lean = rng.uniform(-0.15, 0.15)
    pen.tube(Tube.through([(lean, 0.95), (0, 0.1)], [0.22, 0.26]), stalk)
    for x in (-0.45, 0.45):
        pen.tube(Tube.through([(0, 0.55), (x * 0.7, 0.1), (x, -0.1)], [0.16, 0.13, 0.14]), stalk)
    clusters = [
        (-0.55, -0.1),
        (0.55, -0.1),
        (-0.3, -0.45),
        (0.32, -0.45),
        (0, -0.15),
        (0, -0.65),
        (-0.72, 0.15),
        (0.72, 0.15),
    ]
    for x, y in clusters:
        size = rng.uniform(0.28, 0.38)
        colour = vary(rng, green, 10)
        pen.polygon(wavy(x, y, size, size * 0.9, bumps=8, depth=0.3, phase=rng.random() * 3), colour)
        for _ in range(9):
            bud = polar(x, y, rng.uniform(0, 360), size * 0.75 * rng.random() ** 0.5)
            pen.plain().ellipse(*bud, 0.045, 0.045, rng.choice((darker(colour, 0.2), lighter(colour, 0.2))))


def carrot(pen: Pen, rng: Random) -> None:
    skin = pick(rng, ((240, 124, 30), (230, 104, 36), (246, 150, 60), (250, 140, 20)), 8)
    num = rng.choice((1, 1, 1, 2, 3))
    for i in range(num):
        root = pen.at((i - (num - 1) / 2) * 0.3, 0, (i - (num - 1) / 2) * -rng.uniform(4, 16))
        bend, leaf = rng.uniform(-0.15, 0.15), vary(rng, GREEN)
        for turn in (-28, -12, 4, 22):
            tip = polar(0, -0.45, -90 + turn + rng.uniform(-6, 6), rng.uniform(0.45, 0.65))
            root.tube(Tube.through([(0, -0.4), tip], [0.04, 0.06]), leaf)
            root.polygon(wavy(*tip, 0.13, 0.17, bumps=5, depth=0.5), leaf)
        body = Tube.through([(0, -0.38), (bend * 0.3, 0.0), (bend, 1.0)], [0.22, 0.2, 0.02])
        root.tube(body, vary(rng, skin, 6))
        for along in (0.12, 0.28, 0.42, 0.58, 0.72):
            low = rng.choice((-0.9, 0.1))
            root.plain().polygon(body.band(along, along + 0.025, low=low, high=low + 0.8), darker(skin, 0.22))

"""Prepared food, drawn at the origin from about -1 to 1; the scene turns it."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, arc, polar, wavy
from lookalike.galleries.demo.palette import (
    BLACK,
    BRIGHT,
    CHOCOLATE,
    CREAM,
    GREEN,
    LIME,
    PINK,
    RED,
    WHITE,
    YELLOW,
    Colour,
    darker,
    lighter,
    pick,
    vary,
)

BREAD: tuple[Colour, ...] = ((214, 160, 92), (196, 132, 66), (228, 190, 130), (150, 100, 58))


def sandwich(pen: Pen, rng: Random) -> None:
    crust = pick(rng, BREAD)
    crumb = lighter(crust, 0.55)
    fillings = [pick(rng, (GREEN, LIME, RED, YELLOW, PINK, (220, 130, 120), WHITE)) for _ in range(rng.randint(3, 4))]
    if rng.random() < 0.5:
        _halves(pen, rng, crust, crumb, fillings)
        return
    top = -0.5
    pen.polygon([(-0.85, 0.35), (0.85, 0.35), (0.82, 0.68), (-0.82, 0.68)], crust)
    pen.plain().polygon([(-0.8, 0.38), (0.8, 0.38), (0.77, 0.58), (-0.77, 0.58)], crumb)
    height = 0.85 / len(fillings)
    for i, filling in enumerate(fillings):
        y = 0.36 - i * height
        edge = [(-0.92 + 0.23 * j, y + (0.09 if j % 2 else -0.04)) for j in range(9)]
        pen.blob([*edge, (0.9, y - height), (-0.9, y - height)], filling)
    pen.blob(
        [
            (-0.88, top + 0.1),
            (-0.8, top - 0.25),
            (0, top - 0.42),
            (0.8, top - 0.25),
            (0.88, top + 0.1),
            (0, top + 0.16),
        ],
        crust,
    )
    for _ in range(rng.choice((0, 9))):
        pen.plain().ellipse(rng.uniform(-0.6, 0.6), top - rng.uniform(0.05, 0.25), 0.04, 0.025, CREAM)


def _halves(pen: Pen, rng: Random, crust: Colour, crumb: Colour, fillings: list[Colour]) -> None:
    for shift, turn in ((-0.28, -6), (0.28, 8)):
        half = pen.at(shift, shift * 0.5, turn, 0.85)
        thick = 0.1
        lower = [(-0.9, 0.55), (0.9, 0.55), (0.9, 0.72), (-0.9, 0.72)]
        half.polygon(lower, crust)
        y = 0.55
        for filling in fillings:
            half.blob(
                [
                    (-0.92, y),
                    (-0.4, y + 0.05),
                    (0.1, y - 0.02),
                    (0.6, y + 0.05),
                    (0.92, y),
                    (0.9, y - thick),
                    (-0.9, y - thick),
                ],
                filling,
            )
            y -= thick
        half.polygon([(-0.9, y), (0.9, y), (0.9, y - 0.16), (-0.9, y - 0.16)], crust)
        half.polygon([(-0.9, y - 0.16), (0.9, y - 0.16), (0.05, y - 0.85)], crust)
        half.plain().polygon([(-0.72, y - 0.21), (0.72, y - 0.21), (0.04, y - 0.76)], crumb)


def hot_dog(pen: Pen, rng: Random) -> None:
    bun, sausage = pick(rng, BREAD), pick(rng, ((168, 70, 44), (190, 84, 56), (140, 54, 36)), 8)
    bend = rng.uniform(-0.12, 0.12)
    pen.tube(Tube.through([(-0.7, -0.15), (0, -0.18 + bend), (0.7, -0.15)], [0.26, 0.3, 0.26]), darker(bun, 0.12))
    meat = Tube.through([(-0.88, 0.0), (0, bend), (0.88, 0.0)], [0.15, 0.17, 0.15])
    pen.tube(meat, sausage)
    pen.tube(Tube.through([(-0.7, 0.24), (0, 0.26 + bend), (0.7, 0.24)], [0.24, 0.25, 0.24]), bun)
    pen.plain().tube(
        Tube.through([(-0.55, 0.26), (0, 0.28 + bend), (0.55, 0.26)], [0.05, 0.07, 0.05]), lighter(bun, 0.3)
    )
    for sauce in rng.sample((YELLOW, (190, 26, 24), LIME), rng.choice((1, 1, 2))):
        waves = rng.randint(7, 11)
        line = [meat.at(0.06 + 0.88 * i / waves, -0.7 if i % 2 else 0.5) for i in range(waves + 1)]
        pen.stroke(line, 0.07, sauce)


def pizza(pen: Pen, rng: Random) -> None:
    crust, cheese = pick(rng, BREAD, 8), pick(rng, ((246, 206, 96), (250, 222, 140), (232, 170, 80)), 8)
    topping = pick(rng, ((180, 44, 36), (200, 60, 44)), 8)
    extra = pick(rng, (GREEN, BLACK, (150, 170, 70), (230, 220, 200)))
    if rng.random() < 0.6:
        flat = rng.uniform(0.6, 1.0)
        pen = pen.at(0, 0, 0, 1.0, flat)
        missing = rng.choice((0.0, 0.0, 45.0, 90.0))
        for size, colour in ((0.95, crust), (0.83, topping), (0.8, cheese)):
            centre = [(0.0, 0.0)] if missing else []
            pen.polygon(centre + arc(0, 0, size, size, missing, 360, num=32), colour)
        pen = pen.plain()
        for i in range(rng.randint(7, 11)):
            x, y = polar(0, 0, missing + 14 + (360 - missing - 28) * rng.random(), 0.62 * rng.random() ** 0.5 + 0.05)
            pen.ellipse(x, y, 0.14, 0.14, topping)
            pen.ellipse(x - 0.03, y - 0.03, 0.07, 0.07, lighter(topping, 0.2))
            x, y = polar(0, 0, missing + 10 + (360 - missing - 20) * (i + rng.random()) / 11, rng.uniform(0.2, 0.7))
            pen.ellipse(x, y, 0.08, 0.04, extra, tilt=rng.uniform(0, 180))
        for cut in range(0, 180, 45):
            if not missing:
                pen.stroke([polar(0, 0, cut, 0.93), polar(0, 0, cut + 180, 0.93)], 0.022, darker(cheese, 0.35))
        return
    pen.polygon([(-0.7, -0.6), (0.7, -0.6), (0, 1.0)], cheese)
    for x in (-0.25, 0.2):
        pen.plain().tube(Tube.through([(x, 0.2 - abs(x)), (x, 0.5 - abs(x))], [0.06, 0.04]), cheese)
    for x, y in ((-0.3, -0.3), (0.28, -0.25), (0.0, 0.1), (rng.uniform(-0.1, 0.1), 0.5)):
        pen.plain().ellipse(x, y, 0.15, 0.15, topping)
        pen.plain().ellipse(x + rng.uniform(-0.2, 0.2) * 0.5, y + 0.16, 0.07, 0.035, extra, tilt=rng.uniform(0, 180))
    pen.tube(Tube.through([(-0.72, -0.62), (0, -0.75), (0.72, -0.62)], [0.13, 0.15, 0.13]), crust)


def donut(pen: Pen, rng: Random) -> None:
    dough = pick(rng, ((206, 150, 84), (190, 126, 66), (120, 76, 46)), 8)
    icing = pick(rng, (PINK, CHOCOLATE, WHITE, (236, 120, 170), (150, 200, 230), (210, 160, 90), (120, 70, 40)))
    flat = rng.uniform(0.6, 1.0)
    pen = pen.at(0, 0, 0, 1.0, flat)
    pen.ring(0, 0.04, 0.92, 0.92, 0.32, dough)
    edge = wavy(0, 0, 0.82, 0.82, bumps=rng.randint(7, 11), depth=0.12, phase=rng.random())
    pen.plain().polygon([*edge, edge[0], *arc(0, 0, 0.36, 0.36, 360, 0)], icing)
    if rng.random() < 0.7:
        for _ in range(42):
            x, y = polar(0, 0, rng.uniform(0, 360), rng.uniform(0.42, 0.72))
            pen.stroke([(x, y), polar(x, y, rng.uniform(0, 360), 0.09)], 0.035, rng.choice(BRIGHT))
    else:
        for i in range(9):
            pen.stroke([polar(0, 0, 40 * i, 0.4), polar(0, 0, 40 * i + 26, 0.74)], 0.05, lighter(icing, 0.45))
    pen.stroke(arc(0, 0, 0.6, 0.6, 200, 250, num=6), 0.06, lighter(icing, 0.6))


def cake(pen: Pen, rng: Random) -> None:
    sponge = pick(rng, ((236, 200, 130), CHOCOLATE, (150, 90, 50), (220, 120, 110)))
    icing = pick(rng, (WHITE, PINK, CHOCOLATE, CREAM, (170, 210, 230), (200, 230, 180)))
    if rng.random() < 0.5:
        _slice(pen, rng, sponge, icing)
    else:
        _whole(pen, rng, icing)


def _slice(pen: Pen, rng: Random, sponge: Colour, icing: Colour) -> None:
    pen.polygon([(-0.85, -0.15), (0.85, -0.15), (0.85, 0.75), (-0.85, 0.75)], sponge)
    for y in (0.1, 0.4):
        pen.plain().polygon([(-0.85, y), (0.85, y), (0.85, y + 0.1), (-0.85, y + 0.1)], icing)
    pen.polygon([(-0.85, -0.15), (0.85, -0.15), (0.45, -0.62), (0.2, -0.62)], icing)
    drips = [(0.85 - 0.17 * i, -0.12 + (0.16 if i % 2 else 0.02)) for i in range(11)]
    pen.plain().blob([(-0.85, -0.18), (0.85, -0.18), *drips], icing)
    pen.ellipse(0.25, -0.66, 0.15, 0.15, vary(rng, RED))
    pen.stroke([(0.25, -0.78), (0.36, -1.0)], 0.03, GREEN)


def _whole(pen: Pen, rng: Random, icing: Colour) -> None:
    trim = pick(rng, BRIGHT)
    tiers = ((0.85, 0.75, 0.35), (0.58, 0.2, 0.3)) if rng.random() < 0.5 else ((0.85, 0.75, 0.65),)
    for half, bottom, height in tiers:
        top = bottom - height
        pen.polygon([(-half, top), (half, top), *arc(0, bottom, half, 0.16, 0, 180, num=14)], icing)
        for i in range(7):
            x = half * (-0.86 + 0.287 * i)
            pen.plain().ellipse(x, bottom + 0.15 * (1 - (x / half) ** 2) ** 0.5 - 0.03, 0.09, 0.08, trim)
        pen.ellipse(0, top, half, 0.16, lighter(icing, 0.3))
        pen.stroke(arc(0, top + 0.08, half, 0.2, 5, 175, num=10), 0.06, trim)
    half, bottom, height = tiers[-1]
    top = bottom - height
    for i in range(rng.randint(2, 5)):
        x = half * (-0.6 + 0.3 * i)
        pen.stroke([(x, top), (x, top - 0.36)], 0.07, rng.choice(BRIGHT))
        pen.plain().ellipse(x, top - 0.45, 0.05, 0.09, YELLOW)

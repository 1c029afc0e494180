"""The ten kinds of food, drawn at the origin from about -1 to 1; the scene turns them."""

from random import Random

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, arc, polar, wavy
from lookalike.galleries.demo.palette import (
    BLACK,
    BRIGHT,
    BROWN,
    CHOCOLATE,
    CREAM,
    GREEN,
    LIME,
    ORANGE,
    PINK,
    RED,
    WHITE,
    YELLOW,
    Colour,
    darker,
    lighter,
    mix,
    pick,
    vary,
)

BREAD: tuple[Colour, ...] = ((214, 160, 92), (196, 132, 66), (228, 190, 130), (150, 100, 58))


def banana(pen: Pen, rng: Random) -> None:
    skin = pick(rng, (YELLOW, (240, 200, 40), (226, 214, 80), (200, 200, 70)))
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
    skin = pick(rng, (RED, (180, 30, 40), (150, 190, 60), (226, 190, 70)))
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

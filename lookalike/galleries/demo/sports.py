"""Sports equipment, drawn at the origin from about -1 to 1, upright; the scene turns it."""

from random import Random

from lookalike.galleries.demo import balls
from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Tube, arc
from lookalike.galleries.demo.palette import (
    BLACK,
    BLUE,
    BRIGHT,
    BROWN,
    CHOCOLATE,
    CREAM,
    GREEN,
    GREY,
    LIME,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    STEEL,
    TAN,
    WHITE,
    YELLOW,
    darker,
    lighter,
    mix,
    pick,
)


def frisbee(pen: Pen, rng: Random) -> None:
    colour = pick(rng, (RED, WHITE, SKY, (40, 180, 180)))
    flat = rng.uniform(0.3, 1.0)
    rim = 0.16 * (1 - flat)
    pen.ellipse(0, rim, 0.9, 0.9 * flat, darker(colour, 0.35))
    pen.ellipse(0, 0, 0.9, 0.9 * flat, colour)
    for size, shade in ((0.72, 0.18), (0.68, 0.0), (0.4, 0.12), (0.37, 0.0)):
        pen.plain().ellipse(0, 0, 0.9 * size, 0.9 * size * flat, darker(colour, shade))
    badge = pick(rng, BRIGHT)
    pen.plain().ellipse(0, 0, 0.2, 0.2 * flat, badge)
    pen.stroke(arc(0, 0, 0.8, 0.8 * flat, 200, 260, num=7), 0.04, lighter(colour, 0.6))


def skis(pen: Pen, rng: Random) -> None:
    colour, trim = pick(rng, (RED, BLUE, YELLOW)), pick(rng, (WHITE, BLACK, RED))
    crossing = rng.choice((rng.uniform(-5, 5), rng.uniform(20, 60)))
    gap = rng.uniform(0.1, 0.22)
    if rng.random() < 0.5:
        for side in (-1, 1):
            pole = pen.at(side * rng.uniform(0.3, 0.55), 0, side * rng.uniform(-12, 25))
            pole.stroke([(0, -0.75), (0, 0.85)], 0.035, STEEL)
            pole.stroke([(0, -0.85), (0, -0.6)], 0.08, BLACK)
            pole.ellipse(0, 0.7, 0.09, 0.04, trim)
    for side in (-1, 1):
        ski = pen.at(side * gap, 0, side * crossing / 2)
        board = Tube.through([(0, 1.0), (0, 0.2), (0, -0.75), (0, -1.05)], [0.07, 0.065, 0.085, 0.04])
        ski.tube(board, colour)
        ski.plain().polygon(board.band(0.06, 0.2), trim)
        ski.plain().polygon(board.band(0.74, 0.84), trim)
        ski.polygon([(-0.075, 0.0), (0.075, 0.0), (0.075, 0.32), (-0.075, 0.32)], darker(trim, 0.6))
        ski.polygon([(-0.06, -0.04), (0.06, -0.04), (0.06, 0.06), (-0.06, 0.06)], STEEL)


def snowboard(pen: Pen, rng: Random) -> None:
    colour, trim = pick(rng, (PURPLE, BLACK, (230, 60, 140), LIME)), pick(rng, BRIGHT)
    wide = rng.uniform(0.2, 0.28)
    board = Tube.through([(0, 0.78), (0, 0), (0, -0.78)], [wide, wide * 0.86, wide])
    pen.tube(board, colour)
    style = rng.randrange(3)
    if style == 0:
        for start in (0.1, 0.3, 0.62, 0.8):
            pen.plain().polygon(board.band(start, start + 0.08, lean=0.05, low=-0.95, high=0.95), trim)
    elif style == 1:
        pen.plain().polygon(board.strip(-0.25, 0.25, start=0.05, end=0.95), trim)
    else:
        for along in (0.08, 0.5, 0.92):
            pen.plain().ellipse(*board.at(along, 0), wide * 0.6, wide * 0.6, trim)
    for y in (-0.36, 0.36):
        binding = pen.at(0, y, rng.uniform(-15, 15))
        binding.polygon([(-wide, -0.12), (wide, -0.12), (wide, 0.12), (-wide, 0.12)], (54, 54, 60))
        binding.polygon([(-wide * 0.5, -0.16), (-wide * 0.2, -0.16), (-wide * 0.2, 0.16), (-wide * 0.5, 0.16)], GREY)
        binding.polygon([(wide * 0.3, -0.16), (wide * 0.6, -0.16), (wide * 0.6, 0.16), (wide * 0.3, 0.16)], GREY)


def kite(pen: Pen, rng: Random) -> None:
    one, other = pick(rng, BRIGHT), pick(rng, BRIGHT)
    wide, top = rng.uniform(0.45, 0.62), rng.uniform(-0.95, -0.8)
    sway = rng.uniform(0.15, 0.4)
    tail = [(0, 0.35), (sway, 0.6), (-sway, 0.85), (sway * 0.6, 1.15)]
    pen.stroke(tail, 0.035, darker(other))
    for x, y in tail[1:]:
        bow = pen.at(x * 0.7, y, rng.uniform(-40, 40))
        bow.polygon([(0, 0), (-0.16, -0.09), (-0.16, 0.09)], other)
        bow.polygon([(0, 0), (0.16, -0.09), (0.16, 0.09)], other)
    if rng.random() < 0.7:
        left, right, middle, bottom = (-wide, -0.35), (wide, -0.35), (0.0, -0.35), (0.0, 0.4)
        for corners, colour in (
            ([(0, top), right, middle], one),
            ([right, bottom, middle], other),
            ([bottom, left, middle], one),
            ([left, (0, top), middle], other),
        ):
            pen.polygon(corners, colour)
        pen.stroke([left, right], 0.025, CHOCOLATE)
        pen.stroke([(0, top), bottom], 0.025, CHOCOLATE)
    else:
        for i, colour in enumerate((one, other, other, one)):
            low, high = -0.95 + i * 0.475, -0.95 + (i + 1) * 0.475
            pen.polygon([(0, -0.7), (low, 0.25 - abs(low) * 0.1), (high, 0.25 - abs(high) * 0.1)], colour)


def baseball_bat(pen: Pen, rng: Random) -> None:
    colour = pick(rng, (TAN, (212, 172, 116), BROWN, (170, 110, 60), STEEL, BLACK))
    bat = Tube.through([(0, 1.0), (0, 0.4), (0, -0.3), (0, -0.95)], [0.07, 0.075, 0.16, 0.17])
    pen.tube(bat, colour)
    pen.plain().polygon(bat.strip(-0.6, -0.2, start=0.3, end=0.98), lighter(colour, 0.3))
    pen.plain().polygon(bat.band(0.0, 0.24), pick(rng, (BLACK, CHOCOLATE, WHITE, RED, darker(colour)), 8))
    pen.ellipse(0, 1.0, 0.12, 0.06, darker(colour, 0.2))
    pen.plain().polygon(bat.band(0.72, 0.8, low=-0.9, high=0.9), pick(rng, (RED, BLACK, BLUE, darker(colour))))


def baseball_glove(pen: Pen, rng: Random) -> None:
    leather = pick(rng, (BROWN, (150, 84, 40), TAN, CHOCOLATE, (176, 104, 52)))
    dark = darker(leather, 0.4)
    fan = rng.uniform(0.8, 1.2)
    pen.polygon([(-0.7, -0.2), (-0.5, -0.75), (-0.2, -0.8), (-0.1, -0.1)], darker(leather, 0.25))
    for y in (-0.6, -0.4, -0.2):
        pen.stroke([(-0.66, y + 0.1), (-0.2, y)], 0.04, dark)
    for x, tip, high in ((0.0, -0.15, -0.98), (0.24, 0.22, -1.0), (0.42, 0.56, -0.82), (0.52, 0.85, -0.5)):
        finger = Tube.through(
            [(x, 0.1), (x + (tip - x) * fan * 0.5, high * 0.5), (tip * fan, high * 0.86)], [0.2, 0.18, 0.13]
        )
        pen.tube(finger, leather)
    pen.tube(Tube.through([(-0.3, 0.4), (-0.68, 0.05), (-0.74, -0.35)], [0.26, 0.2, 0.14]), leather)
    pen.blob([(-0.5, 0.1), (0, -0.15), (0.55, 0.0), (0.66, 0.45), (0.35, 0.85), (-0.25, 0.85), (-0.55, 0.5)], leather)
    pen.plain().ellipse(0.02, 0.22, 0.38, 0.32, darker(leather, 0.2))
    pen.stroke([(-0.3, 0.82), (0.0, 0.7), (0.38, 0.82)], 0.05, dark)
    for x in (-0.1, 0.14, 0.38):
        pen.stroke([(x, -0.05), (x + 0.08, -0.4)], 0.03, dark)
    if rng.random() < 0.35:
        balls.baseball(pen.at(0.0, 0.1, rng.uniform(0, 360), 0.36), rng)


def skateboard(pen: Pen, rng: Random) -> None:
    deck, wheel = pick(rng, (BLACK, TAN, GREEN, (70, 60, 60))), pick(rng, (WHITE, YELLOW, LIME, CREAM))
    if rng.random() < 0.55:
        for x in (-0.52, 0.52):
            pen.polygon([(x - 0.16, 0.05), (x + 0.16, 0.05), (x + 0.06, 0.24), (x - 0.06, 0.24)], STEEL)
            for near in (-0.03, 0.03):
                pen.ellipse(x + near, 0.29 + near * 0.3, 0.16, 0.16, wheel)
            pen.plain().ellipse(x + 0.03, 0.3, 0.06, 0.06, darker(wheel, 0.5))
        kick = rng.uniform(0.14, 0.24)
        curve = [(-1.0, -kick), (-0.75, 0.0), (0, 0.03), (0.75, 0.0), (1.0, -kick)]
        pen.tube(Tube.through(curve, [0.055] * 5), deck)
        pen.stroke([(x, y - 0.055) for x, y in curve], 0.035, BLACK)
    else:
        for x in (-0.52, 0.52):
            for y in (-0.32, 0.32):
                pen.polygon(
                    [(x - 0.13, y - 0.08), (x + 0.13, y - 0.08), (x + 0.13, y + 0.08), (x - 0.13, y + 0.08)], wheel
                )
            pen.stroke([(x, -0.3), (x, 0.3)], 0.08, STEEL)
        board = Tube.through([(-0.74, 0), (0, 0), (0.74, 0)], [0.25, 0.27, 0.25])
        pen.tube(board, deck)
        if rng.random() < 0.5:
            pen.plain().polygon(board.strip(-0.88, 0.88), (48, 46, 50))
        else:
            pen.plain().polygon(board.band(0.3, 0.7, low=-0.5, high=0.5, lean=0.15), pick(rng, BRIGHT))
        for x in (-0.58, -0.46, 0.46, 0.58):
            for y in (-0.08, 0.08):
                pen.plain().ellipse(x, y, 0.025, 0.025, STEEL)


def surfboard(pen: Pen, rng: Random) -> None:
    colour, trim = pick(rng, (WHITE, CREAM, YELLOW, (40, 180, 180))), pick(rng, (RED, BLUE, ORANGE, (40, 180, 180)))
    wide = rng.uniform(0.22, 0.32)
    board = Tube.through([(0, 1.0), (0, 0.45), (0, -0.3), (0, -1.1)], [wide * 0.6, wide * 0.95, wide, 0.015])
    for side in (-1, 0, 1):
        pen.polygon([(side * 0.16, 0.75), (side * 0.2 + 0.05, 1.15), (side * 0.16 - 0.06, 1.1)], darker(trim, 0.3))
    pen.tube(board, colour)
    style = rng.randrange(3)
    if style == 0:
        pen.plain().polygon(board.strip(-0.97, -0.6, start=0.03, end=0.9), trim)
        pen.plain().polygon(board.strip(0.6, 0.97, start=0.03, end=0.9), trim)
    elif style == 1:
        for start in (0.2, 0.3, 0.4):
            pen.plain().polygon(board.band(start, start + 0.05, low=-0.96, high=0.96), mix(trim, colour, start - 0.2))
    else:
        pen.plain().polygon(board.band(0.62, 0.9, low=-0.96, high=0.96, lean=0.04), trim)
    pen.stroke([(0, 0.95), (0, -1.0)], 0.025, darker(colour, 0.4))


def tennis_racket(pen: Pen, rng: Random) -> None:
    frame, grip = pick(rng, (BLACK, BLUE, RED)), pick(rng, (BLACK, WHITE, CHOCOLATE))
    wide, tall = rng.uniform(0.4, 0.48), rng.uniform(0.52, 0.6)
    centre, strings = -0.45, pick(rng, (WHITE, CREAM, LIME), 6)
    for i in range(-4, 5):
        share = (1 - (i / 4.8) ** 2) ** 0.5
        pen.stroke([(i / 4.8 * wide, centre - tall * share), (i / 4.8 * wide, centre + tall * share)], 0.022, strings)
        pen.stroke([(-wide * share, centre + i / 4.8 * tall), (wide * share, centre + i / 4.8 * tall)], 0.022, strings)
    for side in (-1, 1):
        pen.stroke([(side * wide * 0.55, centre + tall * 0.84), (side * 0.05, 0.45)], 0.08, frame)
    pen.ring(0, centre, wide + 0.07, tall + 0.07, 0.85, frame)
    handle = Tube.through([(0, 0.4), (0, 1.05)], [0.06, 0.075])
    pen.tube(handle, frame)
    pen.tube(Tube.through([(0, 0.6), (0, 1.05)], [0.07, 0.08]), grip)
    for along in (0.4, 0.55, 0.7, 0.85):
        pen.plain().polygon(handle.band(along, along + 0.03, lean=0.06), lighter(grip, 0.4))

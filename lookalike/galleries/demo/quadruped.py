"""The four-legged body, seen from the side and facing right, that nine of the ten animals share."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from lookalike.galleries.demo.canvas import Pen
from lookalike.galleries.demo.curves import Point, Tube, polar, wavy
from lookalike.galleries.demo.palette import Colour, darker, mix

Coat: TypeAlias = Callable[[Pen, Random, Tube, float], None]
"""Paints markings on a part; the number is the size of a marking relative to those on the body."""


@dataclass(frozen=True)
class Colours:
    """The colours of one animal: its coat, the markings on it, its feet, and its nose or muzzle."""

    coat: Colour
    marking: Colour
    foot: Colour
    muzzle: Colour


@dataclass(frozen=True)
class Build:
    """Proportions in units in which the body is about 1 long; angles in degrees upwards from the horizontal."""

    half_length: float
    shoulder: float  # radius of the body at the shoulder, the middle and the hip
    middle: float
    hip: float
    leg: float
    leg_radius: float
    neck: float
    neck_radius: float
    neck_angle: tuple[float, float]
    head: float  # size of the head
    tail: tuple[float, float, float]  # length, radius at the root, radius at the tip
    tail_angle: tuple[float, float]  # of its first half
    tail_curl: float = 0.0  # how much further up the second half points
    tuft: float = 0.0
    mane: float = 0.0
    wool: bool = False
    grazes: float = 0.0  # the share of animals that have the head down


Head: TypeAlias = Callable[[Pen, Random, Colours], None]


def draw_quadruped(pen: Pen, rng: Random, build: Build, colours: Colours, head: Head, coat: Coat) -> None:
    """The animal at the origin, about from -1 to 1 in both directions."""
    hip, shoulder = (-build.half_length, 0.0), (build.half_length, rng.uniform(-0.04, 0.04))
    body = Tube.through(
        [hip, (0.0, rng.uniform(-0.02, 0.05)), shoulder], [build.hip, build.middle, build.shoulder], steps=8
    )
    stride = rng.choice((0.0, rng.uniform(10, 38)))
    _tail(pen, rng, build, colours)
    for side, shade in ((-1, 0.28), (1, 0.0)):
        if side == 1:
            _body(pen, rng, build, body, colours, coat)
        for anchor, swing in ((hip, side * stride), (shoulder, -side * stride)):
            _leg(pen, rng, build, (anchor[0] + 0.05 * side, anchor[1]), swing, colours, shade, coat)
    _neck_and_head(pen, rng, build, shoulder, colours, head, coat)


def _body(pen: Pen, rng: Random, build: Build, body: Tube, colours: Colours, coat: Coat) -> None:
    if build.wool:
        outline = wavy(
            0.0, 0.0, build.half_length + build.hip, build.middle * 1.15, bumps=13, depth=0.16, phase=rng.random()
        )
        pen.polygon(outline, colours.coat)
    else:
        pen.tube(body, colours.coat)
        shadow = mix(colours.coat, (0, 0, 0), 0.14)
        pen.plain().polygon(body.strip(0.55, 0.97, start=0.02, end=0.98), shadow)
    coat(pen.plain(), rng, body, 1.0)


def _leg(
    pen: Pen, rng: Random, build: Build, anchor: Point, swing: float, colours: Colours, shade: float, coat: Coat
) -> None:
    bend = rng.uniform(-14, 14) if swing else rng.uniform(-5, 5)
    swing += rng.uniform(-5, 5)
    knee = polar(*anchor, 90 - swing, build.leg * 0.55 + build.hip * 0.4)
    foot = polar(*knee, 90 - swing + bend, build.leg * 0.5)
    radius = build.leg_radius
    leg = Tube.through([anchor, knee, foot], [radius * 1.5, radius, radius * 0.8])
    pen.tube(leg, darker(colours.coat, shade))
    if shade == 0:
        coat(pen.plain(), rng, Tube.through([knee, foot], [radius, radius * 0.8]), 0.5)
    pen.plain().ellipse(foot[0] + radius * 0.3, foot[1], radius * 1.15, radius * 0.75, darker(colours.foot, shade))


def _tail(pen: Pen, rng: Random, build: Build, colours: Colours) -> None:
    length, root, tip = build.tail
    angle = 180 + rng.uniform(*build.tail_angle)
    start = (-build.half_length - build.hip * 0.8, -build.hip * 0.4)
    middle = polar(*start, angle, length / 2)
    end = polar(*middle, angle + build.tail_curl * rng.uniform(0.5, 1.2), length / 2)
    pen.tube(Tube.through([start, middle, end], [root, (root + tip) / 2, tip]), colours.coat)
    if build.tuft:
        pen.ellipse(*end, build.tuft * 0.7, build.tuft, colours.marking)


def _neck_and_head(
    pen: Pen, rng: Random, build: Build, shoulder: Point, colours: Colours, head: Head, coat: Coat
) -> None:
    down = rng.random() < build.grazes
    angle = -rng.uniform(20, 45) if down else rng.uniform(*build.neck_angle)
    start = (shoulder[0], shoulder[1] - build.shoulder * 0.25)
    end = polar(*start, -angle, build.neck)
    middle = polar(*start, -angle - 8, build.neck * 0.5)
    neck = Tube.through([start, middle, end], [build.shoulder * 0.7, build.neck_radius * 1.15, build.neck_radius])
    if build.neck > build.head * 0.6:
        if build.mane:
            mane = [neck.at(along, -1.0 - build.mane / build.neck_radius * wave) for along, wave in _MANE]
            pen.blob([*mane, neck.at(1.0, 0.0), neck.at(0.3, 0.0)], colours.marking)
        pen.tube(neck, colours.coat)
        coat(pen.plain(), rng, neck, 0.8)
    nod = rng.uniform(-18, 14) + (40 if down else 0)
    head(pen.at(*end, nod, build.head), rng, colours)


_MANE: tuple[tuple[float, float], ...] = ((0.1, 0.4), (0.3, 1.1), (0.5, 0.8), (0.7, 1.2), (0.9, 0.9), (1.0, 1.1))

"""Colours and how they vary from one object to the next."""

from random import Random
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]

BLACK: Colour = (28, 26, 26)
WHITE: Colour = (244, 242, 236)
CREAM: Colour = (240, 224, 190)
GREY: Colour = (140, 140, 144)
BROWN: Colour = (122, 80, 46)
TAN: Colour = (196, 152, 98)
PINK: Colour = (236, 160, 164)
RED: Colour = (206, 44, 40)
ORANGE: Colour = (240, 136, 30)
YELLOW: Colour = (246, 212, 60)
GREEN: Colour = (74, 152, 58)
LIME: Colour = (168, 208, 84)
BLUE: Colour = (44, 96, 190)
SKY: Colour = (150, 200, 238)
PURPLE: Colour = (122, 70, 160)
STEEL: Colour = (176, 182, 190)
CHOCOLATE: Colour = (84, 48, 30)
BRIGHT: tuple[Colour, ...] = (RED, ORANGE, YELLOW, GREEN, BLUE, PURPLE, PINK, WHITE, (40, 180, 180), (230, 60, 140))
SKIN: tuple[Colour, ...] = ((240, 200, 170), (214, 160, 122), (160, 108, 76), (104, 70, 50))


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """``one`` with ``share`` (0 to 1) of ``other``."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, other, strict=True))
    return r, g, b


def darker(colour: Colour, share: float = 0.3) -> Colour:
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float = 0.3) -> Colour:
    return mix(colour, (255, 255, 255), share)


def vary(rng: Random, colour: Colour, amount: float = 14.0) -> Colour:
    """``colour`` with another brightness and, less, another tint; ``amount`` in levels of 255."""
    shift = rng.gauss(0.0, amount)
    r, g, b = (min(max(round(level + shift + rng.gauss(0.0, amount / 2)), 0), 255) for level in colour)
    return r, g, b


def pick(rng: Random, colours: tuple[Colour, ...], amount: float = 14.0) -> Colour:
    """One of ``colours``, varied."""
    return vary(rng, rng.choice(colours), amount)

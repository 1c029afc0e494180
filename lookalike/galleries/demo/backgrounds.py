"""What lies behind the objects: landscapes, floors, tables and plain textures, each different every time."""

from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookalike.galleries.demo.palette import (
    BLUE,
    BRIGHT,
    CREAM,
    GREEN,
    GREY,
    RED,
    SKY,
    TAN,
    WHITE,
    Colour,
    darker,
    lighter,
    mix,
    pick,
    vary,
)

Plane: TypeAlias = NDArray[np.float32]  # [H, W] or [H, W, 3], levels of 255
Size: TypeAlias = tuple[int, int]  # width, height


def paint_background(kind: str, rng: Random, size: Size) -> Image.Image:
    """An RGB image of ``size``; ``kind`` is one of BACKGROUNDS."""
    return BACKGROUNDS[kind](rng, size)


def smooth_noise(rng: Random, size: Size, cells: int) -> Plane:
    """float32 [H, W] of about mean 0 and spread 1, that changes over a ``cells``-th of the longer side."""
    width, height = size
    columns, rows = max(cells * width // max(size), 2), max(cells * height // max(size), 2)
    coarse = np.random.Generator(np.random.PCG64(rng.getrandbits(64))).random((rows, columns), dtype=np.float32)
    stretched = Image.fromarray((coarse - 0.5) * 3.4).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(stretched, dtype=np.float32)


def _image(plane_HW3: NDArray[np.floating[Any]]) -> Image.Image:
    return Image.fromarray(np.clip(plane_HW3, 0, 255).astype(np.uint8))


def _muted(rng: Random, colours: tuple[Colour, ...]) -> Colour:
    """One of ``colours``, pale, so that objects stand out."""
    return mix(pick(rng, colours), (206, 204, 200), rng.uniform(0.45, 0.75))


def _fade(top: Colour, bottom: Colour, size: Size) -> Plane:
    share = np.linspace(0, 1, size[1], dtype=np.float32)[:, None, None]
    column = np.asarray(top, np.float32) * (1 - share) + np.asarray(bottom, np.float32) * share
    return np.repeat(column, size[0], axis=1)


def _landscape(rng: Random, size: Size, sky: Colour, near: Colour, far: Colour, rough: float) -> Image.Image:
    """Sky over ground, with a horizon somewhere in the upper part, hilly or flat."""
    width, height = size
    horizon = round(height * rng.uniform(0.05, 0.6))
    picture = _fade(sky, lighter(sky, 0.5), size)
    picture += smooth_noise(rng, size, 5)[:, :, None] * 10
    ground = _fade(far, near, (width, height))
    ground += smooth_noise(rng, size, 9)[:, :, None] * rough
    ground += smooth_noise(rng, size, rng.choice((40, 80, 160)))[:, :, None] * rough * 0.8
    hills = smooth_noise(rng, (width, 2), 4)[0] * rng.choice((0.0, 0.04)) * height + horizon
    below = np.arange(height, dtype=np.float32)[:, None] >= hills[None, :]
    return _image(np.where(below[:, :, None], ground, picture))


def _meadow(rng: Random, size: Size) -> Image.Image:
    grass = vary(rng, mix(GREEN, (150, 170, 70), rng.random() * 0.7))
    return _landscape(rng, size, vary(rng, SKY), grass, lighter(grass, 0.2), 16)


def _savanna(rng: Random, size: Size) -> Image.Image:
    straw = pick(rng, ((206, 178, 104), (186, 150, 90), (170, 160, 90)))
    return _landscape(rng, size, pick(rng, (SKY, (240, 200, 150), (200, 214, 226))), straw, lighter(straw, 0.2), 18)


def _snow(rng: Random, size: Size) -> Image.Image:
    snow = vary(rng, (232, 238, 246), 8)
    return _landscape(rng, size, pick(rng, ((110, 160, 214), (190, 202, 214), SKY)), snow, darker(snow, 0.08), 8)


def _sea(rng: Random, size: Size) -> Image.Image:
    water = pick(rng, ((40, 110, 150), (30, 80, 130), (70, 160, 170)))
    picture = _landscape(rng, size, pick(rng, (SKY, (230, 200, 180), (180, 190, 200))), water, lighter(water, 0.2), 12)
    waves = ImageDraw.Draw(picture)
    for _ in range(rng.randint(4, 16)):
        x, y, reach = rng.uniform(0, size[0]), rng.uniform(size[1] * 0.6, size[1]), rng.uniform(10, 50)
        waves.line([(x, y), (x + reach / 2, y - 3), (x + reach, y)], fill=lighter(water, 0.6), width=rng.randint(1, 2))
    return picture


def _beach(rng: Random, size: Size) -> Image.Image:
    sand = vary(rng, (228, 204, 156), 10)
    return _landscape(rng, size, vary(rng, (96, 168, 196)), sand, lighter(sand, 0.15), 10)


def _sky(rng: Random, size: Size) -> Image.Image:
    top = pick(rng, (SKY, (70, 130, 210), (186, 196, 210), (240, 180, 140)))
    picture = _fade(top, lighter(top, rng.uniform(0.1, 0.6)), size)
    clouds = np.maximum(smooth_noise(rng, size, 5), 0)[:, :, None]
    return _image(picture + clouds * np.float32(rng.uniform(0, 40)))


def _street(rng: Random, size: Size) -> Image.Image:
    asphalt = pick(rng, ((110, 110, 114), (150, 146, 140), (90, 92, 98)))
    return _landscape(rng, size, pick(rng, (SKY, (176, 120, 96), GREY, CREAM)), asphalt, lighter(asphalt, 0.1), 12)


def _court(rng: Random, size: Size) -> Image.Image:
    """A sports ground from above or aslant, with white lines."""
    width, height = size
    floor = pick(rng, ((60, 110, 170), (70, 140, 80), (186, 94, 60), (200, 150, 96), (90, 90, 150)))
    picture = _image(_fade(lighter(floor, 0.12), floor, size) + smooth_noise(rng, size, 120)[:, :, None] * 7)
    lines = ImageDraw.Draw(picture)
    for _ in range(rng.randint(1, 4)):
        start, end = (rng.uniform(0, width), -5.0), (rng.uniform(0, width), height + 5.0)
        if rng.random() < 0.5:
            start, end = (-5.0, rng.uniform(0, height)), (width + 5.0, rng.uniform(0, height))
        lines.line([start, end], fill=vary(rng, WHITE, 8), width=rng.randint(2, 6))
    return picture


def _table(rng: Random, size: Size) -> Image.Image:
    """Planks of wood, along either side."""
    wood = pick(rng, ((120, 84, 60), (90, 64, 48), (158, 128, 102)))
    turned = rng.random() < 0.5
    width, height = size[::-1] if turned else size
    grain = smooth_noise(rng, (8, height), 90)[:, :1] * 10 + smooth_noise(rng, (width, height), 6) * 6
    planks = (np.arange(height) // rng.randint(30, 90)).astype(np.int64)
    shades = np.random.Generator(np.random.PCG64(rng.getrandbits(64))).normal(0, 9, planks.max() + 1).astype(np.float32)
    grain = grain + shades[planks][:, None]
    grain[1:][planks[1:] != planks[:-1]] -= 40
    grain = grain.T if turned else grain
    return _image(np.asarray(wood, np.float32) + grain[:, :, None])


def _cloth(rng: Random, size: Size) -> Image.Image:
    """A checked or striped tablecloth."""
    one, other = pick(rng, (WHITE, CREAM)), _muted(rng, (BLUE, RED, GREEN, GREY))
    step = rng.randint(14, 50)
    slant = rng.uniform(-0.6, 0.6)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    u = ((x + slant * y) // step).astype(np.int64) % 2
    v = ((y - slant * x) // step).astype(np.int64) % 2 if rng.random() < 0.6 else u
    share = ((u + v) / 2 * rng.uniform(0.4, 1.0))[:, :, None].astype(np.float32)
    picture = np.asarray(one, np.float32) * (1 - share) + np.asarray(other, np.float32) * share
    return _image(picture + smooth_noise(rng, size, 8)[:, :, None] * 5)


def _room(rng: Random, size: Size) -> Image.Image:
    """A wall over a floor."""
    wall = pick(rng, (CREAM, (200, 214, 206), (220, 190, 180), (160, 176, 200), GREY))
    floor = pick(rng, ((150, 106, 70), GREY, (200, 180, 150), (110, 60, 60)))
    picture = _fade(wall, darker(wall, 0.1), size)
    edge = round(size[1] * rng.uniform(0.45, 0.85))
    picture[edge:] = np.asarray(floor, np.float32)
    picture[max(edge - 5, 0) : edge] = np.asarray(lighter(wall, 0.5), np.float32)
    return _image(picture + smooth_noise(rng, size, 6)[:, :, None] * 6)


def _plain(rng: Random, size: Size) -> Image.Image:
    return _image(_fade(_muted(rng, (*BRIGHT, GREY, CREAM)), _muted(rng, (*BRIGHT, GREY, WHITE)), size))


def _texture(rng: Random, size: Size) -> Image.Image:
    """Blots in two colours."""
    one, other = _muted(rng, (*BRIGHT, GREY, TAN)), _muted(rng, (*BRIGHT, GREY, CREAM))
    noise = smooth_noise(rng, size, rng.choice((8, 16, 32))) * 0.5 + smooth_noise(rng, size, 60) * 0.3 + 0.5
    share = np.clip(noise, 0, 1)[:, :, None]
    return _image(np.asarray(one, np.float32) * (1 - share) + np.asarray(other, np.float32) * share)


BACKGROUNDS: dict[str, Callable[[Random, Size], Image.Image]] = {
    "meadow": _meadow,
    "savanna": _savanna,
    "snow": _snow,
    "sea": _sea,
    "beach": _beach,
    "sky": _sky,
    "street": _street,
    "court": _court,
    "table": _table,
    "cloth": _cloth,
    "room": _room,
    "plain": _plain,
    "texture": _texture,
}

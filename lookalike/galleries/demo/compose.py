"""A scene becomes a picture and a list of what can be seen in it."""

from collections import Counter
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.galleries.demo.backgrounds import paint_background
from lookalike.galleries.demo.canvas import Canvas, Frame, Pen
from lookalike.galleries.demo.clutter import OCCLUDERS, THINGS, plate
from lookalike.galleries.demo.lighting import light
from lookalike.galleries.demo.scene import Placement, Scene, plan_scene
from lookalike.galleries.demo.taxonomy import CATEGORIES, Category

MIN_VISIBLE = 0.45
"""The share of its pixels that every object still shows."""
MIN_AREA = 0.004
"""The share of the picture that every object covers at least."""
CROWDED_ATTEMPTS = 6


@dataclass(frozen=True)
class VisibleObject:
    """What one object shows: its tight box ``(x, y, width, height)`` and its area, in pixels; ``share`` of the
    object's own pixels inside the picture that nothing hides."""

    category: Category
    box: tuple[int, int, int, int]
    area: int
    share: float


@dataclass(frozen=True)
class Picture:
    image: Image.Image
    jpeg_quality: int
    objects: tuple[VisibleObject, ...]


def category_of(seed: int, number: int) -> Category:
    """The category of picture ``number`` (from 0): every 30 consecutive ones show each once, in a random order."""
    block, place = divmod(number, len(CATEGORIES))
    order = list(CATEGORIES)
    Random(f"order/{seed}/{block}").shuffle(order)
    return order[place]


def compose(seed: int, number: int) -> Picture:
    """Picture ``number`` of ``seed``: the same pixels on every call, whatever else is drawn."""
    category = category_of(seed, number)
    attempt = 0
    while True:
        rng = Random(f"picture/{seed}/{number}/{attempt}")
        scene = plan_scene(rng, category, crowded=attempt < CROWDED_ATTEMPTS)
        canvas, objects = draw_scene(rng, scene)
        if _clear(scene, objects):
            return Picture(light(canvas.picture(), scene.lighting), scene.lighting.jpeg_quality, objects)
        attempt += 1


def draw_scene(rng: Random, scene: Scene) -> tuple[Canvas, tuple[VisibleObject, ...]]:
    """Paints ``scene``, unlit, and measures what its objects show; one that shows nothing is left out."""
    canvas = Canvas(paint_background(scene.background, rng, scene.size))
    for thing in scene.clutter:
        THINGS[thing.name](_pen(canvas, thing.placement, 0, scene.outline), rng)
    whole: list[int] = []
    for owner, placed in enumerate(scene.objects, start=1):
        if placed.plate:
            plate(_pen(canvas, placed.placement, 0, scene.outline), rng)
        placed.category.draw(_pen(canvas, placed.placement, owner, scene.outline), rng)
        whole.append(canvas.owners.histogram()[owner])
    for thing in scene.occluders:
        OCCLUDERS[thing.name](_pen(canvas, thing.placement, 0, scene.outline), rng)
    owners_HW = np.asarray(canvas.owners)
    visible = (
        _measure(owners_HW == owner, placed.category, whole[owner - 1])
        for owner, placed in enumerate(scene.objects, start=1)
    )
    return canvas, tuple(one for one in visible if one is not None)


def _measure(shown_HW: NDArray[np.bool_], category: Category, whole: int) -> VisibleObject | None:
    columns, rows = np.flatnonzero(shown_HW.any(axis=0)), np.flatnonzero(shown_HW.any(axis=1))
    if not len(columns):
        return None
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    area = int(np.count_nonzero(shown_HW))
    return VisibleObject(category, (left, top, right - left, bottom - top), area, area / whole)


def _clear(scene: Scene, objects: tuple[VisibleObject, ...]) -> bool:
    """Whether all objects of the scene can be made out, so that the most frequent is also the most frequent seen."""
    least = MIN_AREA * scene.size[0] * scene.size[1]
    seen = Counter(one.category.name for one in objects if one.share >= MIN_VISIBLE and one.area >= least)
    return seen == scene.counts()


def _pen(canvas: Canvas, placement: Placement, owner: int, outline: float) -> Pen:
    size = placement.half_size
    frame = Frame(1.0, 0.0, 0.0, 0.0, 1.0, 0.0).within(
        placement.x,
        placement.y,
        placement.turn,
        size * placement.stretch * (-1 if placement.mirrored else 1),
        size / placement.stretch,
    )
    return Pen(canvas, frame, owner, outline)

"""What is in a picture, decided before anything is drawn."""

from dataclasses import dataclass
from random import Random

from lookalike.galleries.demo.backgrounds import BACKGROUNDS, Size
from lookalike.galleries.demo.clutter import OCCLUDERS, THINGS
from lookalike.galleries.demo.lighting import Lighting, choose_lighting
from lookalike.galleries.demo.taxonomy import CATEGORIES, FOOD, Category

SIZES: tuple[Size, ...] = ((320, 240), (320, 240), (320, 214), (240, 320), (214, 320), (300, 300), (320, 180))

SEVERAL = 0.22
"""The share of pictures with more than one object of their category."""
OTHERS = 0.5
"""The share of those that also show objects of other categories, always fewer."""
OCCLUDED = 0.25
ANYWHERE = 0.12
"""The share of pictures in front of any background instead of one where their category belongs."""


@dataclass(frozen=True)
class Placement:
    """Where something is drawn: its centre and half its size in pixels, its turn in degrees, its proportions."""

    x: float
    y: float
    half_size: float
    turn: float = 0.0
    stretch: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True)
class SceneObject:
    category: Category
    placement: Placement
    plate: bool = False


@dataclass(frozen=True)
class Thing:
    """Clutter or an occluder, by its name in ``clutter``."""

    name: str
    placement: Placement


@dataclass(frozen=True)
class Scene:
    """One picture. Everything is painted in the order of the fields; ``outline`` is in units of an object."""

    size: Size
    background: str
    clutter: tuple[Thing, ...]
    objects: tuple[SceneObject, ...]
    occluders: tuple[Thing, ...]
    outline: float
    lighting: Lighting

    def counts(self) -> dict[str, int]:
        """Objects by category name."""
        names = [placed.category.name for placed in self.objects]
        return {name: names.count(name) for name in names}


def plan_scene(rng: Random, category: Category, *, crowded: bool = True) -> Scene:
    """A scene of which ``category`` is the most frequent, by at least one object.

    ``crowded=False`` leaves out second objects and occluders, for when those hid too much.
    """
    size = rng.choice(SIZES)
    objects = _objects(rng, category, size, several=crowded and rng.random() < SEVERAL)
    hidden = objects[0].placement
    occluded = crowded and rng.random() < OCCLUDED
    return Scene(
        size=size,
        background=_background(rng, category),
        clutter=tuple(_thing(rng, size) for _ in range(rng.choice((0, 0, 1, 2, 3, 5)))),
        objects=objects,
        occluders=(Thing(rng.choice(tuple(OCCLUDERS)), hidden),) if occluded else (),
        outline=rng.choice((0.0, 0.0, rng.uniform(0.008, 0.025))),
        lighting=choose_lighting(rng),
    )


def _background(rng: Random, category: Category) -> str:
    return rng.choice(tuple(BACKGROUNDS) if rng.random() < ANYWHERE else category.habitat)


def _objects(rng: Random, category: Category, size: Size, *, several: bool) -> tuple[SceneObject, ...]:
    categories = [category]
    if several:
        categories = [category] * rng.randint(2, 4)
        if rng.random() < OTHERS:
            other = rng.choice([one for one in CATEGORIES if one is not category])
            categories += [other] * rng.randint(1, len(categories) - 1)
    rng.shuffle(categories)
    largest = 0.64 if len(categories) == 1 else 0.47 - 0.035 * len(categories)
    placed: list[SceneObject] = []
    for one in categories:
        spot = _free_spot(rng, size, largest * rng.uniform(0.7, 1.0) * min(size), [o.placement for o in placed])
        turn = rng.choice((-1, 1)) * one.max_turn * rng.random() ** 1.5
        placement = Placement(*spot, turn, rng.uniform(0.85, 1.18), rng.random() < 0.5)
        placed.append(SceneObject(one, placement, plate=one.supercategory == FOOD and rng.random() < 0.35))
    return tuple(placed)


def _free_spot(rng: Random, size: Size, half_size: float, taken: list[Placement]) -> tuple[float, float, float]:
    """(x, y, half_size), of a few random places the one that is farthest from the others."""

    def room(spot: tuple[float, float]) -> float:
        x, y = spot
        return min((((x - other.x) ** 2 + (y - other.y) ** 2) ** 0.5 - other.half_size for other in taken), default=0.0)

    # A quarter of an object may lie outside the picture.
    inset = [min(half_size * rng.uniform(0.88, 1.3), side / 2) for side in size]
    spots = [(rng.uniform(inset[0], size[0] - inset[0]), rng.uniform(inset[1], size[1] - inset[1])) for _ in range(8)]
    return (*max(spots, key=room), half_size)


def _thing(rng: Random, size: Size) -> Thing:
    x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
    half_size = min(size) * rng.uniform(0.04, 0.11)
    return Thing(rng.choice(tuple(THINGS)), Placement(x, y, half_size, rng.uniform(-30, 30), 1.0, rng.random() < 0.5))

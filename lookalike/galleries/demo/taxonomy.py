"""COCO's animal, sports and food categories, with its own ids and names, and what draws each."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from lookalike.galleries.demo import animals, balls, meals, produce, sports
from lookalike.galleries.demo.canvas import Pen

Draw: TypeAlias = Callable[[Pen, Random], None]
"""Draws one object at the origin of the pen, about from -1 to 1 in both directions."""

ANIMAL, SPORTS, FOOD = "animal", "sports", "food"


@dataclass(frozen=True)
class Category:
    """A COCO category. Objects are turned by up to ``max_turn`` degrees either way from upright.

    ``habitat`` names the backgrounds where it is mostly found.
    """

    category_id: int
    name: str
    supercategory: str
    draw: Draw
    max_turn: float
    habitat: tuple[str, ...]


_SKIES = ("sky", "sky", "sky", "meadow")
_HOMES = ("room", "room", "room", "street")
_FIELDS = ("meadow", "meadow", "meadow", "street")
_PLAINS = ("savanna",)
_WILDS = ("snow", "meadow", "savanna")
_PARKS = ("meadow", "meadow", "beach")
_SLOPES = ("snow",)
_PITCHES = ("court", "court", "court", "meadow")
_STREETS = ("street", "street", "court")
_COASTS = ("sea", "sea", "beach")
_TABLES = ("table", "table", "cloth", "plain")

CATEGORIES: tuple[Category, ...] = (
    Category(16, "bird", ANIMAL, animals.bird, 20, _SKIES),
    Category(17, "cat", ANIMAL, animals.cat, 15, _HOMES),
    Category(18, "dog", ANIMAL, animals.dog, 15, _HOMES),
    Category(19, "horse", ANIMAL, animals.horse, 15, _FIELDS),
    Category(20, "sheep", ANIMAL, animals.sheep, 12, _FIELDS),
    Category(21, "cow", ANIMAL, animals.cow, 12, _FIELDS),
    Category(22, "elephant", ANIMAL, animals.elephant, 12, _PLAINS),
    Category(23, "bear", ANIMAL, animals.bear, 15, _WILDS),
    Category(24, "zebra", ANIMAL, animals.zebra, 12, _PLAINS),
    Category(25, "giraffe", ANIMAL, animals.giraffe, 10, _PLAINS),
    Category(34, "frisbee", SPORTS, sports.frisbee, 40, _PARKS),
    Category(35, "skis", SPORTS, sports.skis, 90, _SLOPES),
    Category(36, "snowboard", SPORTS, sports.snowboard, 90, _SLOPES),
    Category(37, "sports ball", SPORTS, balls.sports_ball, 180, _PITCHES),
    Category(38, "kite", SPORTS, sports.kite, 50, _SKIES),
    Category(39, "baseball bat", SPORTS, sports.baseball_bat, 180, _PITCHES),
    Category(40, "baseball glove", SPORTS, sports.baseball_glove, 40, _PITCHES),
    Category(41, "skateboard", SPORTS, sports.skateboard, 35, _STREETS),
    Category(42, "surfboard", SPORTS, sports.surfboard, 90, _COASTS),
    Category(43, "tennis racket", SPORTS, sports.tennis_racket, 120, _PITCHES),
    Category(52, "banana", FOOD, produce.banana, 180, _TABLES),
    Category(53, "apple", FOOD, produce.apple, 30, _TABLES),
    Category(54, "sandwich", FOOD, meals.sandwich, 15, _TABLES),
    Category(55, "orange", FOOD, produce.orange, 40, _TABLES),
    Category(56, "broccoli", FOOD, produce.broccoli, 60, _TABLES),
    Category(57, "carrot", FOOD, produce.carrot, 180, _TABLES),
    Category(58, "hot dog", FOOD, meals.hot_dog, 60, _TABLES),
    Category(59, "pizza", FOOD, meals.pizza, 30, _TABLES),
    Category(60, "donut", FOOD, meals.donut, 30, _TABLES),
    Category(61, "cake", FOOD, meals.cake, 10, _TABLES),
)

from collections import Counter
from random import Random

import pytest
from PIL import Image

from lookalike.galleries.demo.backgrounds import BACKGROUNDS, paint_background
from lookalike.galleries.demo.canvas import Canvas, Frame, Pen
from lookalike.galleries.demo.taxonomy import CATEGORIES

# From COCO 2017's instances files.
COCO = {
    "animal": {
        16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
        24: "zebra", 25: "giraffe",
    },
    "sports": {
        34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
        40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket",
    },
    "food": {
        52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog",
        59: "pizza", 60: "donut", 61: "cake",
    },
}  # fmt: skip


def test_categories_are_coco_s():
    ours: dict[str, dict[int, str]] = {}
    for category in CATEGORIES:
        ours.setdefault(category.supercategory, {})[category.category_id] = category.name
    assert ours == COCO


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_every_category_fills_its_frame_and_varies(category):
    drawings = set()
    for pose in range(6):
        canvas = Canvas(Image.new("RGB", (120, 120), (90, 160, 220)))
        category.draw(Pen(canvas, Frame(40.0, 0.0, 60.0, 0.0, 40.0, 60.0), owner=1), Random(pose))
        left, top, right, bottom = canvas.owners.getbbox()
        assert max(right - left, bottom - top) >= 40
        assert canvas.owners.histogram()[1] >= 300
        drawings.add(canvas.picture().tobytes())
    assert len(drawings) == 6


@pytest.mark.parametrize("kind", BACKGROUNDS)
@pytest.mark.parametrize("size", [(64, 48), (48, 64), (320, 240)])
def test_every_background_has_the_size_asked_and_varies(kind, size):
    one, other = (paint_background(kind, Random(seed), size) for seed in (1, 2))
    assert one.size == size
    assert one.mode == "RGB"
    assert one.tobytes() != other.tobytes()


def test_every_habitat_is_a_background():
    assert Counter(name for category in CATEGORIES for name in category.habitat).keys() <= BACKGROUNDS.keys()

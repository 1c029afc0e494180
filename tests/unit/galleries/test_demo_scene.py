from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image

from lookalike.galleries.demo.compose import MIN_VISIBLE, category_of, compose, draw_scene
from lookalike.galleries.demo.lighting import Lighting, light
from lookalike.galleries.demo.scene import Placement, Scene, SceneObject, Thing, plan_scene
from lookalike.galleries.demo.taxonomy import CATEGORIES

BY_NAME = {category.name: category for category in CATEGORIES}
DAYLIGHT = Lighting(1.0, 1.0, (1.0, 1.0, 1.0), 0.0, 0.0, 0.0, 0.0, 0, 90)


@pytest.fixture(scope="module")
def scenes():
    return [plan_scene(Random(f"test/{i}"), CATEGORIES[i % 30]) for i in range(300)]


def test_the_category_is_always_the_most_frequent(scenes):
    for i, scene in enumerate(scenes):
        (name, most), *rest = Counter(scene.counts()).most_common()
        assert name == CATEGORIES[i % 30].name
        assert all(count < most for _, count in rest)


def test_scenes_vary_in_everything(scenes):
    share = {
        "several": np.mean([len(scene.objects) > 1 for scene in scenes]),
        "others": np.mean([len(scene.counts()) > 1 for scene in scenes]),
        "clutter": np.mean([len(scene.clutter) > 0 for scene in scenes]),
        "occluded": np.mean([len(scene.occluders) > 0 for scene in scenes]),
        "blurred": np.mean([scene.lighting.blur_px > 0 for scene in scenes]),
        "noisy": np.mean([scene.lighting.noise > 0 for scene in scenes]),
        "mirrored": np.mean([scene.objects[0].placement.mirrored for scene in scenes]),
    }
    assert all(0.04 < value < 0.96 for value in share.values()), share
    assert len({scene.background for scene in scenes}) == 13
    assert {scene.size[0] > scene.size[1] for scene in scenes} == {True, False}


def test_a_scene_that_is_not_crowded_shows_one_object_and_hides_nothing():
    for i in range(60):
        scene = plan_scene(Random(i), CATEGORIES[i % 30], crowded=False)
        assert len(scene.objects) == 1
        assert scene.occluders == ()


def test_an_occluder_takes_pixels_from_the_object_it_hides():
    placement = Placement(160, 120, 90)
    bare = Scene((320, 240), "plain", (), (SceneObject(BY_NAME["orange"], placement),), (), 0.0, DAYLIGHT)
    _, (whole,) = draw_scene(Random(5), bare)
    _, (hidden,) = draw_scene(Random(5), replace(bare, occluders=(Thing("bars", placement),)))
    assert whole.share == 1.0
    assert hidden.share == pytest.approx(hidden.area / whole.area)
    assert 0.2 < hidden.share < 0.95


def test_an_object_outside_the_picture_is_not_listed():
    away = SceneObject(BY_NAME["cat"], Placement(-500, -500, 50))
    _, objects = draw_scene(Random(1), Scene((320, 240), "snow", (), (away,), (), 0.0, DAYLIGHT))
    assert objects == ()


def test_the_box_is_tight_around_what_is_visible():
    ball = SceneObject(BY_NAME["orange"], Placement(0, 120, 100))
    _, (seen,) = draw_scene(Random(3), Scene((320, 240), "plain", (), (ball,), (), 0.0, DAYLIGHT))
    left, top, width, height = seen.box
    assert left == 0  # cut by the left edge, in the middle of the object
    assert 80 <= width <= 90  # 0.85 of its half size
    assert 160 <= height <= 240
    assert top >= 0
    assert 0 < seen.area < width * height


def test_every_block_of_thirty_pictures_shows_each_category_in_another_order():
    blocks = [[category_of(7, 30 * block + i).name for i in range(30)] for block in range(3)]
    assert all(sorted(block) == sorted(BY_NAME) for block in blocks)
    assert blocks[0] != blocks[1] != blocks[2]


def test_some_objects_are_partly_hidden_but_all_can_be_made_out():
    shares = [seen.share for number in range(40) for seen in compose(11, number).objects]
    assert min(shares) >= MIN_VISIBLE
    assert sum(share < 0.98 for share in shares) >= 4


def test_light_multiplies_and_tints():
    grey = Image.new("RGB", (4, 4), (100, 100, 100))
    lit = light(grey, replace(DAYLIGHT, exposure=1.5, tint=(1.0, 0.8, 2.0)))
    assert lit.getpixel((1, 1)) == (150, 120, 255)
    assert light(grey, DAYLIGHT).getpixel((0, 0)) == (100, 100, 100)


def test_light_from_one_side_is_brighter_there():
    lit = light(Image.new("RGB", (11, 3), (100, 100, 100)), replace(DAYLIGHT, slope=0.4))
    assert [lit.getpixel((x, 1))[0] for x in (0, 5, 10)] == [80, 100, 120]

import json
import os
from collections import Counter

import pytest
from PIL import Image

from lookalike.errors import InvalidRequest
from lookalike.galleries.demo import generate
from lookalike.galleries.demo.taxonomy import CATEGORIES

SEED = 5


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("demo"), num_images=60, seed=SEED, workers=1)


@pytest.fixture(scope="module")
def document(gallery):
    return json.loads(gallery.annotations.read_text())


def files(gallery):
    return {path.name: path.read_bytes() for path in gallery.images.iterdir()}


def test_images_are_jpeg_files_of_the_size_that_the_annotations_say(gallery, document):
    assert gallery.num_images == 60
    assert sorted(files(gallery)) == [image["file_name"] for image in document["images"]]
    for image in document["images"]:
        with Image.open(gallery.images / image["file_name"]) as opened:
            opened.load()
            assert (opened.format, opened.mode, opened.size) == ("JPEG", "RGB", (image["width"], image["height"]))
    assert len(set(files(gallery).values())) == 60


def test_annotations_are_valid_coco(document):
    assert document.keys() == {"info", "licenses", "images", "annotations", "categories"}
    images = {image["id"]: image for image in document["images"]}
    categories = {category["id"]: category for category in document["categories"]}
    assert len(images) == 60
    assert len(categories) == 30
    ids = [annotation["id"] for annotation in document["annotations"]]
    assert len(set(ids)) == len(ids)
    for annotation in document["annotations"]:
        image = images[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= image["width"]
        assert 0 <= y < y + height <= image["height"]
        assert 0 < annotation["area"] <= width * height
        assert annotation["category_id"] in categories
        assert annotation["iscrowd"] == 0
    assert {annotation["image_id"] for annotation in document["annotations"]} == images.keys()
    expected = {one.category_id: (one.name, one.supercategory) for one in CATEGORIES}
    assert {key: (one["name"], one["supercategory"]) for key, one in categories.items()} == expected


def test_each_category_is_the_most_frequent_of_equally_many_images(document):
    objects: dict[int, Counter[int]] = {}
    for annotation in document["annotations"]:
        objects.setdefault(annotation["image_id"], Counter())[annotation["category_id"]] += 1
    labels = []
    for counts in objects.values():
        (label, most), *rest = counts.most_common()
        assert all(count < most for _, count in rest)
        labels.append(label)
    assert set(Counter(labels).values()) == {2}
    assert any(len(counts) > 1 for counts in objects.values())
    assert any(counts.total() > 1 for counts in objects.values())


def test_two_processes_draw_the_same_bytes_as_one(gallery, tmp_path):
    other = generate(tmp_path, num_images=60, seed=SEED, workers=2)
    assert files(other) == files(gallery)
    assert other.annotations.read_bytes() == gallery.annotations.read_bytes()


def test_an_image_does_not_depend_on_how_many_there_are(gallery, tmp_path):
    fewer = generate(tmp_path, num_images=30, seed=SEED)
    assert len(files(fewer)) == 30
    assert files(fewer).items() <= files(gallery).items()


def test_one_image_is_a_gallery(tmp_path):
    one = generate(tmp_path, num_images=1, seed=SEED)
    assert len(json.loads(one.annotations.read_text())["images"]) == 1


def test_seeds_differ(gallery, tmp_path):
    other = generate(tmp_path, num_images=6, seed=SEED + 1)
    assert not set(files(other).values()) & set(files(gallery).values())


def test_a_second_call_draws_nothing(tmp_path):
    calls: list[tuple[int, int]] = []
    first = generate(tmp_path, num_images=20, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(16, 20), (20, 20)]
    before = {path: path.stat().st_mtime_ns for path in first.images.iterdir()}
    assert generate(tmp_path, num_images=20, progress=lambda done, total: calls.append((done, total))) == first
    assert len(calls) == 2
    assert {path: path.stat().st_mtime_ns for path in first.images.iterdir()} == before


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_leaves_nothing(tmp_path, workers):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path, num_images=40, workers=workers, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_invisible_and_swept_later(tmp_path):
    recent, old = (tmp_path / f".demo-v1-seed2021-2-{name}" for name in ("recent", "old"))
    for folder in (recent, old):
        (folder / "images").mkdir(parents=True)
    os.utime(old, (0, 0))
    gallery = generate(tmp_path, num_images=2)
    assert len(files(gallery)) == 2
    assert recent.is_dir()
    assert not old.exists()


def test_another_process_that_was_faster_wins(tmp_path):
    rival = generate(tmp_path / "rival", num_images=2).images.parent
    marker = tmp_path / "mine" / rival.name / "marker"

    def finish_first(done, total):
        (rival / "marker").touch()
        rival.rename(marker.parent)

    gallery = generate(tmp_path / "mine", num_images=2, progress=finish_first)
    assert marker.exists()
    assert len(files(gallery)) == 2
    assert list((tmp_path / "mine").iterdir()) == [marker.parent]


@pytest.mark.parametrize("arguments", [{"num_images": 0}, {"num_images": 100_001}, {"workers": 0}])
def test_numbers_out_of_range_are_refused(tmp_path, arguments):
    with pytest.raises(InvalidRequest):
        generate(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()

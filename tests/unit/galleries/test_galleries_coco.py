"""COCO annotations as a gallery: the study's label rule, and files that are not as they should be."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import InvalidImage, InvalidSource
from lookalike.galleries.coco import STUDY, CocoSource
from lookalike.galleries.open import open_source
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import MAX_KEY_CHARS, Labels

CATEGORIES = [
    {"id": 17, "name": "cat", "supercategory": "animal"},
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 37, "name": "sports ball", "supercategory": "sports"},
    {"id": 53, "name": "apple", "supercategory": "food"},
    {"id": 1, "name": "person", "supercategory": "person"},
]


def document(objects: dict[str, list[Any]], **changes: Any) -> dict[str, Any]:
    """``objects`` by file name: a category id, or (category id, area), or a whole annotation."""
    images, annotations = [], []
    for number, (file, found) in enumerate(objects.items(), start=1):
        images.append({"id": number, "file_name": file, "width": 1, "height": 1})
        for entry in found:
            if isinstance(entry, dict):
                annotations.append({"image_id": number, **entry})
            else:
                category, area = entry if isinstance(entry, tuple) else (entry, 1.0)
                annotations.append({"image_id": number, "category_id": category, "area": area})
    return {"categories": CATEGORIES, "images": images, "annotations": annotations, **changes}


def items(tmp_path: Path, content: object, **options: Any) -> dict[str, SourceImage | SourceProblem]:
    """What a source of ``content`` yields, all files present that it names by a plain name."""
    path = tmp_path / "instances.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    root = tmp_path / "images"
    root.mkdir(exist_ok=True)
    source = CocoSource(path, root, **options)
    try:
        return {item.key: item for item in source.images()}
    finally:
        source.close()


def put(tmp_path: Path, *names: str) -> None:
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def labels_of(tmp_path: Path, objects: list[Any], **options: Any) -> Labels:
    put(tmp_path, "a.jpg")
    item = items(tmp_path, document({"a.jpg": objects}), **options)["a.jpg"]
    assert isinstance(item, SourceImage)
    return item.labels


def test_the_most_frequent_object_is_the_label_and_all_are_kept(tmp_path: Path) -> None:
    assert labels_of(tmp_path, [17, 18, 18, 37]) == Labels(
        subcategory="dog",
        supercategory="animal",
        subcategories=("cat", "dog", "sports ball"),
        supercategories=("animal", "sports"),
    )


def test_it_is_counted_by_subcategory_not_by_supercategory(tmp_path: Path) -> None:
    """Three animals of two kinds against two apples: the rule counts the objects of a subcategory."""
    assert labels_of(tmp_path, [17, 18, 53, 53]).subcategory == "apple"


def test_objects_outside_the_chosen_supercategories_do_not_count(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, [1, 1, 1, 37])
    assert (labels.subcategory, labels.subcategories) == ("sports ball", ("sports ball",))
    assert STUDY == ("animal", "sports", "food")
    assert labels_of(tmp_path, [1, 1, 1, 37], supercategories=None).subcategory == "person"
    assert labels_of(tmp_path, [17, 17, 53], supercategories=("food",)).subcategories == ("apple",)


def test_a_tie_goes_to_the_larger_area_then_to_the_smaller_id(tmp_path: Path) -> None:
    assert labels_of(tmp_path, [(17, 10.0), (18, 10.5)]).subcategory == "dog"
    assert labels_of(tmp_path, [(53, 6.0), (53, 6.0), (37, 1.0), (37, 10.0)]).subcategory == "apple"
    assert labels_of(tmp_path, [(53, 5.0), (37, 5.0)]).subcategory == "sports ball"
    assert labels_of(tmp_path, [(17, 1000.0), (18, 1.0), (18, 1.0)]).subcategory == "dog", "count before area"


def test_a_crowd_is_one_object_and_an_area_may_be_missing(tmp_path: Path) -> None:
    crowd = {"category_id": 17, "iscrowd": 1, "area": 90000.0, "segmentation": {"counts": [1, 2], "size": [1, 1]}}
    assert labels_of(tmp_path, [crowd, 18, 18]).subcategory == "dog"
    assert labels_of(tmp_path, [{"category_id": 17}, 18]).subcategory == "dog"


def test_photos_without_a_chosen_object_are_not_in_the_gallery(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    assert list(items(tmp_path, document({"a.jpg": [17], "b.jpg": [1], "c.jpg": []}))) == ["a.jpg"]


def test_annotations_of_unknown_images_and_categories_change_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    content = document({"a.jpg": [17, {"category_id": 999}, {"category_id": 999}]})
    content["annotations"] += [{"image_id": 77, "category_id": 18}, {"image_id": 78, "category_id": 17}]
    found = items(tmp_path, content)
    assert list(found) == ["a.jpg"]
    assert isinstance(found["a.jpg"], SourceImage)
    assert found["a.jpg"].labels.subcategories == ("cat",)
    assert found["a.jpg"].metadata == {"coco_id": 1}


def test_images_in_folders_and_those_that_are_missing(tmp_path: Path) -> None:
    put(tmp_path, "train/a.jpg")
    (tmp_path / "images" / "folder.jpg").mkdir()
    found = items(tmp_path, document({"train/a.jpg": [17], "gone.jpg": [17], "train/a.jpg/x": [17]}))
    assert isinstance(found["train/a.jpg"], SourceImage)
    assert {key: item.code for key, item in found.items() if isinstance(item, SourceProblem)} == {
        "gone.jpg": "missing_file",
        "train/a.jpg/x": "missing_file",
    }


def test_a_file_that_two_images_name_is_taken_once(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    content = document({"a.jpg": [17]})
    content["images"] += [{"id": 2, "file_name": "a.jpg"}, {"id": 3, "file_name": "a.jpg"}]
    content["annotations"] += [{"image_id": 2, "category_id": 18}, {"image_id": 3, "category_id": 18}]
    found = items(tmp_path, content)
    assert list(found) == ["a.jpg", "a.jpg#duplicate"]
    assert isinstance(found["a.jpg"], SourceImage)
    assert found["a.jpg"].labels.subcategory == "cat"
    assert isinstance(found["a.jpg#duplicate"], SourceProblem)


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("../secret.jpg", "unsafe_name"),
        ("a/../../secret.jpg", "unsafe_name"),
        ("/etc/passwd", "unsafe_name"),
        ("", "unsafe_name"),
        ("a\0.jpg", "unsafe_name"),
        ("x" * (MAX_KEY_CHARS + 1), "name_too_long"),
        ("x" * 300 + ".jpg", "missing_file"),
        ("\ud800.jpg", "missing_file"),
        ("link.jpg", "symlink_outside"),
        ("linked/secret.jpg", "symlink_outside"),
    ],
)
def test_a_name_that_leads_elsewhere_is_a_problem_and_stops_nothing(file: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    put(tmp_path, "good.jpg")
    (tmp_path / "images" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "images" / "linked").symlink_to(tmp_path)
    found = list(items(tmp_path, document({file: [17], "good.jpg": [17]})).values())
    assert [item.code for item in found if isinstance(item, SourceProblem)] == [code]
    assert [item.key for item in found if isinstance(item, SourceImage)] == ["good.jpg"]


def test_a_link_made_after_listing_is_not_followed_outside(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document({"a.jpg": [17]})))
    source = CocoSource(path, tmp_path / "images")
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    (tmp_path / "images" / "a.jpg").unlink()
    (tmp_path / "images" / "a.jpg").symlink_to(path)
    with pytest.raises(InvalidImage):
        source.read(image)
    source.close()


GOOD = document({"a.jpg": [17, 18], "b.jpg": [18]})


@pytest.mark.parametrize("tenths", range(10))
def test_a_file_that_is_cut_off_is_refused_as_a_whole(tenths: int, tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    text = json.dumps(GOOD)
    with pytest.raises(InvalidSource):
        items(tmp_path, text[: len(text) * tenths // 10])


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        "[]",
        "{}",
        "null",
        "\ufeff{",
        "{'categories': []}",
        json.dumps({"categories": CATEGORIES}),
        json.dumps({"categories": CATEGORIES, "images": [], "annotations": []}),
        json.dumps({**GOOD, "categories": {"17": "cat"}}),
        json.dumps({**GOOD, "categories": ["cat"]}),
        json.dumps({**GOOD, "categories": [{"id": 17, "name": "cat"}]}),
        json.dumps({**GOOD, "categories": CATEGORIES * 2}),
        json.dumps({**GOOD, "images": [{"id": "one", "file_name": "a.jpg"}]}),
        json.dumps({**GOOD, "images": [{"id": 1}]}),
        json.dumps({**GOOD, "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]}),
        json.dumps({**GOOD, "images": [{"id": 10**30, "file_name": "a.jpg"}]}),
        json.dumps({**GOOD, "images": [None]}),
        json.dumps({**GOOD, "annotations": [{"image_id": 1}]}),
        json.dumps({**GOOD, "annotations": [{"image_id": None, "category_id": 17}]}),
        json.dumps({**GOOD, "annotations": [{"image_id": 1, "category_id": 17, "area": "large"}]}),
        json.dumps({**GOOD, "annotations": [{"image_id": 1, "category_id": 10**40}]}),
        json.dumps(GOOD).replace("17", "1e999", 1),
        json.dumps({**GOOD, "categories": [{"id": 1, "name": "car", "supercategory": "vehicle"}]}),
        "[" * 2_000,
    ],
)
def test_what_is_no_coco_file_is_refused_and_named(content: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match=r"instances\.json"):
        items(tmp_path, content)


def test_bytes_that_are_no_text_and_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(b"\xff\xfe\x00" * 50)
    (tmp_path / "images").mkdir()
    with pytest.raises(InvalidSource):
        CocoSource(path, tmp_path / "images")
    path.write_text(json.dumps(GOOD))
    with pytest.raises(InvalidSource, match="image folder"):
        CocoSource(path, tmp_path / "nothing")
    with pytest.raises(InvalidSource):
        CocoSource(tmp_path / "nothing.json", tmp_path / "images")


@pytest.mark.parametrize(
    ("annotations", "images"),
    [
        ("instances.json", "images"),
        ("annotations/instances_train2014.json", "train2014"),
        ("annotations/instances_train2014.json", "images"),
        ("annotations/instances_val2014.json", "annotations/val2014"),
    ],
)
def test_the_images_are_found_beside_the_annotations_as_coco_lays_them_out(
    annotations: str, images: str, tmp_path: Path
) -> None:
    path = tmp_path / annotations
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document({"a.jpg": [17]})))
    (tmp_path / images).mkdir(parents=True)
    (tmp_path / images / "a.jpg").write_bytes(b"x")
    source = open_source(str(path), images_root=None, fetcher=lambda url: b"")
    assert [item.key for item in source.images() if isinstance(item, SourceImage)] == ["a.jpg"]
    source.close()


def test_without_images_beside_it_the_folder_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(json.dumps(GOOD))
    with pytest.raises(InvalidSource, match="name their folder"):
        open_source(str(tmp_path / "c.json"), images_root=None, fetcher=lambda url: b"")


def test_agreement_with_a_plain_count_on_cocos_own_annotations(shared_data: Path) -> None:
    """The rule once more, in memory and in a few lines, over real annotations: every label must agree."""
    data = shared_data / "data" / "coco-asf"
    content = json.loads((data / "annotations" / "instances.json").read_text())
    categories = {entry["id"]: entry for entry in content["categories"]}
    expected = {}
    for image in content["images"]:
        objects = [entry for entry in content["annotations"] if entry["image_id"] == image["id"]]
        objects = [entry for entry in objects if categories[entry["category_id"]]["supercategory"] in STUDY]
        counts = Counter(entry["category_id"] for entry in objects)
        areas: Counter[int] = Counter()
        for entry in objects:
            areas[entry["category_id"]] += entry["area"]
        if counts:
            best = min(counts, key=lambda number: (-counts[number], -areas[number], number))
            names = tuple(sorted(categories[number]["name"] for number in counts))
            expected[image["file_name"]] = (categories[best]["name"], categories[best]["supercategory"], names)
    source = CocoSource(data / "annotations" / "instances.json", data / "images")
    found = {
        item.key: (item.labels.subcategory, item.labels.supercategory, item.labels.subcategories)
        for item in source.images()
        if isinstance(item, SourceImage)
    }
    source.close()
    assert len(expected) > 300
    assert found == expected


_MEASURE = """
import sys
from pathlib import Path
from lookalike.galleries.coco import CocoSource

def peak_kib():
    # Not getrusage: across a fork that counts the parent's memory too.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

def load(path):
    source = CocoSource(Path(path), Path(sys.argv[1]))
    count = sum(1 for _ in source.images())
    source.close()
    return count

load(sys.argv[2])
before = peak_kib()
print(load(sys.argv[3]), peak_kib() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_a_large_annotation_file_does_not_sit_in_memory(tmp_path: Path) -> None:
    """40 MB of annotations (60,000 objects on 20,000 images): the peak grows by a fraction of the file."""
    (tmp_path / "images").mkdir()
    outline = json.dumps([[round(number * 1.25, 2) for number in range(90)]])

    def written(name: str, num_images: int) -> Path:
        path = tmp_path / name
        with path.open("w") as file:
            images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in range(num_images)]
            file.write(json.dumps({"images": images, "categories": CATEGORIES})[:-1] + ', "annotations": [')
            for number in range(num_images * 3):
                head = f'{{"id": {number}, "image_id": {number // 3}, "category_id": 17, "area": 1.5, "segmentation": '
                file.write(("," if number else "") + head + outline + "}")
            file.write("]}")
        return path

    small, large = written("small.json", 100), written("large.json", 20_000)
    assert large.stat().st_size > 40_000_000
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path / "images"), str(small), str(large)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    count, grown_kib = map(int, done.stdout.split())
    assert count == 20_000
    assert grown_kib < 12 * 1024, f"{grown_kib} KiB"
    print(f"{large.stat().st_size} bytes of annotations: {grown_kib} KiB more")  # noqa: T201 -- with -s, for reports

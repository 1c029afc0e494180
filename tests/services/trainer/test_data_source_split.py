"""Where a source says which side an image is on, and where it only seems to."""

import pytest

from lookalike.galleries.port import SourceImage
from lookalike.types.images import Labels, MetadataValue
from services.trainer.data.source_split import labels_of, split_of


def said(key: str = "x.jpg", metadata: dict[str, MetadataValue] | None = None, description: str = "table t.csv") -> str:
    return split_of(SourceImage(key, key, Labels(), metadata or {}), description)


@pytest.mark.parametrize(
    ("value", "side"),
    [("train", "train"), ("Val", "val"), ("validation", "val"), ("test", "val"), ("val2017", "val"), ("fold3", "")],
)
@pytest.mark.parametrize("column", ["split", "split2017"])
def test_a_column_of_the_table(column: str, value: str, side: str) -> None:
    assert said(metadata={column: value}) == side
    assert said(metadata={"source": value}) == ""


def test_the_column_overrules_names() -> None:
    assert said("train/cat/x.jpg", {"split": "val"}) == "val"


@pytest.mark.parametrize(
    ("key", "side"),
    [
        ("train/cat/x.jpg", "train"),
        ("val/animal/cat/x.jpg", "val"),
        ("test/cat/x.jpg", "val"),
        ("train2017/000000000009.jpg", "train"),
        ("val2014/COCO_val2014_000000000042.jpg", "val"),
        ("COCO_train2014_000000000009.jpg", "train"),
        ("COCO_val2014_000000000042.jpg", "val"),
        ("train/x.jpg", ""),  # a photograph of a train
        ("vehicle/train/x.jpg", ""),
        ("trainers/nike/x.jpg", ""),
        ("train.jpg", ""),
        ("000000000009.jpg", ""),
    ],
)
def test_the_key(key: str, side: str) -> None:
    assert said(key) == side


@pytest.mark.parametrize(
    ("description", "side"),
    [
        ("COCO annotations data/annotations/instances_train2014.json", "train"),
        ("COCO annotations instances_val2017.json", "val"),
        ("COCO annotations training_set/instances.json", ""),
        ("folder pictures_train", ""),
    ],
)
def test_the_annotation_files_name(description: str, side: str) -> None:
    assert said(description=description) == side


def test_a_readers_supercategory_is_not_the_sides_name() -> None:
    def labels(key: str, given: Labels) -> Labels:
        return labels_of(SourceImage(key, key, given))

    assert labels("train/cat/x.jpg", Labels.single("cat", "train")) == Labels.single("cat")
    assert labels("val/animal/cat/x.jpg", Labels.single("animal", "val")) == Labels.single("cat", "animal")
    of_annotations = Labels.single("dog", "animal")
    assert labels("train2017/x.jpg", of_annotations) == of_annotations
    assert labels("vehicle/train/x.jpg", Labels.single("train", "vehicle")) == Labels.single("train", "vehicle")

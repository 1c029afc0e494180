"""COCO's two annotation files as one source with COCO's own split."""

import json
from pathlib import Path

import pytest
from PIL import Image

from lookalike.errors import InvalidSource
from lookalike.galleries.port import SourceImage
from lookalike.types.images import Labels
from lookalike.types.models import ResizePolicy
from services.trainer.data.labelled import load_labelled
from services.trainer.data.paired import open_training_source
from services.trainer.data.split import split


def annotate(path: Path, names: list[str]) -> None:
    path.parent.mkdir(exist_ok=True)
    document = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "area": 1} for number in range(len(names))
        ],
    }
    path.write_text(json.dumps(document))


def draw(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (grey,) * 3).save(path)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO's layout, with one name on both sides and one file missing."""
    annotate(tmp_path / "annotations" / "instances_train2017.json", ["1.png", "2.png", "gone.png"])
    annotate(tmp_path / "annotations" / "instances_val2017.json", ["1.png"])
    for key, grey in (("train2017/1.png", 10), ("train2017/2.png", 20), ("val2017/1.png", 30)):
        draw(tmp_path / key, grey)
    return tmp_path


@pytest.mark.parametrize("has_root", [False, True])
def test_both_files_are_loaded_with_their_sides(coco: Path, tmp_path: Path, has_root: bool) -> None:
    source = open_training_source(
        str(coco / "annotations" / "instances_train2017.json"),
        images_root=coco if has_root else None,
        fetcher=lambda url: b"",
    )
    try:
        images = load_labelled(source, side=8, policy=ResizePolicy.SQUASH, cache=tmp_path / "cache")
    finally:
        source.close()
    assert images.keys == ("train/1.png", "train/2.png", "val/1.png")
    assert images.images_NSSC[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert images.labels == (Labels.single("cat", "animal"),) * 3
    assert [(failure.key, failure.code) for failure in images.failures] == [("train/gone.png", "missing_file")]
    train, val = split(images, val_share=0.5, seed=0)
    assert (train.tolist(), val.tolist()) == ([0, 1], [2])


def test_all_images_in_one_folder(coco: Path) -> None:
    (coco / "flat").mkdir()
    for name in ("1.png", "2.png"):
        draw(coco / "flat" / name, 0)
    annotation = coco / "annotations" / "instances_train2017.json"
    source = open_training_source(str(annotation), images_root=coco / "flat", fetcher=lambda url: b"")
    keys = [item.key for item in source.images() if isinstance(item, SourceImage)]
    source.close()
    assert keys == ["train/1.png", "train/2.png", "val/1.png"]


def test_any_other_source_is_opened_as_ever(coco: Path) -> None:
    for text, keys in (
        (coco / "annotations" / "instances_val2017.json", ["1.png"]),
        (coco / "train2017", ["1.png", "2.png"]),
    ):
        source = open_training_source(str(text), images_root=None, fetcher=lambda url: b"")
        assert [item.key for item in source.images()] == keys
        source.close()
    (coco / "annotations" / "instances_val2017.json").unlink()
    alone = open_training_source(
        str(coco / "annotations" / "instances_train2017.json"), images_root=None, fetcher=lambda url: b""
    )
    assert [item.key for item in alone.images()] == ["1.png", "2.png", "gone.png"]
    alone.close()


def test_a_second_file_that_cannot_be_read_closes_the_first(coco: Path) -> None:
    """A source that is not closed leaves a warning, which is an error here."""
    (coco / "annotations" / "instances_val2017.json").write_text("{}")
    with pytest.raises(InvalidSource, match="val2017"):
        open_training_source(
            str(coco / "annotations" / "instances_train2017.json"), images_root=None, fetcher=lambda url: b""
        )

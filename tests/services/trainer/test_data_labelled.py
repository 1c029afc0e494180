"""Labelled images in memory: what is loaded, what is left out, and that nothing is decoded twice."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.errors import DamagedArtifact, DependencyUnavailable, InvalidRequest, InvalidSource
from lookalike.galleries.open import open_source
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.types.images import Labels
from lookalike.types.models import ResizePolicy
from services.trainer.data.labelled import LabelledImages, load_labelled, require_labels

SIDE = 32


def drawn(seed: int, width: int = 60, height: int = 40) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of four, one image without a class, one cut off."""
    root = tmp_path / "photographs"
    for number in range(8):
        below = root / ("cat" if number % 2 else "dog")
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number}.jpg").write_bytes(drawn(number, 60 - number))
    (root / "nobody.jpg").write_bytes(drawn(90))
    (root / "cat" / "broken.jpg").write_bytes(drawn(91)[:-300])
    return root


class Counting:
    """A source that counts what is read of it, and may lack stamps."""

    def __init__(self, source: GallerySource, *, has_stamps: bool = True) -> None:
        self._source, self._has_stamps, self.num_reads = source, has_stamps, 0

    @property
    def description(self) -> str:
        return self._source.description

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for item in self._source.images():
            if self._has_stamps or isinstance(item, SourceProblem):
                yield item
            else:
                yield SourceImage(item.key, item.locator, item.labels, item.metadata)

    def read(self, image: SourceImage) -> bytes:
        self.num_reads += 1
        return self._source.read(image)

    def close(self) -> None:
        self._source.close()


def opened(path: Path, **options: bool) -> Counting:
    return Counting(open_source(str(path), images_root=None, fetcher=lambda url: b""), **options)


def load(source: GallerySource | Path, cache: Path, **options: object) -> LabelledImages:
    source = opened(source) if isinstance(source, Path) else source
    values = {"side": SIDE, "policy": ResizePolicy.LETTERBOX} | options
    try:
        return load_labelled(source, cache=cache, **values)  # type: ignore[arg-type]
    finally:
        source.close()


@pytest.mark.parametrize("policy", list(ResizePolicy))
def test_pixels_are_those_that_embedding_sees(folder: Path, tmp_path: Path, policy: ResizePolicy) -> None:
    images = load(folder, tmp_path / "cache", policy=policy)
    assert images.images_NSSC.shape == (8, SIDE, SIDE, 3)
    assert images.images_NSSC.dtype == np.uint8
    for key, pixels in zip(images.keys, images.images_NSSC, strict=True):
        expected = prepare((folder / key).read_bytes(), size=SIDE, policy=policy, limits=ImageLimits())
        np.testing.assert_array_equal(pixels, expected)


def test_labels_failures_and_what_is_left_out(folder: Path, tmp_path: Path) -> None:
    images = load(folder, tmp_path / "cache")
    assert images.keys == tuple(sorted(images.keys))
    assert images.names == ("cat", "dog")
    assert [images.names[code] for code in images.codes_N] == [key.split("/")[0] for key in images.keys]
    assert images.labels[0] == Labels.single("cat")
    assert images.codes_N.dtype == np.int64
    assert images.num_unlabelled == 1
    assert [(failure.key, failure.code) for failure in images.failures] == [("cat/broken.jpg", "invalid_image")]
    assert images.failures[0].reason
    assert set(images.split_N) == {""}
    require_labels(images)


def test_unlabelled_images_are_kept_when_asked(folder: Path, tmp_path: Path) -> None:
    images = load(folder, tmp_path / "cache", keep_unlabelled=True)
    assert images.num_images == 9
    assert images.codes_N[images.keys.index("nobody.jpg")] == -1
    assert images.num_unlabelled == 0
    with pytest.raises(InvalidRequest, match="1 of 9 images have none"):
        require_labels(images)


def test_a_second_load_reads_and_decodes_nothing(folder: Path, tmp_path: Path) -> None:
    first = load(folder, tmp_path / "cache")
    source = opened(folder)
    second = load(source, tmp_path / "cache")
    assert source.num_reads == 0
    assert second.digest == first.digest
    assert second.failures == first.failures
    np.testing.assert_array_equal(second.images_NSSC, first.images_NSSC)
    assert isinstance(second.images_NSSC, np.memmap)
    assert not second.images_NSSC.flags.writeable


def test_a_changed_file_is_decoded_again(folder: Path, tmp_path: Path) -> None:
    first = load(folder, tmp_path / "cache")
    (folder / first.keys[0]).write_bytes(drawn(50, 61))
    second = load(folder, tmp_path / "cache")
    assert second.keys == first.keys
    assert not np.array_equal(second.images_NSSC[0], first.images_NSSC[0])
    assert second.digest != first.digest


def test_without_stamps_the_bytes_decide(folder: Path, tmp_path: Path) -> None:
    first = load(opened(folder, has_stamps=False), tmp_path / "cache")
    made = sorted((tmp_path / "cache").iterdir())
    assert load(opened(folder, has_stamps=False), tmp_path / "cache").digest == first.digest
    assert sorted((tmp_path / "cache").iterdir()) == made
    path = folder / first.keys[0]
    status = path.stat()
    path.write_bytes(drawn(50, 61))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(opened(folder, has_stamps=False), tmp_path / "cache").digest != first.digest


def test_another_size_or_policy_is_another_entry_of_the_same_data(folder: Path, tmp_path: Path) -> None:
    loaded = [
        load(folder, tmp_path / "cache", side=side, policy=policy)
        for side, policy in ((32, ResizePolicy.LETTERBOX), (16, ResizePolicy.LETTERBOX), (32, ResizePolicy.SQUASH))
    ]
    assert [images.images_NSSC.shape[1] for images in loaded] == [32, 16, 32]
    assert not np.array_equal(loaded[0].images_NSSC, loaded[2].images_NSSC)
    assert len({images.digest for images in loaded}) == 1


def test_the_digest_is_of_keys_bytes_and_labels(folder: Path, tmp_path: Path) -> None:
    digest = load(folder, tmp_path / "cache").digest
    table = tmp_path / "labels.csv"

    def of_table(label: str) -> str:
        rows = [f"{key},{label}\n" for key in ("cat/1.jpg", "dog/0.jpg")]
        table.write_text("file,label\n" + "".join(rows))
        source = open_source(str(table), images_root=folder, fetcher=lambda url: b"")
        return load(source, tmp_path / "cache").digest

    assert len({digest, of_table("x"), of_table("y")}) == 3
    assert of_table("x") == of_table("x")
    moved = tmp_path / "moved"
    folder.rename(moved)
    assert load(moved, tmp_path / "cache").digest == digest


def test_a_load_that_is_stopped_leaves_nothing_that_looks_whole(folder: Path, tmp_path: Path) -> None:
    class Failing(Counting):
        def read(self, image: SourceImage) -> bytes:
            if image.key == "dog/4.jpg":
                raise DependencyUnavailable("the disk is away")
            return super().read(image)

    with pytest.raises(DependencyUnavailable):
        load(Failing(open_source(str(folder), images_root=None, fetcher=lambda url: b"")), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert load(folder, tmp_path / "cache").num_images == 8


def test_leftovers_of_a_killed_process_are_never_taken(folder: Path, tmp_path: Path) -> None:
    whole = load(folder, tmp_path / "whole")
    (name,) = (path.name for path in (tmp_path / "whole").iterdir())
    partial = tmp_path / "cache" / ".partial-killed"
    partial.mkdir(parents=True)
    (partial / "pixels.npy").write_bytes((tmp_path / "whole" / name / "pixels.npy").read_bytes()[:-1000])
    np.testing.assert_array_equal(load(folder, tmp_path / "cache").images_NSSC, whole.images_NSSC)
    assert not partial.exists()


@pytest.mark.parametrize("file", ["pixels.npy", "images.json"])
def test_a_spoiled_cache_is_named(folder: Path, tmp_path: Path, file: str) -> None:
    load(folder, tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    (entry / file).write_bytes((entry / file).read_bytes()[:-200])
    with pytest.raises(DamagedArtifact, match=entry.name):
        load(folder, tmp_path / "cache")


def test_a_subset_keeps_the_proportions_and_grows(tmp_path: Path) -> None:
    root = tmp_path / "many"
    for name, number in (("a", 12), ("b", 6), ("c", 2)):
        (root / name).mkdir(parents=True)
        for i in range(number):
            (root / name / f"{i}.jpg").write_bytes(drawn(i, 8, 8))
    loaded = {num: load(root, tmp_path / "cache", max_images=num, side=8) for num in (5, 10, 50)}
    assert np.bincount(loaded[10].codes_N).tolist() == [6, 3, 1]
    assert set(loaded[5].keys) < set(loaded[10].keys) < set(loaded[50].keys)
    assert loaded[50].num_images == 20
    assert load(root, tmp_path / "cache", max_images=10, side=8).keys == loaded[10].keys
    assert load(root, tmp_path / "cache", max_images=10, side=8, seed=1).keys != loaded[10].keys
    with pytest.raises(InvalidRequest, match="max_images"):
        load(root, tmp_path / "cache", max_images=0)


def test_a_source_without_labels_says_so(tmp_path: Path) -> None:
    root = tmp_path / "flat"
    root.mkdir()
    (root / "x.jpg").write_bytes(drawn(0))
    with pytest.raises(InvalidRequest, match="no labels"):
        load(root, tmp_path / "cache")
    with pytest.raises(InvalidRequest, match="no image of the data has one"):
        require_labels(load(root, tmp_path / "cache", keep_unlabelled=True))


def test_one_class_is_too_few_for_what_needs_labels(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "dog").iterdir():
        path.unlink()
    with pytest.raises(InvalidRequest, match="all images are 'cat'"):
        require_labels(load(folder, tmp_path / "cache"))


def test_nothing_readable_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    root = tmp_path / "broken"
    (root / "cat").mkdir(parents=True)
    with pytest.raises(InvalidSource, match="no image"):
        load(root, tmp_path / "cache")
    (root / "cat" / "x.jpg").write_bytes(drawn(0)[:-300])
    for _ in range(2):  # made, and from the cache
        with pytest.raises(InvalidSource, match=r"cat/x\.jpg"):
            load(root, tmp_path / "cache")


def test_coco_annotations_and_a_file_that_is_missing(folder: Path, tmp_path: Path) -> None:
    names = ["dog/0.jpg", "cat/1.jpg", "gone.jpg"]
    document = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}],
        "annotations": [{"id": number, "image_id": number, "category_id": 1, "area": 1} for number in range(3)],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    images = load(open_source(str(path), images_root=folder, fetcher=lambda url: b""), tmp_path / "cache")
    assert images.keys == ("cat/1.jpg", "dog/0.jpg")
    assert images.labels == (Labels.single("cat", "animal"),) * 2
    assert [(failure.key, failure.code) for failure in images.failures] == [("gone.jpg", "missing_file")]


def test_the_split_of_a_table_comes_with_it(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("file,label,split2017\ncat/1.jpg,cat,val\ndog/0.jpg,dog,train\ndog/2.jpg,dog,\n")
    images = load(open_source(str(table), images_root=folder, fetcher=lambda url: b""), tmp_path / "cache")
    assert images.split_N.tolist() == ["val", "train", ""]


def test_a_folder_per_side_is_a_split_and_no_label(tmp_path: Path) -> None:
    root = tmp_path / "sides"
    for key in ("train/cat/0.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/animal/dog/3.jpg"):
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(drawn(0))
    images = load(root, tmp_path / "cache")
    assert images.split_N.tolist() == ["train", "train", "val", "val"]
    single = Labels.single
    assert images.labels == (single("cat"), single("dog"), single("dog", "animal"), single("cat"))
    assert images.names == ("cat", "dog")


@pytest.mark.shared_data
def test_real_photographs_bring_their_labels_and_their_split(shared_data: Path, tmp_path: Path) -> None:
    images = load(shared_data / "data" / "coco-asf" / "labels.csv", tmp_path / "cache", max_images=60)
    assert images.num_images == 60
    assert not images.failures
    assert images.num_unlabelled == 1589 - 1395
    assert {"animal", "food", "sports"} == {labels.supercategory for labels in images.labels}
    assert set(images.split_N) == {"train", "val"}

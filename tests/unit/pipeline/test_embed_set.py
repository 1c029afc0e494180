"""What an embedding run embeds, uses again, leaves out and remembers."""

import re

import numpy as np
import pytest
from small_gallery import GALLERY, PART_IMAGES, BlockEmbedder, SmallGallery, picture

from lookalike.catalog import documents, keys
from lookalike.errors import DamagedArtifact, DependencyUnavailable
from lookalike.types.ids import image_id

DIGEST = BlockEmbedder().manifest.embedding_digest


@pytest.fixture
def gallery(tmp_path):
    made = SmallGallery(tmp_path)
    made.put(*range(20))
    return made


def embedded_by(gallery: SmallGallery, **options: bool) -> int:
    """How many images one more run gives to the embedder."""
    embedder = BlockEmbedder()
    gallery.embed(embedder, **options)
    return embedder.num_embedded


def test_a_set_has_each_images_own_embedding(gallery):
    report = gallery.embed(BlockEmbedder())
    assert (report.embedded, report.reused, report.failed) == (20, 0, 0)
    found = gallery.by_item()
    for number in (0, 7, 19):
        (row,) = [
            np.frombuffer(row, np.float32)
            for item, row in found.items()
            if item[:16].hex() == image_id(GALLERY, f"{number:05}").replace("-", "")
        ]
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        assert row == pytest.approx(BlockEmbedder().embed(pixels[np.newaxis])[0], abs=1e-6)


def test_an_unchanged_gallery_embeds_nothing_and_keeps_its_set(gallery):
    first = gallery.embed(BlockEmbedder())
    assert embedded_by(gallery) == 0
    assert gallery.newest().set_id == first.set_id


def test_a_changed_gallery_embeds_only_what_changed(gallery):
    gallery.embed(BlockEmbedder())
    before = gallery.by_item()
    gallery.take(3, 4)
    gallery.put(100, prefix="0")  # before all others
    assert embedded_by(gallery) == 1
    after = gallery.by_item()
    assert len(after) == 20 - 2 + 1
    assert {item: row for item, row in after.items() if item in before} == {
        item: row for item, row in before.items() if item in after
    }


def test_other_bytes_under_a_key_are_another_item(gallery):
    gallery.embed(BlockEmbedder())
    version = gallery.galleries.version(GALLERY)
    known = gallery.galleries.find(version, "00005")
    gallery.put_bytes("00005", picture(500))
    assert embedded_by(gallery) == 1
    items = [item[16:].hex() for item in gallery.by_item()]
    assert known is not None
    assert known.sha256 not in items
    assert len(items) == 20


def test_an_image_that_comes_back_is_not_embedded_again(gallery):
    gallery.embed(BlockEmbedder())
    whole = gallery.by_item()
    gallery.take(*range(PART_IMAGES))  # a whole part, which the set then no longer names
    assert embedded_by(gallery) == 0
    assert len(gallery.by_item()) == 20 - PART_IMAGES
    gallery.put(*range(PART_IMAGES))
    assert embedded_by(gallery) == 0
    assert gallery.by_item() == whole


def test_a_run_that_ends_with_an_error_of_the_embedder_keeps_its_parts(gallery):
    calls = []

    def seen(number: int) -> None:
        calls.append(number)
        if len(calls) == 5:
            raise DependencyUnavailable("the embedder is down")

    with pytest.raises(DependencyUnavailable):
        gallery.embed(BlockEmbedder(seen=seen))
    assert gallery.sets.newest(GALLERY, DIGEST) is None
    assert embedded_by(gallery) == 20 - PART_IMAGES
    assert len(gallery.by_item()) == 20


def test_what_cannot_be_decoded_is_remembered_and_tried_again_when_asked(gallery):
    gallery.put_bytes("bad", b"\x89PNG\r\n\x1a\n no picture")
    report = gallery.embed(BlockEmbedder())
    assert (report.embedded, report.failed) == (20, 1)
    (failure,) = gallery.ledger.all(GALLERY)
    assert (failure.key, failure.attempts) == ("bad", 1)
    assert failure.code in ("invalid_image", "unsupported_image")
    gallery.embed(BlockEmbedder())
    assert gallery.ledger.all(GALLERY) == [failure]
    gallery.embed(BlockEmbedder(), retry_failed=True)
    gallery.embed(BlockEmbedder(), retry_failed=True)
    assert gallery.ledger.all(GALLERY)[0].attempts == 3
    gallery.put_bytes("bad", picture(900))
    assert embedded_by(gallery) == 1
    assert gallery.ledger.all(GALLERY) == []


def test_a_retry_that_succeeds_leaves_the_ledger(gallery):
    data = picture(901)
    gallery.put_bytes("late", data)
    (path,) = [
        found for found in gallery.store.list(f"galleries/{GALLERY}/images/") if gallery.store.get(found.key) == data
    ]
    gallery.store.put(path.key, b"\x89PNG damaged")
    assert gallery.embed(BlockEmbedder()).failed == 1
    gallery.store.put(path.key, data)
    assert embedded_by(gallery) == 0
    assert embedded_by(gallery, retry_failed=True) == 1
    assert gallery.ledger.all(GALLERY) == []
    assert len(gallery.by_item()) == 21


@pytest.mark.parametrize("name", ["embeddings", "items"])
def test_damaged_bytes_are_named_and_mended_by_removing_the_part(gallery, tmp_path, name):
    gallery.embed(BlockEmbedder())
    whole = gallery.by_item()
    part = gallery.newest().parts[0].part_id
    (path,) = [found for found in (tmp_path / "store").rglob(f"{name}-*.npy") if found.parent.name == part]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedArtifact, match=re.escape(f"{part}/{path.name}")):
        gallery.sets.read_part(GALLERY, DIGEST, part)
    if name == "items":
        with pytest.raises(DamagedArtifact, match=re.escape(f"{part}/{path.name}")):
            gallery.embed(BlockEmbedder())
    path.with_name("part.json").unlink()
    assert embedded_by(gallery) == PART_IMAGES
    gallery.sets.read_part(GALLERY, DIGEST, part)
    assert gallery.by_item() == whole


def test_parts_say_what_made_them_and_the_sets_name_does_not(tmp_path):
    """Workers of different hardware fill one set: the name of the set is the same whoever made its parts."""
    ids = []
    for precision in ("float32", "bfloat16"):
        made = SmallGallery(tmp_path / precision)
        made.put(*range(20))
        ids.append(made.embed(BlockEmbedder(precision=precision, batch_size=5)).set_id)
        for manifest in made.sets.lineage(made.newest()):
            (runtime,) = manifest.made_with
            assert (runtime.precision, runtime.device, runtime.batch_size) == (precision, "cpu", 5)
            assert {"pillow", "simplejpeg"} <= runtime.libraries.keys()
            assert manifest.made_at is not None
    assert ids[0] == ids[1]


def test_of_two_that_finish_one_part_the_first_counts_and_nothing_is_damaged(gallery):
    """Other hardware, other bits: the second writer must not put its bytes under the first one's digest."""
    gallery.embed(BlockEmbedder())
    part = gallery.newest().parts[0].part_id
    first = gallery.sets.read_part(GALLERY, DIGEST, part)
    second = type(first)(np.nextafter(first.embeddings_ND, np.float32(2)), first.items_N48)
    known = gallery.sets.part_manifest(GALLERY, DIGEST, part)
    assert gallery.sets.write_part(GALLERY, DIGEST, part, second) == known
    assert np.array_equal(gallery.sets.read_part(GALLERY, DIGEST, part).embeddings_ND, first.embeddings_ND)


def test_parts_from_before_lineage_are_read(gallery):
    """Manifests without made_with and without names of files, as they were written at first."""
    gallery.embed(BlockEmbedder())
    whole = gallery.by_item()
    for part in gallery.newest().parts:
        folder = keys.embedding_part(GALLERY, DIGEST, part.part_id)
        manifest = gallery.sets.part_manifest(GALLERY, DIGEST, part.part_id)
        assert manifest is not None
        for name in ("embeddings", "items"):
            file = getattr(manifest, f"{name}_file")
            gallery.store.put(f"{folder}{name}.npy", gallery.store.get(f"{folder}{file}"))
            gallery.store.delete(f"{folder}{file}")
        old = manifest.model_dump(mode="json", exclude={"embeddings_file", "items_file", "made_with", "made_at"})
        gallery.store.put(f"{folder}part.json", documents.encode(type(manifest).model_validate(old)))
    gallery.artifacts = type(gallery.artifacts)(gallery.artifacts.file("other"), gallery.store, gallery.sets)
    assert gallery.by_item() == whole
    assert embedded_by(gallery) == 0
    assert all(manifest.made_with == () for manifest in gallery.sets.lineage(gallery.newest()))

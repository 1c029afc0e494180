"""Compaction moves embeddings and changes none."""

import pytest
from small_gallery import GALLERY, PART_IMAGES, BlockEmbedder, SmallGallery

from lookalike.errors import PreconditionFailed
from lookalike.pipeline.compact import compact


@pytest.fixture
def gallery(tmp_path):
    """Parts of many sizes, some with rows that no longer belong to the set, made with two precisions."""
    made = SmallGallery(tmp_path)
    made.put(*range(20))
    made.embed(BlockEmbedder(precision="float32"))
    for start in range(20, 32, 3):
        made.put(*range(start, start + 3))
        made.embed(BlockEmbedder(precision="bfloat16"))
    made.take(1, 5, 21, 25)
    made.embed(BlockEmbedder())
    return made


def test_not_a_bit_of_an_embedding_changes(gallery):
    before, num_parts = gallery.by_item(), len(gallery.newest().parts)
    compacted = compact(gallery.sets, gallery.newest(), part_images=PART_IMAGES)
    assert gallery.newest() == compacted
    assert gallery.by_item() == before
    assert len(compacted.parts) < num_parts
    assert all(not part.excluded_rows for part in compacted.parts)
    assert [part.num_rows for part in compacted.parts[:-1]] == [PART_IMAGES] * (len(compacted.parts) - 1)


def test_joined_parts_say_everything_that_made_them(gallery):
    compacted = compact(gallery.sets, gallery.newest(), part_images=PART_IMAGES)
    made = [{runtime.precision for runtime in one.made_with} for one in gallery.sets.lineage(compacted)]
    assert set().union(*made) == {"float32", "bfloat16"}
    assert {"float32", "bfloat16"} in made
    assert {"float32"} in made


def test_a_second_time_there_is_nothing_to_do(gallery):
    once = compact(gallery.sets, gallery.newest(), part_images=PART_IMAGES)
    assert compact(gallery.sets, once, part_images=PART_IMAGES) == once


def test_nothing_is_embedded_after_it_and_what_was_taken_out_can_come_back(gallery):
    compact(gallery.sets, gallery.newest(), part_images=PART_IMAGES)
    embedder = BlockEmbedder()
    gallery.embed(embedder)
    gallery.put(1, 5, 21, 25)  # still in the parts that compaction replaced
    report = gallery.embed(embedder)
    assert embedder.num_embedded == 0
    assert report.reused == 32
    assert len(gallery.by_item()) == 32


def test_a_part_that_failed_on_some_is_not_taken_for_the_compacted_one(tmp_path):
    """Both would be made of the same images: one holds what could be decoded then, the other all of them."""
    gallery = SmallGallery(tmp_path)
    gallery.put(*range(2))
    keys = [info.key for info in gallery.store.list(f"galleries/{GALLERY}/images/")]
    kept = {key: gallery.store.get(key) for key in keys}
    gallery.store.put(keys[0], b"\x89PNG damaged")
    assert gallery.embed(BlockEmbedder()).failed == 1
    gallery.store.put(keys[0], kept[keys[0]])
    gallery.embed(BlockEmbedder(), retry_failed=True)
    before = gallery.by_item()
    compact(gallery.sets, gallery.newest(), part_images=PART_IMAGES)
    assert gallery.by_item() == before
    assert len(before) == 2


def test_an_empty_set_stays_empty(tmp_path):
    gallery = SmallGallery(tmp_path)
    gallery.put(1)
    gallery.take(1)
    gallery.embed(BlockEmbedder())
    assert compact(gallery.sets, gallery.newest()).num_embeddings == 0


def test_a_set_that_came_while_another_was_compacted_stays_the_newest(tmp_path):
    gallery = SmallGallery(tmp_path)
    for number in range(5):
        gallery.put(number)
        gallery.embed(BlockEmbedder())
    older = gallery.newest()
    gallery.put(5)
    newer = gallery.embed(BlockEmbedder()).set_id
    with pytest.raises(PreconditionFailed):
        compact(gallery.sets, older, part_images=PART_IMAGES)
    assert gallery.newest().set_id == newer

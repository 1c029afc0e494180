"""The two ends of an embedding run: what is planned, and which of several runs makes the newest set."""

import pytest
from small_gallery import GALLERY, PART_IMAGES, BlockEmbedder, SmallGallery

from lookalike.images.limits import ImageLimits
from lookalike.pipeline.embed import embed_part
from lookalike.pipeline.embed_plan import finish_set, plan_parts, snapshot

MODEL = BlockEmbedder().manifest
DIGEST = MODEL.embedding_digest


@pytest.fixture
def gallery(tmp_path):
    made = SmallGallery(tmp_path)
    made.put(*range(20))
    return made


def plan(gallery, at, **options):
    ports = (gallery.galleries, gallery.sets, gallery.ledger)
    return list(plan_parts(*ports, GALLERY, DIGEST, at, part_images=PART_IMAGES, **options))


def embed_all(gallery, parts):
    for part in parts:
        embed_part(gallery.store, gallery.sets, GALLERY, part, BlockEmbedder(), limits=ImageLimits())


def finish(gallery, at, planned=()):
    return finish_set(gallery.galleries, gallery.sets, gallery.ledger, GALLERY, MODEL, at, planned=planned)


def look(gallery):
    return snapshot(gallery.galleries, gallery.sets, GALLERY, DIGEST)


def test_a_plan_has_every_image_once_and_is_the_same_again(gallery):
    at = look(gallery)
    parts = plan(gallery, at)
    assert [len(part.records) for part in parts] == [8, 8, 4]
    assert [record.key for part in parts for record in part.records] == [f"{number:05}" for number in range(20)]
    assert [row for part in parts for row in part.rows] == list(range(20))
    assert [part.position for part in parts] == [8, 16, 20]
    assert plan(gallery, at) == parts


def test_a_set_is_finished_when_its_last_part_is_whoever_made_them(gallery):
    at = look(gallery)
    parts = plan(gallery, at)
    embed_all(gallery, parts[1:])
    assert finish(gallery, at) is None
    assert gallery.sets.newest(GALLERY, DIGEST) is None
    assert [part.part_id for part in plan(gallery, at)] == [parts[0].part_id]
    embed_all(gallery, parts[:1])
    made = finish(gallery, at, [part.part_id for part in parts])
    assert (made.embedded, made.reused, made.failed) == (20, 0, 0)
    assert finish(gallery, at, [part.part_id for part in parts]) == made  # killed before it could say so


def test_an_older_version_does_not_follow_a_newer_one(gallery):
    """A run that began before an image came ends after the run that embedded it."""
    slow = look(gallery)
    embed_all(gallery, plan(gallery, slow))
    gallery.put(100)
    quick = gallery.embed(BlockEmbedder())
    assert finish(gallery, slow) is None
    assert gallery.newest().set_id == quick.set_id


def test_a_run_that_was_overtaken_begins_again_and_loses_nothing(gallery):
    """While the first part is embedded another process adds an image and embeds the whole gallery."""
    others = []

    def overtake(number):
        if not others:
            others.append(BlockEmbedder())
            gallery.put(100)
            gallery.take(0)
            gallery.embed(others[0])

    made = gallery.embed(BlockEmbedder(seen=overtake))
    assert made.set_id == gallery.newest().set_id
    assert gallery.newest().version_id == gallery.galleries.get(GALLERY).version_id
    assert len(gallery.by_item()) == 20


def test_failures_are_tried_again_in_parts_of_their_own_with_their_attempts(gallery):
    gallery.put_bytes("bad", b"\x89PNG\r\n\x1a\n no picture")
    gallery.embed(BlockEmbedder())
    assert plan(gallery, look(gallery)) == []
    gallery.put(101)
    new, again = plan(gallery, look(gallery), retry_failed=True)
    assert ([record.key for record in new.records], new.attempt) == (["00101"], 0)
    assert ([record.key for record in again.records], again.attempt) == (["bad"], 1)
    embed_all(gallery, [new, again])
    assert finish(gallery, look(gallery)).failed == 1
    assert gallery.ledger.all(GALLERY)[0].attempts == 2


def test_a_ledger_that_was_lost_is_made_anew_from_the_parts(gallery):
    gallery.put_bytes("bad", b"\x89PNG\r\n\x1a\n no picture")
    gallery.embed(BlockEmbedder())
    known = gallery.ledger.all(GALLERY)
    gallery.store.delete(f"galleries/{GALLERY}/failures/embed-{DIGEST[:16]}.jsonl")
    embedder = BlockEmbedder()
    gallery.embed(embedder)
    assert embedder.num_embedded == 0
    assert gallery.ledger.all(GALLERY) == known

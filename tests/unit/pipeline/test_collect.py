"""What collection takes, and what it must never take: live, for a rollback, newest, young, or taken up meanwhile."""

import itertools
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from reembedded_gallery import EXACT, GALLERY, NEW, NO_GATE, OLD, TWO, Tiles

from lookalike.catalog.orphans import Kind
from lookalike.errors import DamagedArtifact, DependencyUnavailable, IndexNotFound, NothingToRollBack
from lookalike.jobs.port import JobRequest
from lookalike.pipeline import collect as collecting
from lookalike.pipeline.change import embed_and_follow
from lookalike.pipeline.collect import collect
from lookalike.pipeline.index_gallery import (
    build_indexes,
    compact_gallery,
    embed_gallery,
    newest_set,
    roll_back_gallery,
)
from lookalike.pipeline.job_run import run_job
from lookalike.pipeline.progress import silent
from lookalike.pipeline.reembed import reembed
from lookalike.pipeline.retention import Retention

WEEK = Retention()
LATER = timedelta(days=8)


@pytest.fixture
def tiles(tmp_path):
    """30 images, re-embedded from the old model to the new one."""
    made = Tiles(tmp_path)
    made.put(*range(30))
    reembed(made.at, GALLERY, OLD, TWO, checks=NO_GATE)
    reembed(made.at, GALLERY, NEW, TWO, checks=NO_GATE)
    yield made
    made.close()


def collect_later(tiles, *, after=LATER, retention=WEEK):
    return collect(tiles.at, GALLERY, retention, now=lambda: datetime.now(UTC) + after)


def whole(tiles, *models):
    """Searches of every model and backend find every image."""
    fresh = Tiles(tiles.folder)
    try:
        return all(fresh.keys_of(model, backend) == fresh.keys() for model in models for backend in TWO)
    finally:
        fresh.close()


def test_right_after_a_reembedding_nothing_goes_and_it_can_be_rolled_back(tiles):
    before = tiles.objects()
    made = collect(tiles.at, GALLERY, WEEK)
    assert (made.deleted, made.former_left) == ({}, 2)
    assert tiles.objects() == before
    roll_back_gallery(tiles.at, GALLERY)
    assert tiles.find(3)[0] == OLD
    assert whole(tiles, OLD)


def test_after_the_set_time_the_former_goes_and_nothing_of_the_live(tiles):
    old = tiles.at.pointers.get(GALLERY).models[OLD]
    made = collect_later(tiles)
    assert made.former_left == 0
    assert made.deleted[Kind.INDEX].objects > 2
    live = tiles.at.pointers.get(GALLERY)
    assert (list(live.models), live.default_model) == ([NEW], NEW)
    assert whole(tiles, None, NEW)
    for index_id in old.indexes.values():
        with pytest.raises(IndexNotFound):
            tiles.at.indexes.get(GALLERY, index_id)
        assert not [key for key in tiles.objects() if f"indexes/{index_id}/" in key]
    with pytest.raises(NothingToRollBack):
        roll_back_gallery(tiles.at, GALLERY)
    assert collect_later(tiles).deleted == {}
    # The embeddings of the old model are its newest ones: to take it up again only builds.
    tiles.seen.clear()
    assert reembed(tiles.at, GALLERY, OLD, TWO, checks=NO_GATE).promoted
    assert tiles.num_embedded == 0


def test_the_time_runs_from_when_something_was_replaced(tiles):
    """What went live long ago and was replaced today is not garbage yet."""
    path = tiles.folder / "store"
    long_ago = time.time() - 30 * 86400
    for file in path.rglob("*"):
        if file.is_file():
            os.utime(file, (long_ago, long_ago))
    collect(tiles.at, GALLERY, WEEK)
    assert tiles.at.pointers.get(GALLERY).former
    assert whole(tiles, OLD, NEW)


def test_a_model_that_was_only_promoted_beside_another_stays(tiles):
    """Nobody said that it replaces one."""
    roll_back_gallery(tiles.at, GALLERY)
    run_job(tiles.at, JobRequest(kind="promote", gallery=GALLERY, params={"model": NEW}), silent)
    collect_later(tiles)
    assert set(tiles.at.pointers.get(GALLERY).models) == {OLD, NEW}
    assert whole(tiles, OLD, NEW)


def test_only_so_many_former_states_are_kept(tiles):
    made = collect(tiles.at, GALLERY, Retention(keep_former=1))
    assert made.former_left == 1
    roll_back_gallery(tiles.at, GALLERY)
    with pytest.raises(NothingToRollBack):
        roll_back_gallery(tiles.at, GALLERY)


def test_deleted_images_go_with_their_embeddings_and_versions(tiles):
    tiles.take(*range(10))
    for _ in range(2):
        embed_and_follow(tiles.at, GALLERY)
    for model in (OLD, NEW):
        compact_gallery(tiles.at, GALLERY, model)
    assert len([key for key in tiles.objects() if "/images/" in key]) == 30
    made = collect_later(tiles)
    assert made.deleted[Kind.IMAGE].objects == 10
    assert {Kind.SET, Kind.PART, Kind.VERSION, Kind.RECORDS, Kind.IMAGE, Kind.INDEX} == made.deleted.keys()
    assert len([key for key in tiles.objects() if "/versions/" in key]) == 1
    assert whole(tiles, NEW)


def test_what_killed_writers_left_goes_when_it_is_old(tiles):
    """Files without a manifest, files of the second of two that wrote one part, bytes that no version names."""
    part = newest_set(tiles.at, GALLERY, NEW).parts[0].part_id
    (of_part,) = [key for key in tiles.objects() if key.endswith(f"{part}/part.json")]
    leftovers = [
        of_part.replace("part.json", "embeddings-0123.npy"),
        of_part.replace(part, "0" * 32).replace("part.json", "items-4567.npy"),
        f"galleries/{GALLERY}/indexes/faiss-00/index.faiss",
        f"galleries/{GALLERY}/images/00/{'0' * 64}",
    ]
    for key in leftovers:
        tiles.at.store.put(key, b"left")
    collect(tiles.at, GALLERY, WEEK)
    assert set(leftovers) <= tiles.objects().keys()
    collect_later(tiles)
    assert not set(leftovers) & tiles.objects().keys()
    assert whole(tiles, NEW)


def test_an_index_that_was_built_and_not_promoted_stays_while_it_is_young(tiles):
    made = newest_set(tiles.at, GALLERY, NEW)
    (built,) = build_indexes(tiles.at, GALLERY, made, ["annoy"])
    collect(tiles.at, GALLERY, WEEK)
    assert tiles.at.indexes.get(GALLERY, built.index_id)
    collect_later(tiles)
    assert tiles.at.indexes.find(GALLERY, built.index_id) is None


class Watched:
    """The store; ``before`` is told of each deletion before it happens."""

    def __init__(self, store, before):
        self._store = store
        self.before = before

    def __getattr__(self, name):
        return getattr(self._store, name)

    def delete(self, key):
        self.before(key)
        self._store.delete(key)


class Killed(BaseException):
    pass


def test_killed_anywhere_it_leaves_no_manifest_without_files_and_the_next_one_ends_it(tiles):
    tiles.take(*range(10))
    embed_and_follow(tiles.at, GALLERY)
    for model in (OLD, NEW):
        compact_gallery(tiles.at, GALLERY, model)
    for number in range(1, 60, 7):
        left = itertools.count(1)

        def killed(key, left=left, number=number):
            if next(left) == number:
                raise Killed

        disturbed = replace(tiles.at, store=Watched(tiles.at.store, killed))
        try:
            collect(disturbed, GALLERY, WEEK, now=lambda: datetime.now(UTC) + LATER)
            break
        except Killed:
            for manifest in tiles.at.indexes.list(GALLERY):
                assert {file.name for file in manifest.files} <= _names(tiles, f"indexes/{manifest.index_id}/")
            assert whole(tiles, NEW)
    collect_later(tiles)
    assert len([key for key in tiles.objects() if "/images/" in key]) == 20
    assert whole(tiles, NEW)
    assert collect_later(tiles).deleted == {}


def _names(tiles, folder):
    prefix = f"galleries/{GALLERY}/{folder}"
    return {info.key.removeprefix(prefix) for info in tiles.at.store.list(prefix)}


def test_what_is_taken_up_again_in_the_middle_is_not_taken(tiles):
    """Parts that no set needs: an image comes back, and is embedded again, just before they would be deleted."""
    tiles.take(*range(10))
    embed_and_follow(tiles.at, GALLERY)
    for model in (OLD, NEW):
        compact_gallery(tiles.at, GALLERY, model)
    other = Tiles(tiles.folder)
    seen = []

    def before(key):
        if key.endswith("part.json") and not seen:
            seen.append(key)
            other.put(*range(10))
            for model in (OLD, NEW):
                embed_gallery(other.at, GALLERY, model)

    collect(replace(tiles.at, store=Watched(tiles.at.store, before)), GALLERY, WEEK, now=_later)
    assert seen
    assert other.num_embedded == 0
    assert tiles.keys() == set(range(30))
    assert whole(tiles, NEW)
    for info in tiles.at.store.list(f"galleries/{GALLERY}/images/"):
        assert tiles.at.store.get(info.key)
    assert len(list(tiles.at.store.list(f"galleries/{GALLERY}/images/"))) == 30
    other.close()


def _later():
    return datetime.now(UTC) + LATER


def test_an_index_whose_server_does_not_answer_is_left_whole(tiles, monkeypatch):
    """The server of a backend cannot be had here; that it does not answer is all that matters."""

    def down(workspace, manifest):
        if manifest.backend == "faiss":
            raise DependencyUnavailable("the server is down", dependency="qdrant")

    old = tiles.at.pointers.get(GALLERY).models[OLD].indexes["faiss"]
    with monkeypatch.context() as patch:
        patch.setattr(collecting, "retire_index", down)
        made = collect_later(tiles)
    assert made.kept_back == (old,)
    manifest = tiles.at.indexes.get(GALLERY, old)
    assert {file.name for file in manifest.files} <= _names(tiles, f"indexes/{old}/")
    collect_later(tiles)
    assert tiles.at.indexes.find(GALLERY, old) is None


@pytest.mark.parametrize("folder", ["versions", "sets", "indexes"])
def test_where_something_is_missing_nothing_is_garbage(tiles, folder):
    """What the missing thing refers to cannot be known."""
    entry = tiles.at.pointers.get(GALLERY).models[NEW]
    name = {
        "versions": f"{tiles.at.galleries.get(GALLERY).version_id}.json",
        "sets": f"{entry.base}.json",
        "indexes": f"{entry.indexes['faiss']}/index.json",
    }[folder]
    tiles.at.store.delete(f"galleries/{GALLERY}/{folder}/{name}")
    before = [key for key in tiles.objects() if not key.endswith("live.json")]
    with pytest.raises(DamagedArtifact, match=name):
        collect_later(tiles)
    assert [key for key in tiles.objects() if not key.endswith("live.json")] == before


def test_it_is_a_job(tiles):
    made = run_job(tiles.at, JobRequest(kind="collect", gallery=GALLERY, params={"keep_former": 0}), silent)
    assert made["former_left"] == 0
    assert reembed(tiles.at, GALLERY, NEW, EXACT, checks=NO_GATE).promoted

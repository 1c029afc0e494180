"""Re-embedding: searched and changed throughout, killed anywhere, refused, forced, rolled back, twice at once."""

import threading
from dataclasses import replace

import pytest
from reembedded_gallery import BAD, EXACT, GALLERY, NEW, NO_GATE, OLD, TWO, Tiles

from lookalike.catalog.live import LivePointers
from lookalike.errors import GateFailed, InvalidRequest, UnknownParameter
from lookalike.jobs.port import JobRequest
from lookalike.pipeline.change import embed_and_follow
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.index_gallery import roll_back_gallery
from lookalike.pipeline.job_run import job_request, run_job
from lookalike.pipeline.progress import silent
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.reembed import (
    base_for,
    build_beside,
    catch_up,
    compare_and_promote,
    embed_beside,
    reembed,
    wanted_indexes,
)

GATE = Checks(min_parity=0, gate=GateRule(k=5, max_drop=0.02))


@pytest.fixture
def tiles(tmp_path):
    """30 images, live under the old model."""
    made = Tiles(tmp_path)
    made.put(*range(30))
    reembed(made.at, GALLERY, OLD, TWO, checks=NO_GATE)
    made.seen.clear()
    yield made
    made.close()


def test_the_new_model_answers_and_the_old_one_is_kept(tiles):
    before = tiles.at.pointers.get(GALLERY)
    made = reembed(tiles.at, GALLERY, NEW, TWO, checks=GATE)
    assert (made.embedded, made.reused, made.failed, made.promoted) == (30, 0, 0, True)
    assert made.indexes.keys() == {"exact", "faiss"}
    assert set(made.built) == set(made.indexes.values())
    assert [one.backend for one in made.comparisons] == ["exact", "faiss"]
    assert all(one.candidate >= one.live - 0.02 and one.num_queries == 30 for one in made.comparisons)
    live = tiles.at.pointers.get(GALLERY)
    assert (live.default_model, live.models[NEW].replaces) == (NEW, OLD)
    assert live.models[OLD] == before.models[OLD]
    for model, answers in ((None, NEW), (NEW, NEW), (OLD, OLD)):
        for backend in TWO:
            answered, hits = tiles.find(4, model=model, backend=backend)
            assert (answered, hits[0]) == (answers, 4)


def test_unchanged_nothing_is_embedded_built_or_written(tiles):
    before = tiles.objects()
    made = reembed(tiles.at, GALLERY, OLD, TWO, checks=GATE)
    assert (made.embedded, made.reused, made.built, made.promoted) == (0, 30, (), False)
    assert tiles.num_embedded == 0
    assert tiles.objects() == before


def test_other_parameters_build_other_indexes_of_the_same_embeddings(tiles):
    wanted = wanted_indexes(tiles.at, ["annoy", "faiss"], {"annoy": {"n_trees": 3}})
    made = reembed(tiles.at, GALLERY, OLD, wanted, checks=NO_GATE)
    assert (tiles.num_embedded, made.promoted) == (0, True)
    assert tiles.at.indexes.get(GALLERY, made.indexes["annoy"]).build_params["n_trees"] == 3
    assert len(made.built) == 1  # the one of faiss was there
    assert tiles.at.pointers.get(GALLERY).models[OLD].replaces is None


@pytest.mark.parametrize(
    ("params", "error"), [({"annoy": {"n_trees": 3}}, InvalidRequest), ({"faiss": {"trees": 3}}, UnknownParameter)]
)
def test_parameters_are_checked_before_anything_is_done(tiles, params, error):
    with pytest.raises(error):
        job_request(tiles.at, "reembed", GALLERY, {"model": NEW, "backends": ["faiss"], "params": params})


def test_images_that_come_and_go_at_every_stage_are_right_in_both(tiles, tmp_path):
    """After each stage one image comes and one goes, as uploads and deletions do, by another process."""
    other = Tiles(tmp_path)
    numbers = iter(range(100, 200))

    def change():
        other.put(next(numbers))
        other.take(min(other.keys()))
        embed_and_follow(other.at, GALLERY)
        assert other.find(5)[0] == tiles.at.pointers.get(GALLERY).default_model
        default = None
        assert tiles.keys_of(default) == tiles.keys()

    tiles.before_embedding = lambda model: change() if model == NEW and not tiles.num_embedded else None
    embed_beside(tiles.at, GALLERY, NEW)
    change()
    base = base_for(tiles.at, GALLERY, NEW, TWO)
    indexes = []
    for backend in TWO:
        indexes.append(build_beside(tiles.at, base, backend, {}))
        change()
    assert catch_up(tiles.at, GALLERY, NEW) > 0
    tiles.put(next(numbers))  # after the last look, before the promotion
    compare_and_promote(tiles.at, base, indexes, checks=GATE)
    assert catch_up(tiles.at, GALLERY, NEW) == 1
    for backend in TWO:
        assert tiles.keys_of(None, backend) == tiles.keys()
    assert tiles.find(2)[0] == NEW
    # The old one has what was embedded under it while it was live: everything but what came last.
    embed_and_follow(tiles.at, GALLERY)
    assert tiles.keys_of(OLD) == tiles.keys()
    other.close()


def test_killed_between_any_two_stages_nothing_is_done_again(tiles, tmp_path):
    """Each stage by a process of its own, which begins from the start each time; images come in between."""
    total = 0
    for stage in range(5):
        process = Tiles(tmp_path)
        process.put(200 + stage)
        embed_beside(process.at, GALLERY, NEW)
        if stage >= 1:
            base = base_for(process.at, GALLERY, NEW, TWO)
            first = build_beside(process.at, base, "exact", {})
        if stage >= 2:
            second = build_beside(process.at, base, "faiss", {})
        if stage >= 3:
            catch_up(process.at, GALLERY, NEW)
        if stage >= 4:
            compare_and_promote(process.at, base, [first, second], checks=GATE)
        total += process.num_embedded
        process.close()
    assert total == 30 + 5
    assert {manifest.model for manifest in tiles.at.indexes.list(GALLERY)} == {OLD, NEW}
    assert sum(manifest.model == NEW for manifest in tiles.at.indexes.list(GALLERY)) == 2
    again = reembed(tiles.at, GALLERY, NEW, TWO, checks=GATE)
    assert (again.embedded, again.built, again.promoted) == (0, (), False)
    assert tiles.keys_of() == tiles.keys()


def test_a_gallery_that_changed_much_is_built_anew(tiles):
    base = base_for(tiles.at, GALLERY, OLD, TWO)
    tiles.put(50, 51)
    embed_and_follow(tiles.at, GALLERY)
    assert base_for(tiles.at, GALLERY, OLD, TWO) == base
    tiles.put(*range(60, 70))
    embed_and_follow(tiles.at, GALLERY)
    assert base_for(tiles.at, GALLERY, OLD, TWO).num_embeddings == 42


def test_a_worse_model_is_refused_and_forced_without_embedding_again(tiles):
    before = tiles.at.pointers.get(GALLERY)
    params = {"model": BAD, "backends": ["exact"], "level": "subcategory", "k": 5, "max_drop": 0.01}
    request = job_request(tiles.at, "reembed", GALLERY, params)
    with pytest.raises(GateFailed) as refusal:
        run_job(tiles.at, request, silent)
    assert refusal.value.details["live"] - refusal.value.details["candidate"] > 0.01
    assert tiles.at.pointers.get(GALLERY) == before
    assert tiles.find(3)[0] == OLD
    tiles.seen.clear()
    forced = run_job(tiles.at, JobRequest(kind="reembed", gallery=GALLERY, params={**params, "force": True}), silent)
    assert (tiles.num_embedded, forced["embedded"], forced["built"], forced["promoted"]) == (0, 0, [], True)
    assert "precision@5" in str(forced["forced"])
    assert tiles.at.pointers.get(GALLERY).default_model == BAD


def test_rolled_back_the_old_model_answers_with_all_images(tiles):
    reembed(tiles.at, GALLERY, NEW, TWO, checks=GATE)
    tiles.put(70)
    tiles.take(1)
    embed_and_follow(tiles.at, GALLERY)
    roll_back_gallery(tiles.at, GALLERY)
    for backend in TWO:
        assert tiles.find(4, backend=backend)[0] == OLD
        assert tiles.keys_of(None, backend) == tiles.keys()
    tiles.seen.clear()
    assert reembed(tiles.at, GALLERY, NEW, TWO, checks=GATE).promoted
    assert tiles.num_embedded == 0


def test_two_at_once_end_with_one_complete_set(tiles, tmp_path):
    processes = [Tiles(tmp_path), Tiles(tmp_path)]
    start = threading.Barrier(2)
    reports, failures = [], []

    def run(process):
        start.wait()
        try:
            reports.append(reembed(process.at, GALLERY, NEW, EXACT, checks=replace(GATE)))
        except BaseException as error:  # noqa: BLE001 -- the test fails with it below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len({made.base for made in reports}) == 1
    assert tiles.find(7)[0] == NEW
    assert tiles.keys_of() == tiles.keys()
    for process in processes:
        process.close()


class Overtaken(LivePointers):
    """Something happens just before the first promotion that is asked for is written."""

    def __init__(self, store, happens):
        super().__init__(store)
        self.happens = happens

    def promote(self, gallery, **said):
        happens, self.happens = self.happens, lambda: None
        happens()
        return super().promote(gallery, **said)


def test_an_image_that_comes_just_before_the_switch_is_found_after_it(tiles, tmp_path):
    other = Tiles(tmp_path)
    at = replace(tiles.at, pointers=Overtaken(tiles.at.store, lambda: (other.put(80), other.take(2))))
    reembed(at, GALLERY, NEW, TWO, checks=GATE)
    for backend in TWO:
        assert 80 in tiles.keys_of(None, backend)
        assert 2 not in tiles.keys_of(None, backend)
    other.close()


def test_a_search_under_way_keeps_model_and_index_of_one_state(tiles, tmp_path):
    """The promotion happens after the search has chosen the model, and before the query is embedded and searched."""
    other = Tiles(tmp_path)

    def promote(model):
        if model == OLD and other.at.pointers.get(GALLERY).default_model == OLD:
            reembed(other.at, GALLERY, NEW, TWO, checks=NO_GATE)

    tiles.before_embedding = promote
    for backend in TWO:
        assert tiles.find(9, backend=backend) == (OLD, tiles.find(9, model=OLD, backend=backend)[1])
        assert tiles.find(9, backend=backend)[0] == NEW
        tiles.before_embedding = lambda model: None
        roll_back_gallery(other.at, GALLERY)
        tiles.before_embedding = promote
    other.close()

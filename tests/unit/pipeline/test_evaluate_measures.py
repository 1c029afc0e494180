"""knn recall, latency and deep R-precision, apart from the evaluation that puts them together."""

import numpy as np
import pytest
from labelled_gallery import GALLERY, LabelledGallery, photo, random_gallery

from lookalike.evaluation.relevance import relevant_hits
from lookalike.indexes.parity import knn_recall as parity_recall
from lookalike.indexes.ranking import Ranked
from lookalike.pipeline import deep_ranking, measure
from lookalike.pipeline.deep_ranking import r_precision_exactly
from lookalike.pipeline.ground import ground_of, sample
from lookalike.pipeline.measure import KINDS, Plan, Reference, hits, knn_recall, latency

MODEL = "alpha@1"


@pytest.fixture
def gallery(tmp_path):
    made = LabelledGallery(tmp_path)
    yield made
    made.at.close()


@pytest.fixture
def changed(gallery):
    """80 images, of which 3 were deleted and 20 added since the build; the exact index, and the ground under it."""
    images, embeddings = random_gallery(80)
    gallery.put({key: images[key] for key in list(images)[:61]})
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact"])
    gallery.put(images)
    gallery.take("0001", "0002", "0030")
    gallery.embed(MODEL, embeddings)
    served = gallery.at.serving.refresh(GALLERY)
    _, index = served.index(None, "exact")
    return served, index, ground_of(gallery.at, served, index, sample(served.table.items()[:, :16], None, 0))


def test_knn_recall_counts_the_living_images_and_ties(changed):
    served, index, ground = changed
    assert index.living.num_images == 78
    exact = ground.exact(6, exclude_self=True)
    assert exact.rows_QK.max() >= len(ground.base_ND) > exact.rows_QK[:, 0].min()  # from both parts
    found = hits(served, index, ground, 6, exclude_self=True)
    assert knn_recall(found, exact) == 1
    # Two of the six hits of each query are lost: the recall is 4 / 6.
    rows, similarities = found.rows_QK.copy(), found.similarities_QK.copy()
    rows[:, 4:], similarities[:, 4:] = -1, -np.inf
    assert knn_recall(Ranked(rows, similarities, found.distances_QK), exact) == pytest.approx(4 / 6)


def test_knn_recall_is_the_figure_of_the_parity_check(gallery):
    images, embeddings = random_gallery(60)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact"])
    served = gallery.at.serving.refresh(GALLERY)
    _, index = served.index(None, "exact")
    ground = ground_of(gallery.at, served, index, sample(served.table.items()[:, :16], None, 0))
    exact = ground.exact(5, exclude_self=True)
    # Every second hit of a deeper search: wrong in a way that both must count alike.
    deep = hits(served, index, ground, 10, exclude_self=True)
    wrong = Ranked(deep.rows_QK[:, ::2], deep.similarities_QK[:, ::2], deep.distances_QK[:, ::2])
    theirs = parity_recall(wrong.rows_QK, ground.queries_QD, ground.base_ND, exact)
    assert 0 < theirs.mean() < 1
    assert knn_recall(wrong, exact) == pytest.approx(theirs.mean(), abs=1e-12)


def test_latency_times_single_searches_after_warming_up(changed, monkeypatch):
    """Every search that is timed is of one query, with the hits and exclusions of the evaluation."""
    served, index, ground = changed
    asked = []
    real = measure.nearest

    def spy(served, index, queries_QD, k, *, exclude_ids_Q16):
        asked.append((len(queries_QD), k, exclude_ids_Q16 is not None))
        return real(served, index, queries_QD, k, exclude_ids_Q16=exclude_ids_Q16)

    monkeypatch.setattr(measure, "nearest", spy)
    ticks = iter(0.001 * tick for search in range(78) for tick in (1000 * search, 1000 * search + search + 1))
    quantiles, num_timed = latency(served, index, ground, Plan(k=7), clock=lambda: next(ticks))
    assert asked == [(1, 7, True)] * (measure.WARM_UP + 78)
    assert num_timed == 78
    # The searches took 1, 2, … 78 ms.
    assert quantiles["p50"] == pytest.approx(39.5)
    assert quantiles["p95"] == pytest.approx(1 + 0.95 * 77)
    assert quantiles["p99"] == pytest.approx(1 + 0.99 * 77)


def test_latency_stops_where_searches_are_slow(changed):
    served, index, ground = changed
    ticks = iter(range(1000))
    quantiles, num_timed = latency(served, index, ground, Plan(), clock=lambda: 4 * next(ticks))
    assert num_timed == 3  # 4 s each: over 10 s after the third
    assert quantiles["p50"] == 4000


@pytest.mark.parametrize("block", [2**24, 300])
def test_r_precision_by_exact_ranking_is_that_of_a_search_as_deep(changed, monkeypatch, block):
    """Also where ties, broken by image id, decide which is the last of the first R; in blocks or at once."""
    monkeypatch.setattr(deep_ranking, "_BLOCK", block)
    served, index, ground = changed
    reference = Reference.of(ground, Plan(search_depth=0))
    everything = hits(served, index, ground, index.living.num_images, exclude_self=True).rows_QK
    for level, relevance in KINDS:
        wanted = reference.num_relevant[level, relevance]
        assert wanted.max() > 10
        relevant = relevant_hits(ground.labels.at(level), relevance, ground.rows_Q, everything)
        first = [row[:count].sum() / max(count, 1) for row, count in zip(relevant, wanted, strict=True)]
        np.testing.assert_array_equal(reference.deep_r_precision[level, relevance], first)


def test_images_with_one_embedding_are_ranked_by_image_id(gallery):
    """All similarities are 1, and only the order of ids says which R images come first."""
    labels = {f"{number:02d}": photo("cat" if number % 3 else "dog") for number in range(30)}
    gallery.put(labels)
    gallery.promote(gallery.embed(MODEL, dict.fromkeys(labels, np.ones(4))), ["exact"])
    served = gallery.at.serving.refresh(GALLERY)
    _, index = served.index(None, "exact")
    ground = ground_of(gallery.at, served, index, sample(served.table.items()[:, :16], None, 0))
    records = sorted(gallery.at.galleries.records(gallery.at.galleries.version(GALLERY)), key=lambda one: one.image_id)
    kind = KINDS[0]
    wanted = np.array([19 if record.labels.subcategory == "cat" else 9 for record in records])
    made = r_precision_exactly(ground, {kind: wanted})[kind]
    for query, record in enumerate(records):  # queries are in the order of their ids
        others = [other for other in records if other is not record][: wanted[query]]
        relevant = [other.labels.subcategory == record.labels.subcategory for other in others]
        assert made[query] == pytest.approx(np.mean(relevant), abs=1e-12)


def test_a_plan_beyond_the_search_depth_says_how_many_queries_it_ranked(gallery):
    images, embeddings = random_gallery(60)
    gallery.put(images)
    gallery.promote(gallery.embed(MODEL, embeddings), ["exact"])
    served = gallery.at.serving.refresh(GALLERY)
    _, index = served.index(None, "exact")
    ground = ground_of(gallery.at, served, index, sample(served.table.items()[:, :16], None, 0))
    made = {}
    for depth in (0, 12, 1000):
        plan = Plan(k=5, search_depth=depth)
        reference = Reference.of(ground, plan)
        results = measure.measure(served, index, reference, plan, num_asked=ground.num_queries)
        made[depth] = [result.metrics["R-precision"] for result in results]
        for result, counts in zip(results, reference.num_relevant.values(), strict=True):
            assert result.num_ranked_exactly == np.count_nonzero(counts > depth)
    assert made[0] == made[12] == made[1000]
    assert sum(result.num_ranked_exactly for result in results) == 0

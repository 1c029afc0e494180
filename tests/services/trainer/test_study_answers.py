"""What backends answer, served and alone, in rows of the studied images."""

import numpy as np
import pytest
import torch
from PIL import Image

from lookalike.bootstrap import wire
from lookalike.evaluation.labels import Level
from lookalike.galleries.folder import FolderSource
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.progress import silent
from lookalike.pipeline.promote import follow_gallery
from lookalike.settings import load
from services.trainer.study.answers import K, Queries, library_hits, precisions, served_hits
from services.trainer.study.backends import LIBRARIES, SERVED, StudyBackend
from services.trainer.study.decomposition import Metric, neighbours, overlap
from services.trainer.study.gallery import StudiedImages, embeddings_in_order, make_live

torch.set_num_threads(1)
GALLERY, MODEL = "noise", "pixels16"
NUM_IMAGES = 400
WITHOUT = NUM_IMAGES  # the key of an image that comes after the others were embedded
ALONE = {one.name: one for one in LIBRARIES}


def draw(folder, numbers):
    for number in numbers:
        path = folder / ("odd" if number % 2 else "even") / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
    at = wire(load(environment, folder / "none.toml"))
    import_model(at, f"baseline:{MODEL}")
    for numbers in (range(NUM_IMAGES), [WITHOUT]):
        draw(folder / "images", numbers)
        source = FolderSource(folder / "images")
        ingest(at.store, at.galleries, at.ledger, GALLERY, source, limits=at.limits)
        source.close()
        if WITHOUT not in numbers:
            model = make_live(at, GALLERY, "pixels", MODEL, SERVED[:2], silent)
    follow_gallery(at.galleries, at.sets, at.pointers, GALLERY)
    served = at.serving.refresh(GALLERY)
    images = StudiedImages.of(served.table)
    rows = np.arange(0, len(images.records), 2)
    without = next(row for row, one in enumerate(images.records) if one.key.endswith(f"{WITHOUT:04}.png"))
    rows = np.union1d(rows, [without])
    yield at, served, images, Queries(rows, images.ids_N[rows]), model, without
    at.close()


def test_every_way_of_exact_search_finds_the_same(case):
    at, served, images, queries, model, without = case
    embeddings, embedded = embeddings_in_order(at, images, model.embedding_set)
    assert np.flatnonzero(~embedded).tolist() == [without]
    asked = queries.rows_Q != without
    numpy = neighbours(embeddings, queries.rows_Q[asked], 10, Metric.COSINE, allowed_N=embedded)
    ways = {
        "exact": served_hits(at, served, images, queries, model.ref, "exact"),
        "faiss": served_hits(at, served, images, queries, model.ref, "faiss"),
        "alone": library_hits(at, images, queries, model, ALONE["faiss Flat, l2"]),
    }
    for name, hits in ways.items():
        np.testing.assert_array_equal(hits[asked], numpy, err_msg=name)
        assert set(hits[~asked].ravel().tolist()) == {-1}


def test_an_approximate_library_misses_neighbours_and_never_returns_the_query(case):
    at, served, images, queries, model, without = case
    exact = served_hits(at, served, images, queries, model.ref, "exact")
    cells = StudyBackend("cells", "faiss", "Euclidean", {"kind": "IVF", "metric": "l2", "nlist": 10})  # 8 are looked at
    hits = library_hits(at, images, queries, model, cells)
    asked = queries.rows_Q != without
    assert 0.5 < overlap(exact, hits)[asked].mean() < 0.99
    assert not (hits == queries.rows_Q[:, None]).any()
    assert (hits[asked] >= 0).all()
    assert all(len(set(row)) == 10 for row in hits[asked].tolist())


@pytest.mark.parametrize("level", Level)
def test_precision_by_query_is_that_of_the_evaluation(case, level):
    at, served, images, _, model, without = case
    everything = Queries(np.arange(len(images.records)), images.ids_N)
    _, embedded = embeddings_in_order(at, images, model.embedding_set)
    hits = served_hits(at, served, images, everything, model.ref, "exact")
    values = precisions(images.labels(embedded), level, everything, hits)
    document = evaluate_gallery(at, GALLERY, models=[model.ref], backends=["exact"], k=K, search_depth=0).document
    (result,) = [one for one in document.results if (one.level, one.relevance) == (level, "single-label")]
    assert np.isnan(values[without])
    if level is Level.SUBCATEGORY:
        assert np.nanmean(values) == pytest.approx(result.metrics[f"precision@{K}"].mean, abs=1e-12)
        assert result.num_scored == np.isfinite(values).sum() == NUM_IMAGES
    else:  # the folders name no supercategory
        assert np.isnan(values).all()
        assert result.num_scored == 0

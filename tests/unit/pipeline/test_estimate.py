"""What a re-embedding is said to take, against what it then takes."""

import numpy as np
import pytest
from reembedded_gallery import GALLERY, NEW, NO_GATE, OLD, TWO, Tiles

from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput
from lookalike.indexes.registry import backend
from lookalike.pipeline.estimate import estimate, index_bytes
from lookalike.pipeline.reembed import reembed

ALL = {"exact": {}, "faiss": {}, "annoy": {}}


@pytest.fixture
def tiles(tmp_path):
    made = Tiles(tmp_path)
    made.put(*range(90))
    yield made
    made.close()


def stored(tiles):
    return sum(len(data) for data in tiles.objects().values())


def test_a_first_embedding_has_formulas_and_a_measured_time(tiles):
    said = estimate(tiles.at, GALLERY, OLD, ALL)
    assert (said.model, said.num_images, said.to_embed) == (OLD, 90, 90)
    assert tiles.num_embedded == 8 + 64
    assert said.embed_s == pytest.approx(90 / said.images_per_s)
    assert said.embedding_bytes == 90 * (12 * 4 + 48)
    assert all(index.build_s is None for index in said.indexes.values())
    assert said.new_bytes == said.embedding_bytes + sum(index.size_bytes for index in said.indexes.values())
    assert said.later_bytes == 0
    assert list(tiles.at.sets.finished_parts(GALLERY, tiles.at.models.get("old").embedding_digest)) == []


def test_beside_a_live_model_its_indexes_are_what_it_goes_by(tiles):
    made = reembed(tiles.at, GALLERY, OLD, ALL, checks=NO_GATE)
    said = estimate(tiles.at, GALLERY, NEW, ALL)
    live = sum(tiles.at.indexes.get(GALLERY, one).size_bytes for one in made.indexes.values())
    assert said.later_bytes == live
    assert all(index.build_s >= 0 for index in said.indexes.values())
    before = stored(tiles)
    reembed(tiles.at, GALLERY, NEW, ALL, checks=NO_GATE)
    assert stored(tiles) - before == pytest.approx(said.new_bytes, rel=0.2)  # manifests are not counted


def test_of_what_is_there_nothing_is_to_be_done(tiles):
    reembed(tiles.at, GALLERY, OLD, TWO, checks=NO_GATE)
    tiles.seen.clear()
    said = estimate(tiles.at, GALLERY, OLD, TWO)
    assert (said.to_embed, said.embed_s, said.new_bytes, said.later_bytes, said.indexes) == (0, 0.0, 0, 0, {})
    assert tiles.num_embedded == 0
    tiles.put(200)
    said = estimate(tiles.at, GALLERY, OLD, TWO)
    assert (said.to_embed, said.indexes) == (1, {})


def test_without_a_sample_the_time_is_unknown(tiles):
    said = estimate(tiles.at, GALLERY, OLD, TWO, sample_images=0)
    assert (said.images_per_s, said.embed_s, said.to_embed) == (None, None, 90)
    assert tiles.num_embedded == 0


def test_the_sample_is_drawn_from_the_whole_gallery_and_the_same_again(tiles, monkeypatch):
    read = []
    for _ in range(2):
        keys = []
        get = tiles.at.store.get
        with monkeypatch.context() as patch:
            patch.setattr(tiles.at.store, "get", lambda key, get=get, keys=keys: (keys.append(key), get(key))[1])
            estimate(tiles.at, GALLERY, OLD, TWO, sample_images=10)
        read.append({key for key in keys if "/images/" in key})
    assert read[0] == read[1]
    assert len(read[0]) == 18


@pytest.mark.parametrize("name", ["exact", "faiss", "annoy", "qdrant"])
@pytest.mark.parametrize("dimension", [64, 256])
def test_formulas_are_near_what_is_built(tmp_path, name, dimension):
    pytest.importorskip({"exact": "sklearn", "faiss": "faiss", "annoy": "annoy", "qdrant": "qdrant_edge"}[name])
    rows = np.random.default_rng(0).standard_normal((1000, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = np.random.default_rng(1).integers(0, 256, (1000, 16), np.uint8)
    ids[:, 6] = ids[:, 6] % 16 + 0x50  # a UUID of version 5 and its variant
    ids[:, 8] = ids[:, 8] % 64 + 0x80
    library = backend(name)
    library.build(BuildInput(rows, ids), tmp_path, complete(library.capabilities.build_params, {}))
    built = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file())
    assert index_bytes(name, 1000, dimension) == pytest.approx(built, rel=0.15, abs=1000)

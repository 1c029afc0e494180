"""The gate where what is live cannot be opened here: it compares with another live index, or says what to do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from doubles.qdrant_rest import QdrantDouble
from labelled_gallery import GALLERY, LabelledGallery, random_gallery

from lookalike.bootstrap import wire
from lookalike.errors import DependencyUnavailable, GateFailed
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.promote import Checks
from lookalike.settings import load

GATE = Checks(min_parity=0.8, gate=GateRule(k=5))
IMAGES, EMBEDDINGS = random_gallery(60)


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[LabelledGallery]:
    """``live@1`` is live on Qdrant in process; ``next@1`` has the same embeddings."""
    made = LabelledGallery(tmp_path)
    made.put(IMAGES)
    yield made
    made.at.close()


def with_server(gallery: LabelledGallery, folder: Path, url: str) -> None:
    """From now on Qdrant is the server at ``url``."""
    gallery.at.close()
    environment = {
        "LOOKALIKE_STORAGE__FOLDER": f"{folder}/store",
        "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache",
        "LOOKALIKE_QDRANT__URL": url,
        "LOOKALIKE_QDRANT__TIMEOUT_S": "1",
    }
    gallery.at = wire(load(environment, folder / "none.toml"))


def test_another_live_backend_is_compared_with(gallery: LabelledGallery, tmp_path: Path) -> None:
    gallery.promote(gallery.embed("live@1", EMBEDDINGS), ["exact", "qdrant"])
    judged = []
    with QdrantDouble() as double:
        with_server(gallery, tmp_path, double.url)
        checks = replace(GATE, judged=judged.extend)
        live = gallery.promote(gallery.embed("next@1", EMBEDDINGS), ["qdrant"], checks)
    assert live.default_model == "next@1"
    [made] = judged
    assert made.backend == "qdrant"
    assert made.live_index.startswith("exact-")
    assert made.candidate == made.live


def test_where_none_can_be_opened_the_refusal_says_what_to_do(gallery: LabelledGallery, tmp_path: Path) -> None:
    before = gallery.promote(gallery.embed("live@1", EMBEDDINGS), ["qdrant"])
    following = gallery.embed("next@1", EMBEDDINGS)
    with QdrantDouble() as double:
        with_server(gallery, tmp_path, double.url)
        for backend in ("qdrant", "exact"):
            with pytest.raises(GateFailed, match=r"qdrant: .*--no-gate or force"):
                gallery.promote(following, [backend], GATE)
        assert gallery.at.pointers.get(GALLERY) == before
        forced = gallery.promote(following, ["exact"], replace(GATE, force=True))
        assert "can be opened" in forced.models["next@1"].forced[0]
        away = gallery.embed("away@1", EMBEDDINGS)
        gallery.promote(away, ["qdrant"], Checks(min_parity=0.8))
    # The server is away.
    with pytest.raises(GateFailed, match=r"does not answer.*--no-gate or force"):
        gallery.promote(following, ["exact"], GATE)


def test_a_store_that_is_away_is_no_verdict(gallery: LabelledGallery, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery.promote(gallery.embed("live@1", EMBEDDINGS), ["exact"])
    following = gallery.embed("next@1", EMBEDDINGS)

    def away(*_: object) -> None:
        raise DependencyUnavailable("the store does not answer", dependency="store")

    served = gallery.at.serving.refresh(GALLERY)
    monkeypatch.setattr(served, "_open_index", away)
    with pytest.raises(DependencyUnavailable):
        gallery.promote(following, ["exact"], GATE)

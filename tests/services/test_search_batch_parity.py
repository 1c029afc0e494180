"""Many searches at once have the hits that each has alone, and share what can be shared."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gateway_calls import png
from gateway_store import BACKENDS
from numpy.typing import NDArray

from lookalike.errors import LookalikeError, UrlRefused
from lookalike.indexes.living import LivingIndex
from lookalike.pipeline.compare import compare
from lookalike.pipeline.search import QueryParts, search
from lookalike.pipeline.search_batch import Asked, search_many
from lookalike.pipeline.workspace import Workspace
from lookalike.types.search import SearchRequest, SearchResponse

URL = "http://pictures.example/blue.png"


@pytest.fixture
def parts(workspace: Workspace, pictures: Path) -> tuple[QueryParts, list[str]]:
    """The workspace's own, with a web of one picture; and the URLs that were fetched."""
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        if url != URL:
            raise UrlRefused("not a public address")
        return (pictures / "cold" / "blue" / "0.png").read_bytes()

    return replace(workspace.query, fetch=fetch), fetched


def alone(workspace: Workspace, asked: Asked, parts: QueryParts) -> SearchResponse | LookalikeError:
    try:
        return search(workspace.serving.gallery("colors"), asked.request, parts, image=asked.image)
    except LookalikeError as error:
        return error


def searches(workspace: Workspace, pictures: Path) -> list[Asked]:
    """Every kind of query and option, right and wrong, in no order."""
    table = workspace.serving.gallery("colors").table
    ids = [record.image_id for record in table.page(limit=24)]
    rng = np.random.default_rng(0)
    dimension = workspace.models.get("color_edges").dimension
    red = (pictures / "warm" / "red" / "2.png").read_bytes()
    given: list[tuple[dict[str, Any], bytes | None]] = [
        ({"embedding": rng.normal(size=dimension).tolist()}, None),
        ({"image_id": ids[0]}, None),
        ({"image_url": URL}, None),
        ({"image_url": "http://inside.example/"}, None),
        ({}, red),
        ({}, png()),
        ({}, b"no image"),
        ({"embedding": [float("nan")] * dimension}, None),
        ({"embedding": [0.0] * dimension}, None),
        ({"embedding": [1.0]}, None),
        ({"image_id": "0" * 32}, None),
        ({}, None),
        ({"image_id": ids[1]}, red),
    ]
    options: list[dict[str, Any]] = [
        *({"backend": backend} for backend in BACKENDS),
        {"exclude_self": True, "k": 3},
        {"filter": {"field": "supercategory", "equals": "cold"}, "with_embedding": True},
        {"offset": 4, "k": 30, "min_similarity": 0.2},
        {"backend": "annoy", "params": {"search_k": 1000}},
        {"params": {"nope": 1}},
        {"model": "none"},
        {"backend": "none"},
    ]
    return [
        Asked(SearchRequest.model_validate({**query, **option}), image) for query, image in given for option in options
    ]


def test_each_has_what_it_has_alone(workspace: Workspace, pictures: Path, parts: tuple[QueryParts, list[str]]) -> None:
    asked = searches(workspace, pictures)
    order = np.random.default_rng(1).permutation(len(asked))
    mixed = [asked[position] for position in order]
    together = search_many(workspace.serving.gallery("colors"), mixed, parts[0])
    assert len(together) == len(mixed)
    num_right = 0
    for one, found in zip(mixed, together, strict=True):
        expected = alone(workspace, one, parts[0])
        if isinstance(expected, LookalikeError):
            assert isinstance(found, LookalikeError), (one, found)
            if "nope" not in one.request.params:  # with two mistakes, either may be named
                assert (type(found), found.message) == (type(expected), expected.message)
            continue
        assert isinstance(found, SearchResponse), found
        num_right += 1
        assert (found.model, found.backend, found.index) == (expected.model, expected.backend, expected.index)
        assert [(hit.rank, hit.image_id) for hit in found.hits] == [(hit.rank, hit.image_id) for hit in expected.hits]
        similarities = [hit.similarity for hit in expected.hits]
        assert [hit.similarity for hit in found.hits] == pytest.approx(similarities, abs=1e-6)
        assert [hit.embedding for hit in found.hits] == [hit.embedding for hit in expected.hits]
        assert found.took_ms.keys() == expected.took_ms.keys()
    assert num_right > 30


def test_searches_with_the_same_options_are_one_call(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, parts: tuple[QueryParts, list[str]]
) -> None:
    served = workspace.serving.gallery("colors")
    ids = [record.image_id for record in served.table.page(limit=24)]
    calls: list[int] = []
    original = LivingIndex.search

    def counted(self: LivingIndex, queries_QD: NDArray[np.float32], k: int, **options: Any) -> Any:
        calls.append(len(queries_QD))
        return original(self, queries_QD, k, **options)

    monkeypatch.setattr(LivingIndex, "search", counted)
    requests = [SearchRequest(image_id=ids[number % 24], k=5 if number % 4 else 7) for number in range(256)]
    outcomes = search_many(served, [Asked(request) for request in requests], parts[0])
    assert sorted(calls) == [64, 192]
    assert all(isinstance(outcome, SearchResponse) for outcome in outcomes)


def test_a_comparison_fetches_and_embeds_its_image_once(
    workspace: Workspace, parts: tuple[QueryParts, list[str]]
) -> None:
    embedder = workspace.embedder("color_edges@1")
    given: list[int] = []

    class Counting:
        manifest = embedder.manifest

        def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
            given.append(len(images_NHWC))
            return embedder.embed(images_NHWC)

    counting = replace(parts[0], embedder=lambda model: Counting())  # type: ignore[arg-type,return-value]
    pairs: Sequence[tuple[str | None, str]] = [(None, backend) for backend in BACKENDS]
    compared = compare(workspace.serving.gallery("colors"), SearchRequest(image_url=URL), pairs, counting)
    assert (given, parts[1]) == ([1], [URL])
    assert [answer.backend for answer in compared.answers] == list(BACKENDS)
    assert all(share == 1 for row in compared.overlap_at_k for share in row)

"""Many searches at once: what they share is done once, and searches with the same options are one call of the index.

Every search has the hits that :func:`lookalike.pipeline.search.search` gives it alone; only a model whose rounding
depends on how many images it is given together may move a similarity, in its last digits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.live import live_model
from lookalike.errors import LookalikeError
from lookalike.indexes.similarity import unit_queries
from lookalike.pipeline.query_images import Maybe, QueryImages, Source, attempt
from lookalike.pipeline.search import (
    Clock,
    QueryParts,
    check_one_query,
    given_embedding,
    hits_of,
    stored_embedding,
)
from lookalike.pipeline.served_gallery import ServedGallery, ServedIndex, default_backend
from lookalike.types.ids import pack_ids
from lookalike.types.search import SearchRequest, SearchResponse

_NOBODY = np.zeros(16, np.uint8)  # the id of no image: identifiers are UUIDs of version 5


@dataclass(frozen=True)
class Asked:
    """One search; ``image`` is an upload that comes beside it."""

    request: SearchRequest
    image: bytes | None = None

    @property
    def source(self) -> Source | None:
        """The image to embed, where the query is one."""
        return self.image if self.image is not None else self.request.image_url


@dataclass
class _Group:
    """Searches of one index with the same options."""

    model: str
    backend: str
    index: ServedIndex
    positions: list[int] = field(default_factory=list)
    queries: list[NDArray[np.floating]] = field(default_factory=list)  # [1, D] each
    own_ids: list[str | None] = field(default_factory=list)


def search_many(served: ServedGallery, searches: Sequence[Asked], parts: QueryParts) -> list[Maybe[SearchResponse]]:
    """A response or an error for each, in order; one that fails stops no other.

    The times of a response are those of the work that it shared with others.
    """
    placed = [attempt(lambda asked=asked: _place(served, asked, parts)) for asked in searches]  # type: ignore[misc]
    images = QueryImages(parts)
    images.load(
        (place.model, asked.source)
        for asked, place in zip(searches, placed, strict=True)
        if not isinstance(place, LookalikeError) and asked.source is not None
    )
    outcomes: list[Maybe[SearchResponse] | None] = [None] * len(searches)
    groups: dict[tuple[str, str, str], _Group] = {}
    for position, (asked, place) in enumerate(zip(searches, placed, strict=True)):
        if isinstance(place, LookalikeError):
            outcomes[position] = place
            continue
        try:
            query, own_id = _query(served, place, asked, images)
        except LookalikeError as error:
            outcomes[position] = error
            continue
        group = groups.setdefault((place.model, place.backend, _options(asked.request)), place)
        group.positions.append(position)
        group.queries.append(query)
        group.own_ids.append(own_id)
    for group in groups.values():
        answers = _answers(served, group, [searches[position] for position in group.positions], images.took_ms)
        for position, answer in zip(group.positions, answers, strict=True):
            outcomes[position] = answer
    return [outcome for outcome in outcomes if outcome is not None]


def _place(served: ServedGallery, asked: Asked, parts: QueryParts) -> _Group:
    """The model, backend and index that answer."""
    check_one_query(asked.request, asked.image)
    entry = live_model(served.live, served.live.gallery, asked.request.model)
    backend = default_backend(entry, asked.request.backend, parts.preferred_backend)
    entry, index = served.index(entry.model, backend)
    return _Group(entry.model, backend, index)


def _query(
    served: ServedGallery, place: _Group, asked: Asked, images: QueryImages
) -> tuple[NDArray[np.floating], str | None]:
    """The query's embedding ``[1, D]``, checked, and its image_id where it is an image of the gallery."""
    request = asked.request
    if request.embedding is not None:
        query = given_embedding(request.embedding, place.index.manifest.dimension)
        unit_queries(query, place.index.manifest.dimension)  # raises for this one, not for all that it is asked with
        return query, None
    if request.image_id is not None:
        return stored_embedding(served, place.index, request.image_id)
    source = asked.source
    assert source is not None  # noqa: S101 -- check_one_query found exactly one
    embedding = images.embedding(place.model, source)
    return embedding, served.table.by_sha256(images.sha256(source)) if request.exclude_self else None


def _options(request: SearchRequest) -> str:
    """What searches must have in common to be one call."""
    return request.model_dump_json(
        include={"k", "offset", "filter", "min_similarity", "params", "exclude_self"}, by_alias=True
    )


def _answers(
    served: ServedGallery, group: _Group, searches: Sequence[Asked], images_ms: Mapping[str, float]
) -> Sequence[Maybe[SearchResponse]]:
    options = searches[0].request
    exclude = None
    if options.exclude_self and any(group.own_ids):
        exclude = np.stack([_NOBODY if own is None else pack_ids([own])[0] for own in group.own_ids])
    clock = Clock()
    try:
        requests = [asked.request for asked in searches]
        hits = hits_of(served, group.index, np.concatenate(group.queries), requests, clock, exclude_ids_Q16=exclude)
    except LookalikeError as error:
        # The queries were checked, so it is the options that are wrong, and they are the same for all.
        return [error] * len(searches)
    took = clock.took_ms()
    with_image = {**images_ms, **took, "total": round(took["total"] + sum(images_ms.values()), 3)}
    index_id = group.index.manifest.index_id
    return [
        SearchResponse(
            model=group.model,
            backend=group.backend,
            index=index_id,
            took_ms=took if asked.source is None else with_image,
            hits=made,
        )
        for asked, made in zip(searches, hits, strict=True)
    ]

"""A query -> hits, through whichever model and backend it names. The one way that everything searches."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.live import live_model
from lookalike.embedding.port import Embedder
from lookalike.errors import ImageNotFound, InvalidEmbedding, InvalidRequest
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.indexes.living import Ranked
from lookalike.indexes.params import complete
from lookalike.pipeline.served_gallery import ServedGallery, ServedIndex, default_backend
from lookalike.types.filters import Filter
from lookalike.types.ids import pack_ids, parse_image_id, sha256_hex
from lookalike.types.images import ImageRecord
from lookalike.types.search import Hit, SearchOptions, SearchRequest, SearchResponse


@dataclass(frozen=True)
class QueryParts:
    """What a search needs beside the gallery: embedders by model, a way to fetch URLs, limits, a default backend."""

    embedder: Callable[[str], Embedder]
    fetch: Callable[[str], bytes]
    limits: ImageLimits
    preferred_backend: str = "faiss"


def nearest(
    served: ServedGallery,
    index: ServedIndex,
    queries_QD: NDArray[np.floating],
    k: int,
    *,
    offset: int = 0,
    condition: Filter | None = None,
    exclude_ids_Q16: NDArray[np.uint8] | None = None,
    min_similarity: float | None = None,
    params: Mapping[str, object] | None = None,
) -> Ranked:
    """The vectorised search that every endpoint, the command line and the evaluation go through.

    Parameters that are not given are the tuned ones of this index, else the backend's defaults.
    """
    tuned = dict(index.tuned.params) if index.tuned else {}
    checked = complete(index.living.search_params, {**tuned, **(params or {})})
    native = condition if index.filters_natively else None
    # Where all that is served is in the index as it was built, the backend's own filter says everything.
    alone = native is not None and index.living.is_whole
    allowed = None if condition is None or alone else index.mask(condition, served.table.matching)
    return index.living.search(
        queries_QD,
        k,
        offset=offset,
        allowed_N=allowed,
        native_filter=native,
        exclude_ids_Q16=exclude_ids_Q16,
        min_similarity=min_similarity,
        params=checked,
    )


def search(
    served: ServedGallery, request: SearchRequest, parts: QueryParts, *, image: bytes | None = None
) -> SearchResponse:
    """Answers one search. ``image`` is an uploaded query; exactly one query must be given.

    Raises InvalidRequest, IndexNotFound, ImageNotFound, InvalidImage, InvalidEmbedding, UrlRefused,
    UrlUnreachable, UnknownParameter, ParameterOutOfRange.
    """
    clock = Clock()
    check_one_query(request, image)
    entry = live_model(served.live, served.live.gallery, request.model)
    backend = default_backend(entry, request.backend, parts.preferred_backend)
    entry, index = served.index(entry.model, backend)
    query_1D, own_id = _query(served, index, entry.model, request, parts, image, clock)
    exclude = pack_ids([own_id]) if request.exclude_self and own_id is not None else None
    (hits,) = hits_of(served, index, query_1D, [request], clock, exclude_ids_Q16=exclude)
    return SearchResponse(
        model=entry.model, backend=backend, index=index.manifest.index_id, took_ms=clock.took_ms(), hits=hits
    )


class Clock:
    """Milliseconds by stage: each from the end of the one before; of one that comes again, all together."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._took: dict[str, float] = {}

    def stop(self, stage: str) -> None:
        now = time.perf_counter()
        self._took[stage] = round(self._took.get(stage, 0.0) + (now - self._last) * 1000, 3)
        self._last = now

    def took_ms(self) -> dict[str, float]:
        return {**self._took, "total": round((self._last - self._started) * 1000, 3)}


def check_one_query(request: SearchRequest, image: bytes | None) -> None:
    """Raises InvalidRequest unless exactly one thing is searched for."""
    given = [
        name
        for name, value in (
            ("image", image),
            ("image_id", request.image_id),
            ("image_url", request.image_url),
            ("embedding", request.embedding),
        )
        if value is not None
    ]
    if len(given) != 1:
        raise InvalidRequest(
            "a search takes exactly one of image, image_id, image_url and embedding; "
            + (f"this one has {' and '.join(given)}" if given else "this one has none"),
            given=given,
        )


def _query(
    served: ServedGallery,
    index: ServedIndex,
    model: str,
    request: SearchRequest,
    parts: QueryParts,
    image: bytes | None,
    clock: Clock,
) -> tuple[NDArray[np.floating], str | None]:
    """The query's embedding ``[1, D]`` and, where it is an image of this gallery, its image_id."""
    if request.embedding is not None:
        return given_embedding(request.embedding, index.manifest.dimension), None
    if request.image_id is not None:
        return stored_embedding(served, index, request.image_id)
    data = image if image is not None else parts.fetch(str(request.image_url))
    embedder = parts.embedder(model)
    manifest = embedder.manifest
    pixels = prepare(data, size=manifest.input_size, policy=manifest.resize_policy, limits=parts.limits)
    clock.stop("prepare")
    embedding = embedder.embed(pixels[np.newaxis])
    clock.stop("embed")
    own = served.table.by_sha256(sha256_hex(data)) if request.exclude_self else None
    return embedding, own


def given_embedding(values: list[float], dimension: int) -> NDArray[np.float64]:
    """A client's embedding as ``[1, D]``. Raises InvalidEmbedding for another dimension."""
    query = np.asarray([values], dtype=np.float64)
    if query.shape[1] != dimension:
        raise InvalidEmbedding(
            f"the embedding has {query.shape[1]} numbers, this index {dimension}", dimension=dimension
        )
    return query


def stored_embedding(served: ServedGallery, index: ServedIndex, image_id: str) -> tuple[NDArray[np.float32], str]:
    """The embedding ``[1, D]`` of an image of the gallery, and its image_id. Raises InvalidRequest, ImageNotFound."""
    identifier = parse_image_id(image_id)
    stored = index.living.embedding(identifier)
    if stored is None:
        raise ImageNotFound(f"{served.live.gallery!r} has no image {identifier}", image_id=identifier)
    return stored.reshape(1, -1), identifier


def hits_of(
    served: ServedGallery,
    index: ServedIndex,
    queries_QD: NDArray[np.floating],
    asked: Sequence[SearchOptions],
    clock: Clock,
    *,
    exclude_ids_Q16: NDArray[np.uint8] | None = None,
) -> list[list[Hit]]:
    """The hits of each query with their records. ``asked`` is one for each, the same in all that decides the hits.

    An image that was taken out since this state was opened has no record any more: the next one takes its place.
    """
    options, num_gone = asked[0], 0
    while True:
        ranked = nearest(
            served,
            index,
            queries_QD,
            options.k + num_gone,
            offset=options.offset,
            condition=options.filter,
            exclude_ids_Q16=exclude_ids_Q16,
            min_similarity=options.min_similarity,
            params=options.params,
        )
        clock.stop("search")
        ids_N16 = index.living.ids_N16
        identifiers = [[ids_N16[row].tobytes() for row in rows_K[rows_K >= 0]] for rows_K in ranked.rows_QK]
        records = served.table.get(list(dict.fromkeys(one for of_query in identifiers for one in of_query)))
        missing = max(sum(one not in records for one in of_query) for of_query in identifiers)
        if missing <= num_gone:
            break
        num_gone = missing
    hits = [
        _made_hits(index, ranked, one, query, identifiers[query], records)[: options.k]
        for query, one in enumerate(asked)
    ]
    clock.stop("records")
    return hits


def _made_hits(
    index: ServedIndex,
    ranked: Ranked,
    options: SearchOptions,
    query: int,
    identifiers: Sequence[bytes],
    records: Mapping[bytes, ImageRecord],
) -> list[Hit]:
    """One query's hits, of those of its ``identifiers`` that have a record."""
    hits: list[Hit] = []
    for position, identifier in enumerate(identifiers):
        record = records.get(identifier)
        if record is None:
            continue
        embedding = index.living.embedding(record.image_id) if options.with_embedding else None
        hits.append(
            Hit(
                rank=options.offset + len(hits) + 1,
                image_id=record.image_id,
                key=record.key,
                labels=record.labels,
                metadata=record.metadata,
                similarity=float(ranked.similarities_QK[query, position]),
                distance=float(ranked.distances_QK[query, position]),
                embedding=None if embedding is None else [float(value) for value in embedding],
            )
        )
    return hits

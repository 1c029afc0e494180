"""Points on their way to a Qdrant server: batches of some megabytes, a few of them at once, each waited for.

Memory holds the batches under way and nothing that grows with the number of embeddings.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.mapped import let_go
from lookalike.indexes.port import BuildInput
from lookalike.indexes.qdrant_server_connection import Connection, models
from lookalike.indexes.qdrant_server_retry import Patience

_IN_FLIGHT = 4
_BATCH_BYTES = 4 * 2**20  # of the 32 MiB that a server takes at once
_VALUE_BYTES = 20  # of one value of an embedding, as JSON
_ID_BYTES = 40


@dataclass(frozen=True)
class Batch:
    """Some rows: their identifiers, embeddings and payloads, which are JSON (None: an index without records)."""

    ids: list[str]
    embeddings_BD: NDArray[np.float32]
    payloads: list[bytes] | None


def batches(source: BuildInput, payloads: Iterable[bytes] | None) -> Iterator[Batch]:
    """All rows in order; as many in a batch as its bytes allow, at least one."""
    row_bytes = _ID_BYTES + _VALUE_BYTES * source.embeddings_ND.shape[1]
    said: Iterable[bytes | None] = repeat(None) if payloads is None else payloads
    start, size_bytes = 0, 0
    held: list[bytes] = []
    for row, payload in zip(range(len(source.embeddings_ND)), said, strict=False):
        cost = row_bytes + len(payload or b"")
        if row > start and size_bytes + cost > _BATCH_BYTES:
            yield _batch(source, start, row, None if payloads is None else held)
            start, size_bytes, held = row, 0, []
        size_bytes += cost
        if payload is not None:
            held.append(payload)
    if start < len(source.embeddings_ND):
        yield _batch(source, start, len(source.embeddings_ND), None if payloads is None else held)


def upload(
    connection: Connection,
    collection: str,
    source: BuildInput,
    payloads: Iterable[bytes] | None,
    patience: Patience,
    *,
    only_missing: bool,
) -> None:
    """Returns when the server has written every row.

    With ``only_missing`` it is asked which rows of each batch it has, and is sent the others: an interrupted build is
    completed. Raises as :meth:`Connection.reached`, after ``patience``; what was written by then stays.
    """
    under_way: deque[Future[None]] = deque()

    def send(batch: Batch) -> None:
        missing = patience.through(lambda: _missing(connection, collection, batch)) if only_missing else batch
        if missing.ids:
            patience.through(lambda: _upsert(connection, collection, missing))

    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="qdrant-upload") as pool:
        try:
            for batch in batches(source, payloads):
                if len(under_way) == _IN_FLIGHT:
                    under_way.popleft().result()
                    let_go(source.embeddings_ND)
                under_way.append(pool.submit(send, batch))
            while under_way:
                under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
    let_go(source.embeddings_ND)


def _batch(source: BuildInput, start: int, stop: int, payloads: list[bytes] | None) -> Batch:
    ids = [str(UUID(bytes=identifier.tobytes())) for identifier in source.ids_N16[start:stop]]
    return Batch(ids, source.embeddings_ND[start:stop], payloads)


def _missing(connection: Connection, collection: str, batch: Batch) -> Batch:
    with connection.reached(collection) as clients:
        found = clients.rest.retrieve(collection, batch.ids, with_payload=False, with_vectors=False)
    present = {str(point.id) for point in found}
    rows = [row for row, identifier in enumerate(batch.ids) if identifier not in present]
    payloads = None if batch.payloads is None else [batch.payloads[row] for row in rows]
    return Batch([batch.ids[row] for row in rows], batch.embeddings_BD[rows], payloads)


def _upsert(connection: Connection, collection: str, batch: Batch) -> None:
    payloads = None if batch.payloads is None else [json.loads(text) for text in batch.payloads]
    with connection.reached(collection) as clients:
        if clients.is_grpc:
            request = _grpc_request(collection, batch, payloads)
            clients.points.grpc_points.Upsert(request, timeout=connection.timeout_s)
        else:
            points = models().Batch(ids=batch.ids, vectors=batch.embeddings_BD.tolist(), payloads=payloads)
            clients.rest.upsert(collection, points=points, wait=True)


def _grpc_request(collection: str, batch: Batch, payloads: list[Any] | None) -> Any:
    """Made here: the client's own ``upsert`` takes five times as long to convert the embeddings."""
    from qdrant_client import grpc
    from qdrant_client.conversions.conversion import payload_to_grpc

    points = []
    for identifier, embedding, payload in zip(batch.ids, batch.embeddings_BD, payloads or repeat({}), strict=False):
        vectors = grpc.Vectors()
        vectors.vector.dense.data.extend(embedding.tolist())
        point_id = grpc.PointId(uuid=identifier)
        points.append(grpc.PointStruct(id=point_id, vectors=vectors, payload=payload_to_grpc(payload)))
    return grpc.UpsertPoints(collection_name=collection, points=points, wait=True)

"""A Qdrant server as a backend, through ``qdrant-client``.

An index is one collection. Its name is a digest of everything in it, so that building the same again finds it, on
any server that has it; what an interrupted build left is completed. The artifact only names the collection. Point
ids are the images' UUIDs and payloads those of ``qdrant_payload``, so other clients of the server can use it too.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lookalike.errors import DamagedArtifact
from lookalike.indexes import qdrant_server_alias, qdrant_server_snapshot
from lookalike.indexes.artifact import FILE_NAME, Artifact, read_artifact, write_artifact
from lookalike.indexes.port import BuildInput, Index, Params
from lookalike.indexes.qdrant_index import QdrantIndex
from lookalike.indexes.qdrant_params import METRICS, capabilities, compression_of
from lookalike.indexes.qdrant_payload import PayloadFields, payloads
from lookalike.indexes.qdrant_server_collection import INDEXING_LIMIT_S, Collection, collection_name
from lookalike.indexes.qdrant_server_connection import Connection
from lookalike.indexes.qdrant_server_options import ServerOptions
from lookalike.indexes.qdrant_server_retry import Patience
from lookalike.indexes.qdrant_server_search import OpenedCollection
from lookalike.indexes.qdrant_server_upload import upload

_LOCATION = "server"


class QdrantServerBackend:
    """Qdrant as a server of its own. Also an :class:`~lookalike.indexes.port.OutsideIndexes`.

    Args:
        url_or_client: where it is, or a ``QdrantClient``. Nothing is asked before the first build or open.
        options: how it is reached, and where it puts things; None: the defaults.
        sleep: waits between two looks at a collection that is being indexed, and before a request is repeated.
    """

    name = "qdrant"
    capabilities = capabilities(_LOCATION)

    def __init__(
        self,
        url_or_client: Any,
        options: ServerOptions | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._options = options = options or ServerOptions()
        # Apart, so that what a build waits for makes no search wait or fail.
        self._searches = Connection(url_or_client, options, options.timeout_s, one_waits=True)
        self._builds = Connection(url_or_client, options, options.build_timeout_s)
        self._long = Connection(url_or_client, options, INDEXING_LIMIT_S)
        self._patience, self._impatience = Patience(sleep), Patience(sleep, attempts=1)

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Fills a collection and waits until it is indexed; one that is complete already stays as it is.

        Any number of processes may build the same at once. Raises DependencyUnavailable: at once where the server
        does not answer, after some patience where it goes away in the middle, and when it takes more than an hour
        to index.
        """
        compression_of(params)
        fields = PayloadFields()
        name = collection_name(source, _payloads(source, fields), params)
        num_embeddings, dimension = source.embeddings_ND.shape
        collection = Collection(self._builds, name, self._patience)
        present = collection.prepare(num_embeddings, dimension, params, self._options.placement)
        if present < num_embeddings:
            said = None if source.records is None else _payloads(source, PayloadFields())
            upload(self._builds, name, source, said, self._patience, only_missing=present > 0)
        # All of this does nothing where it was done before.
        collection.index_payloads(fields.indexed)
        collection.await_indexed()
        built = {
            **params,
            "collection": name,
            "filterable": source.records is not None,
            "inexact": " ".join(sorted(fields.inexact)),
        }
        write_artifact(directory, self.name, (num_embeddings, dimension), built)

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Finds the collection and checks its size. Raises DamagedArtifact, DependencyUnavailable."""
        shape = (embeddings_ND.shape[0], embeddings_ND.shape[1])
        built = read_artifact(directory, self.name, shape).built
        metric, name = METRICS.get(str(built.get("metric"))), self.place(directory)
        if metric is None:
            raise DamagedArtifact(f"{FILE_NAME} names an unknown metric", metric=built.get("metric"))
        with self._searches.reached(name) as clients:
            if not clients.rest.collection_exists(name):
                raise DamagedArtifact(f"the server has no collection {name}: build the index again", collection=name)
            dimension = clients.rest.get_collection(name).config.params.vectors.size
            count = clients.rest.count(name, exact=True).count
        if (count, dimension) != shape:
            raise DamagedArtifact(
                f"collection {name} holds {count} x {dimension}, not {shape[0]} x {shape[1]}", collection=name
            )
        inexact = frozenset(str(built.get("inexact", "")).split()) if built.get("filterable") else None
        engine = OpenedCollection(self._searches, name, str(built.get("quantization")))
        return QdrantIndex(engine, metric, embeddings_ND, ids_N16, inexact)

    def is_outside(self, build_params: Params) -> bool:
        """See :class:`~lookalike.indexes.port.OutsideIndexes`, also for the others."""
        return build_params.get("location") == _LOCATION

    def place(self, directory: Path) -> str:
        try:
            built = Artifact.model_validate_json((directory / FILE_NAME).read_bytes()).built
        except (OSError, ValidationError) as error:
            raise DamagedArtifact(f"no whole {FILE_NAME} in {directory.name!r}", reason=str(error)[:500]) from error
        name = str(built.get("collection", ""))
        if not name:
            raise DamagedArtifact(f"{FILE_NAME} names no collection: an index in process? Build it again")
        return name

    def await_ready(self, place: str) -> None:
        if Collection(self._builds, place, self._impatience).status() != "green":
            Collection(self._builds, place, self._patience).await_indexed()

    def publish(self, family: str, places: Mapping[str, str]) -> None:
        qdrant_server_alias.publish(self._searches, family, places)

    def retire(self, place: str) -> None:
        Collection(self._builds, place, self._impatience).delete()

    def snapshot(self, place: str) -> str:
        return qdrant_server_snapshot.snapshot(self._long, place, self._options.snapshots_kept)


def _payloads(source: BuildInput, fields: PayloadFields) -> Iterator[bytes]:
    """Each row's payload as JSON; ``fields`` learns their paths. Nothing where there are no records."""
    if source.records is not None:
        for payload in payloads(source.records(), fields):
            yield json.dumps(payload).encode()

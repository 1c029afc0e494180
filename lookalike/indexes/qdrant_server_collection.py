"""The collection of one index on a Qdrant server: its name, its configuration, and when it is complete.

Only collections whose names begin as ours do are ever changed or deleted.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from lookalike.errors import DamagedArtifact, DependencyUnavailable
from lookalike.indexes.mapped import let_go
from lookalike.indexes.port import BuildInput, Params
from lookalike.indexes.qdrant_params import FULL_SCAN_KB, compression_of
from lookalike.indexes.qdrant_server_connection import Connection, models
from lookalike.indexes.qdrant_server_options import Placement
from lookalike.indexes.qdrant_server_retry import Patience

OURS = "lookalike-"
_FORMAT = "1"
_HASHED_ROWS = 4096
_INDEXING_KB = 10_000  # segments beyond this get their graph; the server's default
_POLL_S = 0.2
INDEXING_LIMIT_S = 3600.0


def collection_name(source: BuildInput, payloads: Iterable[bytes], params: Params) -> str:
    """Names everything that goes in: equal names, equal collections. Reads all of it, and keeps none."""
    digest = hashlib.sha256(json.dumps([_FORMAT, sorted(params.items()), list(source.embeddings_ND.shape)]).encode())
    digest.update(source.ids_N16.tobytes())
    for start in range(0, len(source.embeddings_ND), _HASHED_ROWS):
        digest.update(source.embeddings_ND[start : start + _HASHED_ROWS].tobytes())
        let_go(source.embeddings_ND)
    for text in payloads:
        digest.update(text + b"\n")
    return f"{OURS}{digest.hexdigest()[:32]}"


class Collection:
    """One collection, seen by a build.

    Args:
        patience: for every request but the first, so that a server that is down is told at once and one that goes
            away in the middle is waited for.
    """

    def __init__(self, connection: Connection, name: str, patience: Patience) -> None:
        self.name = name
        self._connection = connection
        self._patience = patience

    def ask(self, step: Callable[[Any], Any]) -> Any:
        """What ``step`` returns, given the REST client. Raises as :meth:`Connection.reached`."""
        return self._patience.through(lambda: self._once(step))

    def prepare(self, num_embeddings: int, dimension: int, params: Params, placement: Placement) -> int:
        """Makes sure that it exists, and returns how many of its points are there.

        One that holds more than it can is not what its name says, and is made anew.
        """
        name = self.name
        exists = bool(self._once(lambda client: client.collection_exists(name)))
        if exists and self.count() > num_embeddings:
            self.ask(lambda client: client.delete_collection(name))
            exists = False
        if not exists:
            config = configuration(dimension, params, placement)
            try:
                self.ask(lambda client: client.create_collection(name, **config))
            except DependencyUnavailable:
                # Another process was faster, or this one and did not hear of it.
                if not self.ask(lambda client: client.collection_exists(name)):
                    raise
        return self.count()

    def count(self) -> int:
        """Points that it holds, exactly."""
        return int(self.ask(lambda client: client.count(self.name, exact=True)).count)

    def index_payloads(self, fields: dict[str, str]) -> None:
        """Gives each path its index, ``keyword`` or ``float``; nothing where it has one."""
        for path, kind in fields.items():
            schema = models().PayloadSchemaType(kind)
            self.ask(partial(_create_payload_index, self.name, path, schema))

    def await_indexed(self) -> None:
        """Lets the server index what is there, and returns when it has.

        Raises DependencyUnavailable when it fails or takes more than an hour.
        """
        threshold = models().OptimizersConfigDiff(indexing_threshold=_INDEXING_KB)
        self.ask(lambda client: client.update_collection(self.name, optimizers_config=threshold))
        waited_s = 0.0
        while (status := self.status()) != "green":
            if status == "red" or waited_s > INDEXING_LIMIT_S:
                raise DependencyUnavailable(
                    f"collection {self.name} is {status} after {waited_s:.0f} s",
                    dependency="qdrant",
                    collection=self.name,
                )
            self._patience.sleep(_POLL_S)
            waited_s += _POLL_S

    def status(self) -> str:
        """``green`` when everything is indexed; ``yellow``, ``grey`` or ``red``."""
        return str(self.ask(lambda client: client.get_collection(self.name)).status.value)

    def delete(self) -> None:
        """Nothing where it is gone. Raises DamagedArtifact for a collection that is not ours."""
        if not self.name.startswith(OURS):
            raise DamagedArtifact(f"collection {self.name} is another program's", collection=self.name)
        self.ask(lambda client: client.delete_collection(self.name))

    def _once(self, step: Callable[[Any], Any]) -> Any:
        with self._connection.reached(self.name) as clients:
            return step(clients.rest)


def _create_payload_index(collection: str, path: str, schema: Any, client: Any) -> None:
    client.create_payload_index(collection, path, field_schema=schema, wait=True)


def configuration(dimension: int, params: Params, placement: Placement) -> dict[str, Any]:
    """Arguments of the client's ``create_collection``; nothing is indexed before everything is there."""
    made = models()
    # Of embeddings on disk the quantized copies are what a search reads first.
    in_memory = {"always_ram": True} if placement.on_disk else {}
    quantization = None
    match params["quantization"]:
        case "scalar":
            scalar = made.ScalarQuantizationConfig(type=made.ScalarType.INT8, **in_memory)
            quantization = made.ScalarQuantization(scalar=scalar)
        case "product":
            ratio = made.CompressionRatio(compression_of(params))
            product = made.ProductQuantizationConfig(compression=ratio, **in_memory)
            quantization = made.ProductQuantization(product=product)
        case "binary":
            quantization = made.BinaryQuantization(binary=made.BinaryQuantizationConfig(**in_memory))
    distance = made.Distance.COSINE if params["metric"] == "cosine" else made.Distance.DOT
    on_disk = {"on_disk": True} if placement.on_disk else {}
    chosen = {
        "on_disk_payload": placement.on_disk_payload,
        "shard_number": placement.shard_number,
        "replication_factor": placement.replication_factor,
        "write_consistency_factor": placement.write_consistency_factor,
    }
    return {
        "vectors_config": made.VectorParams(size=dimension, distance=distance, **on_disk),
        "hnsw_config": made.HnswConfigDiff(
            m=params["m"], ef_construct=params["ef_construct"], full_scan_threshold=FULL_SCAN_KB
        ),
        "quantization_config": quantization,
        "optimizers_config": made.OptimizersConfigDiff(indexing_threshold=0),
        **{name: value for name, value in chosen.items() if value is not None},
    }

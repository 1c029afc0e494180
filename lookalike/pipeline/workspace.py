"""Everything that the straight path works with, wired by ``lookalike.bootstrap``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lookalike.catalog.api_keys import ApiKeys
from lookalike.catalog.embedding_sets import EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.indexes import Indexes
from lookalike.catalog.live import LivePointers
from lookalike.catalog.local_artifacts import LocalArtifacts
from lookalike.catalog.models import Models
from lookalike.embedding.port import Embedder
from lookalike.images.limits import ImageLimits
from lookalike.indexes.port import Backend
from lookalike.jobs.ledger import Ledger
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.job_sources import SourceBuckets
from lookalike.pipeline.retention import Retention
from lookalike.pipeline.search import QueryParts
from lookalike.pipeline.served import Serving
from lookalike.storage.port import ObjectStore


@dataclass(frozen=True)
class Workspace:
    """The ports and catalogs of one process.

    ``embedder`` takes a model reference and keeps what it loaded. ``source_buckets`` opens any bucket for whoever runs
    this process; its names are those that clients may ingest from.
    """

    store: ObjectStore
    galleries: Galleries
    sets: EmbeddingSets
    indexes: Indexes
    pointers: LivePointers
    artifacts: LocalArtifacts
    models: Models
    api_keys: ApiKeys
    ledger: Ledger
    serving: Serving
    backend: Callable[[str], Backend]
    backend_names: tuple[str, ...]
    embedder: Callable[[str], Embedder]
    fetch: Callable[[str], bytes]
    source_buckets: SourceBuckets
    limits: ImageLimits
    decode_workers: int | Literal["auto"]
    query: QueryParts
    min_parity: float
    gate: GateRule | None
    retention: Retention
    close: Callable[[], None]

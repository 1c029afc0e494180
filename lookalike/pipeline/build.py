"""embedding set -> index: build, describe, check, store."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.indexes import Indexes, IndexIdentity, IndexManifest, Parity
from lookalike.catalog.local_artifacts import LocalArtifacts, SetMatrix, describe_files
from lookalike.indexes.living import Embeddings, LivingIndex
from lookalike.indexes.params import complete
from lookalike.indexes.parity import check_parity
from lookalike.indexes.port import Backend, BuildInput
from lookalike.storage.port import ObjectStore
from lookalike.telemetry.stages import stage
from lookalike.types.images import ImageRecord

PARITY_K = 10
PARITY_QUERIES = 200


def build(
    store: ObjectStore,
    indexes: Indexes,
    artifacts: LocalArtifacts,
    embedding_set: EmbeddingSet,
    backend: Backend,
    *,
    params: Mapping[str, object] | None = None,
    records: Callable[[], Iterator[tuple[bytes, ImageRecord]]] | None = None,
    again: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> IndexManifest:
    """Builds ``backend``'s index of the set, measures its parity with exact search, and stores it.

    An index with the same identity that exists already is returned as it is, unless it is to be built ``again``, in the
    place of what was lost of it. ``records`` gives the gallery's records by image_id for backends that filter natively.
    Raises UnknownParameter or ParameterOutOfRange.
    """
    with_records = records if backend.capabilities.filters_natively else None
    identity = identity_of(embedding_set, backend, params, has_records=records is not None)
    checked = identity.build_params
    present = indexes.find(embedding_set.gallery, identity.index_id)
    if present is not None and not again:
        return present
    matrix = artifacts.matrix(embedding_set)
    source = BuildInput(
        matrix.embeddings_ND,
        matrix.ids_N16,
        None if with_records is None else _in_row_order(matrix, with_records),
    )
    folder = artifacts.scratch()
    try:
        started = time.perf_counter()
        with stage("build", gallery=embedding_set.gallery, backend=backend.name):
            backend.build(source, folder, checked)
        build_s = time.perf_counter() - started
        parity = _parity(backend, folder, matrix)
        files = describe_files(folder)
        for file in files:
            store.put_file(
                f"{keys.index_folder(embedding_set.gallery, identity.index_id)}{file.name}", folder / file.name
            )
        manifest = IndexManifest(
            index_id=identity.index_id,
            gallery=embedding_set.gallery,
            set_id=embedding_set.set_id,
            version_id=embedding_set.version_id,
            model=embedding_set.model,
            backend=backend.name,
            build_params=checked,
            dimension=embedding_set.dimension,
            num_embeddings=embedding_set.num_embeddings,
            files=files,
            size_bytes=sum(file.size_bytes for file in files),
            build_s=build_s,
            parity=parity,
            built_at=now().isoformat(),
        )
        indexes.put(manifest)
        artifacts.adopt_index(identity.index_id, folder)
        return manifest
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def identity_of(
    embedding_set: EmbeddingSet, backend: Backend, params: Mapping[str, object] | None, *, has_records: bool
) -> IndexIdentity:
    """What the index that ``backend`` builds of the set is called. Raises UnknownParameter or ParameterOutOfRange."""
    return IndexIdentity(
        gallery=embedding_set.gallery,
        set_id=embedding_set.set_id,
        backend=backend.name,
        build_params=complete(backend.capabilities.build_params, params or {}),
        version_id=embedding_set.version_id if has_records and backend.capabilities.filters_natively else None,
    )


def _in_row_order(
    matrix: SetMatrix, records: Callable[[], Iterator[tuple[bytes, ImageRecord]]]
) -> Callable[[], Iterator[ImageRecord]]:
    """The records of the matrix's rows, row by row.

    Those of one gallery are held as JSON while an index with payloads is built: a few hundred bytes an image.
    """

    def iterate() -> Iterator[ImageRecord]:
        by_id = {identifier: record.model_dump_json(exclude_defaults=True) for identifier, record in records()}
        for row in matrix.items_N48:
            yield ImageRecord.model_validate_json(by_id[row[:16].tobytes()])

    return iterate


def _parity(backend: Backend, folder: Path, matrix: SetMatrix) -> Parity | None:
    if matrix.embeddings_ND.shape[0] == 0:
        return None
    index = backend.open(folder, matrix.embeddings_ND, matrix.ids_N16)
    try:
        base = Embeddings(matrix.embeddings_ND, matrix.ids_N16)
        nothing = Embeddings(np.zeros((0, index.dimension), np.float32), np.zeros((0, 16), np.uint8))
        living = LivingIndex(index, base, nothing)
        report = check_parity(living, matrix.embeddings_ND, k=PARITY_K, num_queries=PARITY_QUERIES)
    finally:
        index.close()
    return Parity(k=report.k, num_queries=report.num_queries, knn_recall=report.knn_recall)

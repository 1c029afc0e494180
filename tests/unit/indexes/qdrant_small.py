"""Small sources for the Qdrant server's adapter, and what they are built into."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.types.ids import image_id, pack_ids
from lookalike.types.images import ImageRecord


def source(num_embeddings: int, dimension: int = 8, *, with_records: bool = True) -> BuildInput:
    """Random embeddings of length 1, the same for the same shape; records with one field of metadata."""
    embeddings_ND = np.random.default_rng(0).standard_normal((num_embeddings, dimension))
    embeddings_ND /= np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    ids = [image_id("g", str(row)) for row in range(num_embeddings)]

    def records() -> Iterator[ImageRecord]:
        for row, identifier in enumerate(ids):
            yield ImageRecord(
                image_id=identifier,
                key=str(row),
                sha256="0" * 64,
                size_bytes=1,
                width=1,
                height=1,
                format="png",
                metadata={"row": row},
            )

    return BuildInput(embeddings_ND.astype(np.float32), pack_ids(ids), records if with_records else None)


def build(backend: QdrantServerBackend, directory: Path, what: BuildInput, **params: object) -> str:
    """Builds into ``directory``, which is made, and returns the collection's name."""
    directory.mkdir()
    backend.build(what, directory, complete(backend.capabilities.build_params, params))
    name: str = json.loads((directory / "artifact.json").read_bytes())["built"]["collection"]
    return name


def finds_itself(backend: QdrantServerBackend, directory: Path, what: BuildInput) -> bool:
    """Whether the built index, opened, has each embedding as the nearest of itself."""
    index = backend.open(directory, what.embeddings_ND, what.ids_N16)
    found = index.search(what.embeddings_ND, 1).rows_QK[:, 0]
    return bool((found == np.arange(len(what.embeddings_ND))).all())

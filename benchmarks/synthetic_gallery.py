"""A gallery of drawn embeddings in a store, for benchmarks of what comes after embedding: no images, no model.

Everything is written through the catalog and built, promoted and served by the same code as a real gallery.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lookalike.bootstrap import wire
from lookalike.catalog import documents, keys
from lookalike.catalog.embedding_sets import PART_IMAGES, EmbeddingSet, Part, SetPart, pack_items, part_id
from lookalike.catalog.indexes import IndexManifest
from lookalike.pipeline.index_gallery import build_indexes, promote_indexes
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from lookalike.types.ids import image_id, sha256_hex
from lookalike.types.images import ImageRecord, Labels
from lookalike.types.models import ModelManifest, ResizePolicy

GALLERY = "synthetic"
MODEL = "synthetic@1"
_LABELS = 30


def manifest(dimension: int) -> ModelManifest:
    """The model under which the embeddings are; it has no archive, so that nothing can be embedded with it."""
    return ModelManifest(
        name=MODEL.partition("@")[0],
        version=1,
        dimension=dimension,
        input_size=1,
        resize_policy=ResizePolicy.SQUASH,
        digest=sha256_hex(b"drawn embeddings, no model"),
    )


_MODEL_DIGEST = manifest(1).embedding_digest


def environment(folder: Path) -> dict[str, str]:
    """The settings that put everything below ``folder``."""
    return {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}


def workspace(folder: Path) -> Workspace:
    """The ports over the store below ``folder``."""
    return wire(load(environment(folder), folder / "none.toml"))


def records(num_images: int) -> Iterator[ImageRecord]:
    """Records in key order, a few hundred bytes each, as a labelled folder would give them."""
    for number in range(num_images):
        label = f"label{number % _LABELS:02d}"
        key = f"{number:08d}.jpg"
        yield ImageRecord(
            image_id=image_id(GALLERY, key),
            key=key,
            sha256=sha256_hex(key.encode()),
            size_bytes=50_000,
            width=640,
            height=480,
            format="jpeg",
            labels=Labels.single(label, f"super{number % 3}"),
            metadata={"year": 1990 + number % 30},
            stamp=str(number),
            source="synthetic",
        )


def draw(num_embeddings: int, dimension: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Unit embeddings around 200 centres, float32, a part at a time."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((200, dimension), dtype=np.float32)
    for start in range(0, num_embeddings, PART_IMAGES):
        number = min(PART_IMAGES, num_embeddings - start)
        noise = rng.standard_normal((number, dimension), dtype=np.float32)
        rows = centres[rng.integers(0, len(centres), number)] + noise
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def make(folder: Path, num_images: int, dimension: int, backends: Sequence[str]) -> list[IndexManifest]:
    """Gallery, embedding set and indexes below ``folder``, promoted."""
    at = workspace(folder)
    try:
        at.store.put(keys.model_manifest(manifest(dimension).name, 1), documents.encode(manifest(dimension)))
        at.galleries.create(GALLERY)
        version = at.galleries.replace(at.galleries.version(GALLERY), records(num_images))
        parts, all_records = [], at.galleries.records(version)
        for embeddings_ND in draw(num_images, dimension):
            items = pack_items([next(all_records) for _ in embeddings_ND])
            identifier = part_id(_MODEL_DIGEST, items, 0)
            at.sets.write_part(GALLERY, _MODEL_DIGEST, identifier, Part(embeddings_ND, items))
            parts.append(SetPart(part_id=identifier, num_rows=len(items)))
        embedding_set = EmbeddingSet(
            gallery=GALLERY,
            version_id=version.version_id,
            model=MODEL,
            model_digest=_MODEL_DIGEST,
            dimension=dimension,
            parts=tuple(parts),
        )
        at.sets.finish(embedding_set)
        made = build_indexes(at, GALLERY, embedding_set, backends)
        promote_indexes(at, GALLERY, embedding_set, made)
        return made
    finally:
        at.close()

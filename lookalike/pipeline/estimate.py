"""What a re-embedding would take, before it starts: time, and bytes of the store."""

import random
import time
from collections.abc import Iterable, Iterator

from pydantic import BaseModel, ConfigDict

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import ITEM_BYTES
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import LiveModel
from lookalike.embedding.port import Embedder
from lookalike.embedding.stream import embed_stream
from lookalike.errors import IndexNotFound
from lookalike.indexes.faiss_build import FLAT_BELOW
from lookalike.pipeline.embed import unopened
from lookalike.pipeline.embed_plan import PlannedPart, plan_parts, snapshot
from lookalike.pipeline.reembed import MAX_CHANGED, Wanted, base_for, find_built
from lookalike.pipeline.workspace import Workspace
from lookalike.types.images import ImageRecord
from lookalike.types.models import ModelRef

SAMPLE_IMAGES = 64
_WARM_UP_IMAGES = 8
_FLOAT_BYTES = 4
# Bytes an embedding beyond the embedding itself, with each backend's own parameters, measured on built indexes of
# 1,000 to 22,000 embeddings of 64 and 256 dimensions. The exact index stores none at all.
_ANNOY_BYTES = 600
_QDRANT_BYTES = 85
_FAISS_GRAPH_BYTES = 272


class IndexEstimate(BaseModel):
    """``build_s`` and ``size_bytes`` of one index; the time is None where the gallery has no such index to go by."""

    model_config = ConfigDict(frozen=True)

    size_bytes: int
    build_s: float | None


class Estimate(BaseModel):
    """``to_embed`` of ``num_images`` have no embedding under the model; known failures are not tried.

    ``images_per_s`` and ``embed_s`` were measured in this process, on images of the gallery, and are None where
    nothing was measured. ``indexes`` has the backends that are to be built; one that exists already is left out.
    ``new_bytes`` is what the store grows by; ``later_bytes`` of what is live become garbage, which is collected some
    time after.
    """

    model_config = ConfigDict(frozen=True)

    gallery: str
    model: str
    num_images: int
    to_embed: int
    images_per_s: float | None
    embed_s: float | None
    embedding_bytes: int
    indexes: dict[str, IndexEstimate]
    new_bytes: int
    later_bytes: int


def estimate(
    workspace: Workspace, gallery: str, model: str, wanted: Wanted, *, sample_images: int = SAMPLE_IMAGES, seed: int = 0
) -> Estimate:
    """What :func:`lookalike.pipeline.reembed.reembed` of the gallery as it is now would take.

    Embeds ``sample_images`` of those that it would embed, drawn with ``seed``, to measure the speed, and keeps
    nothing of that; 0 measures nothing. Raises GalleryNotFound, ModelNotFound, UnknownParameter, ParameterOutOfRange,
    and what the embedder raises.
    """
    manifest = workspace.models.get(ModelRef.parse(model))
    model, digest = str(manifest.ref), manifest.embedding_digest
    at = snapshot(workspace.galleries, workspace.sets, gallery, digest)
    num_images = workspace.galleries.version(gallery, at.version_id).num_images
    parts = plan_parts(workspace.galleries, workspace.sets, workspace.ledger, gallery, digest, at)
    to_embed, drawn = _draw(parts, sample_images + _WARM_UP_IMAGES if sample_images else 0, seed)
    images_per_s = _images_per_s(workspace, gallery, unopened(workspace, model), drawn) if drawn else None
    existing = _existing(workspace, gallery, model, wanted) if to_embed <= MAX_CHANGED * num_images else {}
    indexes = {
        backend: _index(workspace, gallery, backend, num_images, manifest.dimension)
        for backend in wanted
        if backend not in existing
    }
    embedding_bytes = to_embed * (_FLOAT_BYTES * manifest.dimension + ITEM_BYTES)
    return Estimate(
        gallery=gallery,
        model=model,
        num_images=num_images,
        to_embed=to_embed,
        images_per_s=images_per_s,
        embed_s=0.0 if to_embed == 0 else None if images_per_s is None else to_embed / images_per_s,
        embedding_bytes=embedding_bytes,
        indexes=indexes,
        new_bytes=embedding_bytes + sum(index.size_bytes for index in indexes.values()),
        later_bytes=_later_bytes(workspace, gallery, {found.index_id for found in existing.values()}),
    )


def index_bytes(backend: str, num_embeddings: int, dimension: int) -> int:
    """Bytes in the store of an index with the backend's own parameters: a formula, within a tenth of what is built."""
    embedding = _FLOAT_BYTES * dimension
    each = {
        "exact": 0,
        "faiss": embedding + (_FAISS_GRAPH_BYTES if num_embeddings >= FLAT_BELOW else 0),
        "annoy": embedding + _ANNOY_BYTES,
        "qdrant": embedding + _QDRANT_BYTES,
    }
    return num_embeddings * each.get(backend, embedding)


def scaled_bytes(known: IndexManifest, num_embeddings: int, dimension: int) -> int:
    """The same for an index like ``known``, which has at least one embedding.

    What it has beyond the embeddings, such as links and trees, does not grow with their dimension; one that is
    smaller than its embeddings has codes of them, which do.
    """
    each = known.size_bytes / known.num_embeddings
    beyond = each - _FLOAT_BYTES * known.dimension
    scaled = beyond + _FLOAT_BYTES * dimension if beyond >= 0 else each * dimension / known.dimension
    return round(num_embeddings * scaled)


def _draw(parts: Iterable[PlannedPart], number: int, seed: int) -> tuple[int, list[ImageRecord]]:
    """How many images are planned, and up to ``number`` of them, each as likely as any other (Vitter's algorithm R)."""
    draw = random.Random(seed)  # noqa: S311 -- a sample, not a secret
    drawn: list[ImageRecord] = []
    seen = 0
    for part in parts:
        for record in part.records:
            seen += 1
            if len(drawn) < number:
                drawn.append(record)
            elif (place := draw.randrange(seen)) < number:
                drawn[place] = record
    return seen, drawn


def _images_per_s(workspace: Workspace, gallery: str, embedder: Embedder, records: list[ImageRecord]) -> float:
    def consume(some: list[ImageRecord]) -> Iterator[object]:
        return embed_stream(
            some,
            lambda record: workspace.store.get(keys.image(gallery, record.sha256)),
            embedder,
            workspace.limits,
            workers=workspace.decode_workers,
        )

    for _ in consume(records[:_WARM_UP_IMAGES]):  # opens the model
        pass
    timed = records[_WARM_UP_IMAGES:] or records
    started = time.perf_counter()
    for _ in consume(timed):
        pass
    return len(timed) / (time.perf_counter() - started)


def _existing(workspace: Workspace, gallery: str, model: str, wanted: Wanted) -> dict[str, IndexManifest]:
    try:
        base = base_for(workspace, gallery, model, wanted)
    except IndexNotFound:
        return {}
    found = {backend: find_built(workspace, base, backend, params) for backend, params in wanted.items()}
    return {backend: manifest for backend, manifest in found.items() if manifest is not None}


def _index(workspace: Workspace, gallery: str, backend: str, num_embeddings: int, dimension: int) -> IndexEstimate:
    entry = _default(workspace, gallery)
    known = None
    if entry is not None and backend in entry.indexes:
        known = workspace.indexes.find(gallery, entry.indexes[backend])
    if known is None or known.num_embeddings == 0:
        return IndexEstimate(size_bytes=index_bytes(backend, num_embeddings, dimension), build_s=None)
    growth = num_embeddings * dimension / (known.num_embeddings * known.dimension)
    return IndexEstimate(
        size_bytes=scaled_bytes(known, num_embeddings, dimension), build_s=round(known.build_s * growth, 3)
    )


def _later_bytes(workspace: Workspace, gallery: str, kept: set[str]) -> int:
    """Of the default model's indexes, which another set of them takes the place of."""
    entry = _default(workspace, gallery)
    if entry is None:
        return 0
    replaced = [workspace.indexes.find(gallery, one) for one in entry.indexes.values() if one not in kept]
    return sum(manifest.size_bytes for manifest in replaced if manifest is not None)


def _default(workspace: Workspace, gallery: str) -> LiveModel | None:
    live = workspace.pointers.get(gallery)
    return None if live is None or live.default_model is None else live.models.get(live.default_model)

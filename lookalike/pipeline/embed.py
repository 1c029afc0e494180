"""gallery -> embedding set: embeds what no part holds yet, and nothing twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as version_of
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import (
    PART_IMAGES,
    EmbeddingSet,
    EmbeddingSets,
    Part,
    PartFailure,
    SetPart,
    contains,
    pack_items,
    part_id,
)
from lookalike.catalog.galleries import Galleries, GalleryVersion
from lookalike.embedding.named import DeferredEmbedder
from lookalike.embedding.port import Embedder
from lookalike.embedding.runtime import Runtime
from lookalike.embedding.stream import Failed, embed_stream
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import Failure, Ledger, embed_stage
from lookalike.pipeline.finished_parts import finished_parts, sorted_items
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectStore
from lookalike.types.images import ImageRecord
from lookalike.types.models import ModelRef

_PREPARED_BY = ("pillow", "simplejpeg")  # decode and resize, so that they belong to the lineage


@dataclass(frozen=True)
class EmbedReport:
    """``reused`` counts embeddings that were there already; ``failed`` images that are in the ledger."""

    gallery: str
    model: str
    set_id: str
    embedded: int
    reused: int
    failed: int


def embed(
    store: ObjectStore,
    galleries: Galleries,
    sets: EmbeddingSets,
    ledger: Ledger,
    gallery: str,
    embedder: Embedder,
    *,
    limits: ImageLimits,
    retry_failed: bool = False,
    part_images: int = PART_IMAGES,
    workers: int | Literal["auto"] = "auto",
    report: Report = silent,
) -> EmbedReport:
    """Completes the embedding set of the gallery's present version under the embedder's model.

    Whatever any earlier run finished is used: interrupted anywhere, the next run does at most one part again,
    also of a gallery that has changed in between; an image that was away and comes back is not embedded again. An
    image that cannot be decoded is left out and goes to the failure ledger; it is tried again when its bytes
    change, or with ``retry_failed``. ``workers`` is that of :func:`lookalike.embedding.stream.embed_stream`.
    Raises DamagedArtifact, naming the file, for a stored part whose bytes are not those that were written; once
    that part's ``part.json`` is removed, the next run makes the part anew.

    Memory grows by 144 bytes for each image of the gallery, and by what one part needs.
    """
    version = galleries.version(gallery)
    manifest = embedder.manifest
    digest = manifest.embedding_digest
    stage = embed_stage(digest)
    present = finished_parts(sets, gallery, digest, sets.newest(gallery, digest))
    known = {failure.key: _failure(failure, stage, {}) for failure in present.failures}
    known.update(ledger.read(gallery, stage))
    total = version.num_images
    failures: dict[str, Failure] = {}
    finished: list[SetPart] = []
    wanted_items: list[NDArray[np.uint8]] = []
    embedded = 0

    def pending() -> Iterator[ImageRecord]:
        for records in _chunks(galleries.records(version), part_images):
            items_N48 = pack_items(records)
            wanted_items.append(items_N48)
            held = contains(present.items, items_N48)
            for record, is_held in zip(records, held, strict=True):
                before = known.get(record.key)
                if is_held:
                    continue
                if before is not None and before.version == record.sha256 and not retry_failed:
                    failures[record.key] = before
                else:
                    yield record

    for records in _chunks(pending(), part_images):
        attempt = max((known[r.key].attempts for r in records if r.key in known), default=0)
        identifier = part_id(digest, pack_items(records), attempt)
        done = sets.part_manifest(gallery, digest, identifier)
        if done is None:
            part, failed = _embed_part(store, gallery, records, embedder, limits, workers)
            done = sets.write_part(gallery, digest, identifier, part, failed, made_with=_made_with(embedder))
        embedded += done.num_embeddings
        if done.num_embeddings:
            finished.append(SetPart(part_id=identifier, num_rows=done.num_embeddings))
        for failure in done.failures:
            failures[failure.key] = _failure(failure, stage, known)
        report(Progress("embed", min(present.items.size + embedded, total), total, len(failures)))

    parts = present.serving(sorted_items(wanted_items))
    embedding_set = EmbeddingSet(
        gallery=gallery,
        version_id=version.version_id,
        model=str(manifest.ref),
        model_digest=digest,
        dimension=manifest.dimension,
        parts=(*parts, *finished),
    )
    ledger.write(gallery, stage, failures.values())
    set_id = sets.finish(embedding_set)
    report(Progress("embed", total, total, len(failures)))
    return EmbedReport(
        gallery=gallery,
        model=str(manifest.ref),
        set_id=set_id,
        embedded=embedded,
        reused=embedding_set.num_embeddings - embedded,
        failed=len(failures),
    )


def unopened(workspace: Workspace, model: str) -> Embedder:
    """The embedder of ``model``, opened only when there is an image to embed. Raises ModelNotFound."""
    manifest = workspace.models.get(ModelRef.parse(model))
    return DeferredEmbedder(manifest, partial(workspace.embedder, str(manifest.ref)))


def _embed_part(
    store: ObjectStore,
    gallery: str,
    records: list[ImageRecord],
    embedder: Embedder,
    limits: ImageLimits,
    workers: int | Literal["auto"],
) -> tuple[Part, list[PartFailure]]:
    def read(record: ImageRecord) -> bytes:
        return store.get(keys.image(gallery, record.sha256))

    embeddings = [np.zeros((0, embedder.manifest.dimension), np.float32)]
    done: list[ImageRecord] = []
    failed: list[PartFailure] = []
    for outcome in embed_stream(records, read, embedder, limits, workers=workers):
        if isinstance(outcome, Failed):
            record, error = outcome.item, outcome.error
            failed.append(
                PartFailure(
                    image_id=record.image_id,
                    key=record.key,
                    sha256=record.sha256,
                    code=error.code,
                    reason=error.message,
                )
            )
        else:
            done.extend(outcome.items)
            embeddings.append(outcome.embeddings_ND)
    return Part(np.concatenate(embeddings), pack_items(done)), failed


def _failure(failure: PartFailure, stage: str, known: dict[str, Failure]) -> Failure:
    before = known.get(failure.key)
    return Failure(
        key=failure.key,
        image_id=failure.image_id,
        stage=stage,
        code=failure.code,
        reason=failure.reason,
        attempts=1 if before is None else before.attempts + 1,
        version=failure.sha256,
    )


def _made_with(embedder: Embedder) -> tuple[Runtime, ...]:
    runtime = embedder.runtime
    prepared_by = {name: version_of(name) for name in _PREPARED_BY}
    return (runtime.model_copy(update={"libraries": {**runtime.libraries, **prepared_by}}),)


def _chunks(records: Iterable[ImageRecord], size: int) -> Iterator[list[ImageRecord]]:
    iterator = iter(records)
    while chunk := list(islice(iterator, size)):
        yield chunk


def covers(embedding_set: EmbeddingSet, version: GalleryVersion) -> bool:
    """Whether the set was made for exactly this gallery version."""
    return embedding_set.version_id == version.version_id

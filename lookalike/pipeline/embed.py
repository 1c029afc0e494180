"""gallery -> embedding set: embeds what no part holds yet, and nothing twice."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

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
from lookalike.embedding.port import Embedder
from lookalike.embedding.stream import Failed, embed_stream
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import Failure, Ledger, embed_stage
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.storage.port import ObjectStore
from lookalike.types.ids import as_keys
from lookalike.types.images import ImageRecord


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
    report: Report = silent,
) -> EmbedReport:
    """Completes the embedding set of the gallery's present version under the embedder's model.

    Interrupted anywhere, the next run finds the finished parts and goes on after them. An image that cannot be
    decoded is left out and goes to the failure ledger; it is tried again when its bytes change, or with
    ``retry_failed``.
    """
    version = galleries.version(gallery)
    manifest = embedder.manifest
    digest = manifest.embedding_digest
    stage = embed_stage(digest)
    known = ledger.read(gallery, stage)
    newest = sets.newest(gallery, digest)
    present = _present(sets, newest)
    total = version.num_images
    failures: dict[str, Failure] = {}
    finished: list[SetPart] = []
    wanted_items: list[NDArray[np.uint8]] = []
    embedded = 0

    def pending() -> Iterator[ImageRecord]:
        for records in _chunks(galleries.records(version), part_images):
            items_N48 = pack_items(records)
            wanted_items.append(items_N48)
            held = contains(present, items_N48)
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
            part, failed = _embed_part(store, gallery, records, embedder, limits)
            done = sets.write_part(gallery, digest, identifier, part, failed)
        embedded += done.num_embeddings
        if done.num_embeddings:
            finished.append(SetPart(part_id=identifier, num_rows=done.num_embeddings))
        for failure in done.failures:
            failures[failure.key] = _failure(failure, stage, known)
        report(Progress("embed", min(present.size + embedded, total), total, len(failures)))

    wanted = np.sort(as_keys(np.concatenate(wanted_items))) if wanted_items else np.zeros(0, "S48")
    parts = [] if newest is None else _still_wanted(sets, newest, wanted)
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


def _embed_part(
    store: ObjectStore, gallery: str, records: list[ImageRecord], embedder: Embedder, limits: ImageLimits
) -> tuple[Part, list[PartFailure]]:
    def read(record: ImageRecord) -> bytes:
        return store.get(keys.image(gallery, record.sha256))

    embeddings = [np.zeros((0, embedder.manifest.dimension), np.float32)]
    done: list[ImageRecord] = []
    failed: list[PartFailure] = []
    for outcome in embed_stream(records, read, embedder, limits):
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


def _present(sets: EmbeddingSets, newest: EmbeddingSet | None) -> NDArray[np.bytes_]:
    """The items of all rows of all parts of ``newest``, sorted: also rows that it excludes, which may come back."""
    if newest is None or not newest.parts:
        return np.zeros(0, "S48")
    items = [sets.read_items(newest.gallery, newest.model_digest, part.part_id) for part in newest.parts]
    return np.sort(as_keys(np.concatenate(items)))


def _still_wanted(sets: EmbeddingSets, newest: EmbeddingSet, wanted: NDArray[np.bytes_]) -> list[SetPart]:
    """The parts of ``newest``, each without the rows that the gallery no longer has."""
    parts = []
    for part in newest.parts:
        items_N48 = sets.read_items(newest.gallery, newest.model_digest, part.part_id)
        excluded = np.flatnonzero(~contains(wanted, items_N48))
        if excluded.size < part.num_rows:
            parts.append(part.model_copy(update={"excluded_rows": tuple(int(row) for row in excluded)}))
    return parts


def _chunks(records: Iterable[ImageRecord], size: int) -> Iterator[list[ImageRecord]]:
    iterator = iter(records)
    while chunk := list(islice(iterator, size)):
        yield chunk


def covers(embedding_set: EmbeddingSet, version: GalleryVersion) -> bool:
    """Whether the set was made for exactly this gallery version."""
    return embedding_set.version_id == version.version_id

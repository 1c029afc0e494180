"""What is to be embedded, and the set that it becomes: both ends of an embedding run, from the store alone.

A run takes a snapshot, plans parts, has each embedded (by whichever process), and finishes the set. Nothing here
needs an embedder. A run that dies anywhere is begun again with a new snapshot and finds the parts that are done.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.embedding_sets import PART_IMAGES, EmbeddingSet, EmbeddingSets, contains, pack_items, part_id
from lookalike.catalog.galleries import Galleries
from lookalike.errors import PreconditionFailed
from lookalike.jobs.ledger import Failure, Ledger, embed_stage
from lookalike.pipeline.finished_parts import FinishedParts, finished_parts, sorted_items
from lookalike.types.images import ImageRecord
from lookalike.types.models import ModelManifest

_READ_AT_ONCE = 1024


@dataclass(frozen=True)
class Snapshot:
    """What a run is for: a gallery version, and the ETag that the newest set's pointer had before that was read.

    While the pointer has this ETag, no other run has finished a set of a later version.
    """

    version_id: str
    newest_etag: str | None


@dataclass(frozen=True)
class PlannedPart:
    """Images that one part will hold, all of them tried ``attempt`` times before.

    ``position`` is how many of the snapshot's images the plan had looked at when the part was full: with those before
    it embedded, a run is so far. ``rows`` are the places of ``records`` among all records of the snapshot.
    """

    part_id: str
    records: list[ImageRecord]
    attempt: int
    position: int = 0
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class EmbedReport:
    """``reused`` counts embeddings that were there already; ``failed`` images that are in the ledger."""

    gallery: str
    model: str
    set_id: str
    embedded: int
    reused: int
    failed: int


def snapshot(galleries: Galleries, sets: EmbeddingSets, gallery: str, model_digest: str) -> Snapshot:
    """The gallery as it is now. Raises GalleryNotFound."""
    etag = sets.newest_etag(gallery, model_digest)  # before the version: the other order could miss one
    return Snapshot(galleries.get(gallery).version_id, etag)


def plan_parts(
    galleries: Galleries,
    sets: EmbeddingSets,
    ledger: Ledger,
    gallery: str,
    model_digest: str,
    at: Snapshot,
    *,
    retry_failed: bool = False,
    part_images: int = PART_IMAGES,
) -> Iterator[PlannedPart]:
    """The images of the snapshot that no finished part holds, in key order, ``part_images`` a part.

    Images that could not be embedded before are left out, or with ``retry_failed`` planned after the others, in
    parts of their own. The same store gives the same plan. Raises DamagedArtifact, naming the file, for a
    finished part whose bytes are not those that were written.

    Holds 48 bytes for each image that is embedded already and the records of one part in memory.
    """
    present = finished_parts(sets, gallery, model_digest, sets.newest(gallery, model_digest))
    known = _known_failures(ledger, gallery, model_digest, present)
    waiting: dict[int, list[tuple[int, ImageRecord]]] = {}
    passed = 0

    def planned(attempt: int, position: int) -> PlannedPart:
        rows, records = zip(*waiting.pop(attempt), strict=True)
        identifier = part_id(model_digest, pack_items(records), attempt)
        return PlannedPart(identifier, list(records), attempt, position, rows)

    for records, items_N48 in _read(galleries, gallery, at):
        for position in np.flatnonzero(~contains(present.items, items_N48)):
            record = records[position]
            before = known.get((record.key, record.sha256))
            if before is not None and not retry_failed:
                continue
            attempt = 0 if before is None else before.attempts
            waiting.setdefault(attempt, []).append((passed + int(position), record))
            if len(waiting[attempt]) == part_images:
                yield planned(attempt, passed + int(position) + 1)
        passed += len(records)
    for attempt in sorted(waiting):
        yield planned(attempt, passed)


def finish_set(
    galleries: Galleries,
    sets: EmbeddingSets,
    ledger: Ledger,
    gallery: str,
    model: ModelManifest,
    at: Snapshot,
    *,
    planned: Collection[str] = (),
) -> EmbedReport | None:
    """Makes the newest set, and the failure ledger, of the finished parts, whoever embedded them.

    ``planned`` are the identifiers of the run's own parts, which the report counts as embedded. None, and nothing
    is changed, when an image of the snapshot is in no finished part, or when another run finished in the meantime,
    so that this set may be older than the newest: take another snapshot and plan again, which uses all that is
    done. Raises DamagedArtifact as :func:`plan_parts`.

    Memory grows by 144 bytes for each image of the gallery.
    """
    digest = model.embedding_digest
    newest = sets.newest(gallery, digest)
    present = finished_parts(sets, gallery, digest, newest)
    known = _known_failures(ledger, gallery, digest, present)
    failures: list[Failure] = []
    wanted: list[NDArray[np.uint8]] = []
    for records, items_N48 in _read(galleries, gallery, at):
        wanted.append(items_N48)
        for position in np.flatnonzero(~contains(present.items, items_N48)):
            failure = known.get((records[position].key, records[position].sha256))
            if failure is None:
                return None
            failures.append(failure)
    embedding_set = EmbeddingSet(
        gallery=gallery,
        version_id=at.version_id,
        model=str(model.ref),
        model_digest=digest,
        dimension=model.dimension,
        parts=tuple(present.serving(sorted_items(wanted))),
    )
    is_newest = newest is not None and newest.set_id == embedding_set.set_id  # this was finished before
    if not is_newest and sets.newest_etag(gallery, digest) != at.newest_etag:
        return None
    # Before the pointer: who is overtaken from here on writes both again.
    ledger.write(gallery, embed_stage(digest), failures)
    try:
        set_id = sets.finish_over(embedding_set, at.newest_etag)
    except PreconditionFailed:
        return None
    known_parts = {part.part_id for part in newest.parts} if newest else set()
    if any(
        sets.part_manifest(gallery, digest, part.part_id) is None
        for part in embedding_set.parts
        if part.part_id not in known_parts
    ):
        return None  # collected before the pointer named it
    ours = set(planned)
    embedded = sum(part.num_embeddings for part in embedding_set.parts if part.part_id in ours)
    return EmbedReport(
        gallery=gallery,
        model=str(model.ref),
        set_id=set_id,
        embedded=embedded,
        reused=embedding_set.num_embeddings - embedded,
        failed=len(failures),
    )


def _read(galleries: Galleries, gallery: str, at: Snapshot) -> Iterator[tuple[list[ImageRecord], NDArray[np.uint8]]]:
    """The snapshot's records in key order, some at a time, and what an embedding of each would be of."""
    source = galleries.records(galleries.version(gallery, at.version_id))
    while records := list(islice(source, _READ_AT_ONCE)):
        yield records, pack_items(records)


def _known_failures(
    ledger: Ledger, gallery: str, model_digest: str, present: FinishedParts
) -> dict[tuple[str, str], Failure]:
    """What could not be embedded, by key and SHA-256: the ledger's entries and those of parts it does not know yet."""
    stage = embed_stage(model_digest)
    known = {
        (failure.key, failure.version): failure
        for failure in ledger.entries(gallery, stage)
        if failure.version is not None
    }
    for failed in present.failures:
        before = known.get((failed.key, failed.sha256))
        if before is None or before.attempts < failed.attempts:
            known[failed.key, failed.sha256] = Failure(
                key=failed.key,
                image_id=failed.image_id,
                stage=stage,
                code=failed.code,
                reason=failed.reason,
                attempts=failed.attempts,
                version=failed.sha256,
            )
    return known

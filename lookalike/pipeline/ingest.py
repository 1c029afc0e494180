"""images -> gallery: read every image of a source once, check it, keep its bytes and its record.

Source and gallery are both in key order, so the two are merged as streams: memory does not grow with either.
What has the stamp of last time is not read again.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lookalike.catalog import keys
from lookalike.catalog.content import put_content
from lookalike.catalog.galleries import Galleries, GalleryVersion
from lookalike.errors import InvalidImage, LookalikeError, UrlRefused, UrlUnreachable
from lookalike.galleries.port import GallerySource
from lookalike.images.container import FORMATS_WITH_END
from lookalike.images.decode import decode
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import probe
from lookalike.jobs.ledger import INGEST, Failure, Ledger
from lookalike.pipeline.ingest_notes import Note, Notes, follow_notes
from lookalike.pipeline.ingest_steps import Failed, New, Step, Tally, failure_of, merge
from lookalike.pipeline.ordered import map_ordered
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.storage.port import ObjectStore
from lookalike.telemetry.declared import IMAGES_FAILED
from lookalike.telemetry.metrics import PROCESS
from lookalike.types.ids import image_id, sha256_hex
from lookalike.types.images import ImageRecord, Labels, MetadataValue

REPORT_EVERY = 64
NOTES_BELIEVED_S = 1800.0


@dataclass(frozen=True)
class IngestReport:
    """``removed`` counts images that the source no longer has; ``failed`` those that went to the ledger."""

    gallery: str
    version_id: str
    added: int
    updated: int
    unchanged: int
    removed: int
    failed: int
    num_images: int


def ingest(
    store: ObjectStore,
    galleries: Galleries,
    ledger: Ledger,
    gallery: str,
    source: GallerySource,
    *,
    limits: ImageLimits,
    source_id: str | None = None,
    retry_failed: bool = False,
    threads: int = 4,
    notes_believed_s: float = NOTES_BELIEVED_S,
    report: Report = silent,
) -> IngestReport:
    """Makes ``gallery`` hold what ``source`` has; images from other sources stay, unless this one has another
    under the same key, which takes its place.

    The gallery is created when it doesn't exist. An image that cannot be read or is not one goes to the
    failure ledger and, if an older version of it is there, out of the gallery; only when a server did not answer
    the older version stays. It is not tried again while its stamp stays, unless ``retry_failed``. Interrupted, it
    has changed nothing in the gallery, and the next run goes on behind what it noted every few seconds, as long as
    notes are believed, ``notes_believed_s`` (well below the time after which garbage is collected). Raises
    PreconditionFailed when somebody else changed the gallery meanwhile.
    """
    pointer = galleries.get_or_create(gallery)
    base = galleries.version(gallery, pointer.version_id)
    name = source_id or sha256_hex(source.description.encode())[:16]
    known = {failure.key: failure for failure in ledger.entries(gallery, INGEST) if failure.source == name}
    tally, notes = Tally(), Notes(store, gallery, name, notes_believed_s)
    steps = merge(galleries.records(base), source, name, known, retry_failed, tally)
    before = (note for note in notes.before() if note.failure is None or not retry_failed)

    def settle(item: tuple[Step, Note | None]) -> ImageRecord | Failed:
        step, note = item
        if not isinstance(step, New):
            return step
        if note is None or not _is_whole(store, gallery, note):
            return _read(store, gallery, name, source, step, limits, known)
        return _noted(step, note, name)

    def settled(executor: ThreadPoolExecutor) -> Iterator[ImageRecord]:
        outcomes = map_ordered(executor, settle, follow_notes(steps, before), window=threads * 4)
        for done, ((step, note), outcome) in enumerate(outcomes, start=1):
            former = step.former if isinstance(step, New) else None
            if isinstance(step, New) and note is None:
                notes.add(_note(step, outcome))
            if isinstance(outcome, Failed):
                tally.failures.append(outcome.failure)
                PROCESS.count(IMAGES_FAILED, stage=INGEST, code=outcome.failure.code)
                if outcome.kept is not None:
                    tally.unchanged += outcome.kept.source == name
                    yield outcome.kept
                else:
                    tally.removed += former is not None
            else:
                if isinstance(step, New):
                    tally.added += former is None
                    tally.updated += former is not None
                yield outcome
            if done % REPORT_EVERY == 0:
                report(Progress("ingest", done, failed=len(tally.failures)))

    with ThreadPoolExecutor(threads, "ingest") as executor:
        version = galleries.replace(
            base, settled(executor), source=(name, source.description), created_at=pointer.created_at
        )
    others = [failure for failure in ledger.entries(gallery, INGEST) if failure.source != name]
    ledger.write(gallery, INGEST, [*others, *tally.failures])
    notes.clear()
    report(Progress("ingest", version.num_images, version.num_images, len(tally.failures)))
    return _summary(version, tally)


def _summary(version: GalleryVersion, tally: Tally) -> IngestReport:
    return IngestReport(
        gallery=version.gallery,
        version_id=version.version_id,
        added=tally.added,
        updated=tally.updated,
        unchanged=tally.unchanged,
        removed=tally.removed,
        failed=len(tally.failures),
        num_images=version.num_images,
    )


def _read(
    store: ObjectStore,
    gallery: str,
    name: str,
    source: GallerySource,
    new: New,
    limits: ImageLimits,
    known: dict[str, Failure],
) -> ImageRecord | Failed:
    image = new.image
    try:
        data = source.read(image)
        return store_image(
            store,
            gallery,
            image.key,
            data,
            limits=limits,
            labels=image.labels,
            metadata=image.metadata,
            stamp=image.stamp,
            source=name,
        )
    except (InvalidImage, UrlRefused, UrlUnreachable) as error:
        failure = failure_of(error.code, error.message, image.key, image.stamp, name, known)
        former = new.former
        stays = former is not None and (former.source != name or _may_come_back(error))
        return Failed(failure, former if stays else None)


def _may_come_back(error: LookalikeError) -> bool:
    """Whether the image may still be there: its server did not answer, or not with "not found" or "gone"."""
    return isinstance(error, UrlUnreachable) and error.details.get("status") not in (404, 410)


def _note(new: New, outcome: ImageRecord | Failed) -> Note:
    if isinstance(outcome, ImageRecord):
        return Note(key=new.image.key, stamp=new.image.stamp, record=outcome)
    return Note(key=new.image.key, stamp=new.image.stamp, failure=outcome.failure, stays=outcome.kept is not None)


def _is_whole(store: ObjectStore, gallery: str, note: Note) -> bool:
    """Not where the gallery was deleted meanwhile: nothing but the note spoke of those bytes."""
    return note.record is None or store.head(keys.image(gallery, note.record.sha256)) is not None


def _noted(new: New, note: Note, name: str) -> ImageRecord | Failed:
    """What reading the image came to before."""
    image = new.image
    if note.record is not None:
        return note.record.model_copy(update={"labels": image.labels, "metadata": dict(image.metadata)})
    assert note.failure is not None  # noqa: S101 a note has one of the two
    stays = new.former is not None and (new.former.source != name or note.stays)
    return Failed(note.failure, new.former if stays else None)


def store_image(
    store: ObjectStore,
    gallery: str,
    key: str,
    data: bytes,
    *,
    limits: ImageLimits,
    labels: Labels,
    metadata: dict[str, MetadataValue],
    stamp: str | None = None,
    source: str = "upload",
) -> ImageRecord:
    """Checks that one image is whole, keeps its bytes under their digest and returns its record.

    A JPEG, PNG or WebP is checked by its structure alone. Raises InvalidImage or a child of it; then nothing is
    stored.
    """
    info = probe(data, limits)
    if info.format not in FORMATS_WITH_END:
        decode(data, limits)
    digest = sha256_hex(data)
    put_content(store, keys.image(gallery, digest), data)
    return ImageRecord(
        image_id=image_id(gallery, key),
        key=key,
        sha256=digest,
        size_bytes=len(data),
        width=info.width,
        height=info.height,
        format=info.format,
        labels=labels,
        metadata=dict(metadata),
        stamp=stamp,
        source=source,
    )

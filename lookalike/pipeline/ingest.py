"""images -> gallery: read every image of a source once, check it, keep its bytes and its record.

Source and gallery are both in key order, so the two are merged as streams: memory does not grow with either.
What has the stamp of last time is not read again.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

from lookalike.catalog import keys
from lookalike.catalog.galleries import Galleries, GalleryVersion
from lookalike.errors import InvalidImage, LookalikeError, UrlRefused, UrlUnreachable
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import probe
from lookalike.jobs.ledger import INGEST, Failure, Ledger
from lookalike.pipeline.ordered import map_ordered
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.storage.port import ObjectStore
from lookalike.types.ids import image_id, sha256_hex
from lookalike.types.images import ImageRecord, Labels, MetadataValue

REPORT_EVERY = 64


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


@dataclass
class _Tally:
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class _New:
    """An image of the source that has to be read, and what the gallery had under its key."""

    image: SourceImage
    former: ImageRecord | None


_Step: TypeAlias = ImageRecord | _New | Failure


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
    report: Report = silent,
) -> IngestReport:
    """Makes ``gallery`` hold what ``source`` has; images from other sources stay.

    The gallery is created when it doesn't exist. An image that cannot be read or is not one goes to the
    failure ledger; it is not tried again while its stamp stays, unless ``retry_failed``. Interrupted, it has
    changed nothing, and the next run finds the bytes already stored. Raises PreconditionFailed when somebody
    else changed the gallery meanwhile.
    """
    galleries.get_or_create(gallery)
    base = galleries.version(gallery)
    name = source_id or sha256_hex(source.description.encode())[:16]
    known = {key: failure for key, failure in ledger.read(gallery, INGEST).items() if failure.source == name}
    tally = _Tally()
    steps = _merge(galleries.records(base), source.images(), name, {} if retry_failed else known, tally)

    def settle(step: _Step) -> ImageRecord | Failure:
        if isinstance(step, _New):
            return _read(store, gallery, name, source, step, limits, known)
        return step

    def settled(executor: ThreadPoolExecutor) -> Iterator[ImageRecord]:
        outcomes = map_ordered(executor, settle, steps, window=threads * 4)
        for done, (step, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, Failure):
                tally.failures.append(outcome)
                # A file that has become unreadable is no longer what the gallery has of it.
                tally.removed += isinstance(step, _New) and step.former is not None
            else:
                if isinstance(step, _New):
                    tally.added += step.former is None
                    tally.updated += step.former is not None
                yield outcome
            if done % REPORT_EVERY == 0:
                report(Progress("ingest", done, failed=len(tally.failures)))

    with ThreadPoolExecutor(threads, "ingest") as executor:
        version = galleries.replace(base, settled(executor), source=(name, source.description))
    others = [failure for failure in ledger.read(gallery, INGEST).values() if failure.source != name]
    ledger.write(gallery, INGEST, [*others, *tally.failures])
    report(Progress("ingest", version.num_images, version.num_images, len(tally.failures)))
    return _summary(version, tally)


def _summary(version: GalleryVersion, tally: _Tally) -> IngestReport:
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


def _merge(
    present: Iterator[ImageRecord],
    offered: Iterator[SourceImage | SourceProblem],
    name: str,
    known: dict[str, Failure],
    tally: _Tally,
) -> Iterator[_Step]:
    """Both streams in key order as one: what stays, what has to be read, what failed before."""
    record = next(present, None)
    for item in offered:
        while record is not None and record.key < item.key:
            yield from _left_over(record, name, tally)
            record = next(present, None)
        former = record if record is not None and record.key == item.key else None
        if former is not None:
            record = next(present, None)
        if isinstance(item, SourceProblem):
            tally.removed += former is not None
            yield Failure(key=item.key, stage=INGEST, code=item.code, reason=item.reason, source=name)
        else:
            yield _decide(item, former, name, known, tally)
    while record is not None:
        yield from _left_over(record, name, tally)
        record = next(present, None)


def _left_over(record: ImageRecord, name: str, tally: _Tally) -> Iterator[ImageRecord]:
    if record.source == name:
        tally.removed += 1
    else:
        yield record


def _decide(
    image: SourceImage, former: ImageRecord | None, name: str, known: dict[str, Failure], tally: _Tally
) -> _Step:
    failed = known.get(image.key)
    if failed is not None and failed.version is not None and failed.version == image.stamp:
        tally.removed += former is not None
        return failed
    if former is None or image.stamp is None or former.stamp != image.stamp or former.source != name:
        return _New(image, former)
    if former.labels == image.labels and former.metadata == image.metadata:
        tally.unchanged += 1
        return former
    tally.updated += 1
    return former.model_copy(update={"labels": image.labels, "metadata": dict(image.metadata)})


def _read(
    store: ObjectStore,
    gallery: str,
    name: str,
    source: GallerySource,
    new: _New,
    limits: ImageLimits,
    known: dict[str, Failure],
) -> ImageRecord | Failure:
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
        return _failure(error, image, name, known)


def _failure(error: LookalikeError, image: SourceImage, name: str, known: dict[str, Failure]) -> Failure:
    before = known.get(image.key)
    return Failure(
        key=image.key,
        stage=INGEST,
        code=error.code,
        reason=error.message,
        attempts=1 if before is None else before.attempts + 1,
        version=image.stamp,
        source=name,
    )


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
    """Checks one image's header, keeps its bytes under their digest and returns its record.

    Raises InvalidImage or a child of it; then nothing is stored.
    """
    info = probe(data, limits)
    digest = sha256_hex(data)
    object_key = keys.image(gallery, digest)
    if store.head(object_key) is None:
        store.put(object_key, data)
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

"""Source and gallery merged: what of each image of either is to be done.

Both are streams in key order, so memory does not grow with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from lookalike.errors import InvalidSource
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.jobs.ledger import INGEST, Failure
from lookalike.types.images import ImageRecord


@dataclass
class Tally:
    """What was done so far."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class New:
    """An image of the source that has to be read, and what the gallery had under its key."""

    image: SourceImage
    former: ImageRecord | None


@dataclass(frozen=True)
class Failed:
    """What goes to the ledger, and the record that stays in the gallery nevertheless."""

    failure: Failure
    kept: ImageRecord | None


Step: TypeAlias = ImageRecord | New | Failed


def merge(
    present: Iterator[ImageRecord],
    source: GallerySource,
    name: str,
    known: dict[str, Failure],
    retry_failed: bool,
    tally: Tally,
) -> Iterator[Step]:
    """Both streams in key order as one: what stays, what has to be read, what failed before."""
    record, last = next(present, None), ""
    for item in source.images():
        if item.key <= last:
            raise InvalidSource(f"{source.description} does not yield its keys in order: {item.key!r} after {last!r}")
        last = item.key
        while record is not None and record.key < item.key:
            yield from _left_over(record, name, tally)
            record = next(present, None)
        former = record if record is not None and record.key == item.key else None
        if former is not None:
            record = next(present, None)
        if isinstance(item, SourceProblem):
            failure = failure_of(item.code, item.reason, item.key, None, name, known)
            yield _failed(failure, former, name, tally)
        else:
            yield _decide(item, former, name, known, retry_failed, tally)
    while record is not None:
        yield from _left_over(record, name, tally)
        record = next(present, None)


def _failed(failure: Failure, former: ImageRecord | None, name: str, tally: Tally) -> Failed:
    """Nothing was read: a record of this source goes, one of another under the same key is not concerned."""
    kept = former if former is not None and former.source != name else None
    tally.removed += former is not None and kept is None
    return Failed(failure, kept)


def _left_over(record: ImageRecord, name: str, tally: Tally) -> Iterator[ImageRecord]:
    if record.source == name:
        tally.removed += 1
    else:
        yield record


def _decide(
    image: SourceImage,
    former: ImageRecord | None,
    name: str,
    known: dict[str, Failure],
    retry_failed: bool,
    tally: Tally,
) -> Step:
    before = known.get(image.key)
    if before is not None and before.version is not None and before.version == image.stamp and not retry_failed:
        return _failed(before, former, name, tally)
    if former is None or image.stamp is None or former.stamp != image.stamp or former.source != name:
        return New(image, former)
    if former.labels == image.labels and former.metadata == image.metadata:
        tally.unchanged += 1
        return former
    tally.updated += 1
    return former.model_copy(update={"labels": image.labels, "metadata": dict(image.metadata)})


def failure_of(code: str, reason: str, key: str, version: str | None, name: str, known: dict[str, Failure]) -> Failure:
    before = known.get(key)
    attempts = 1 if before is None else before.attempts + 1
    return Failure(key=key, stage=INGEST, code=code, reason=reason, attempts=attempts, version=version, source=name)

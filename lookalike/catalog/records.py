"""The image records of a gallery version: immutable parts in key order.

A part ends after an image whose identifier happens to end in ten zero bits (content-defined chunking), or
when it is full. So a changed image changes the part that holds it and no other, and equal records always
give equal parts, wherever they were written.
"""

import bisect
import hashlib
from collections.abc import Iterable, Iterator, Mapping

from pydantic import ValidationError

from lookalike.catalog import keys
from lookalike.catalog.content import put_content
from lookalike.catalog.documents import Document
from lookalike.errors import DamagedArtifact
from lookalike.storage.port import ObjectStore
from lookalike.types.images import ImageRecord

MAX_PART_RECORDS = 4096
_BOUNDARY_BITS = 10


class RecordPart(Document):
    """``first_key`` and ``last_key`` are inclusive; ``digest`` is the SHA-256 of the part's JSON lines."""

    digest: str
    num_images: int
    first_key: str
    last_key: str


def ends_part(record: ImageRecord) -> bool:
    return int(record.image_id[-8:], 16) & ((1 << _BOUNDARY_BITS) - 1) == 0


def write_parts(store: ObjectStore, gallery: str, records: Iterable[ImageRecord]) -> Iterator[RecordPart]:
    """Writes ``records``, which come in key order, and yields their parts; what exists is not written again."""
    pending: list[ImageRecord] = []
    for record in records:
        pending.append(record)
        if len(pending) == MAX_PART_RECORDS or ends_part(record):
            yield _write_part(store, gallery, pending)
            pending = []
    if pending:
        yield _write_part(store, gallery, pending)


def _write_part(store: ObjectStore, gallery: str, records: list[ImageRecord]) -> RecordPart:
    data = b"".join(record.model_dump_json(exclude_defaults=True).encode() + b"\n" for record in records)
    digest = hashlib.sha256(data).hexdigest()
    put_content(store, keys.record_part(gallery, digest), data)
    return RecordPart(digest=digest, num_images=len(records), first_key=records[0].key, last_key=records[-1].key)


def read_part(store: ObjectStore, gallery: str, part: RecordPart) -> list[ImageRecord]:
    """Raises DamagedArtifact when the bytes are not those that were written."""
    key = keys.record_part(gallery, part.digest)
    data = store.get(key)
    if hashlib.sha256(data).hexdigest() != part.digest:
        raise DamagedArtifact(f"{key} does not have its digest", key=key)
    try:
        return [ImageRecord.model_validate_json(line) for line in data.splitlines()]
    except ValidationError as error:
        raise DamagedArtifact(f"{key} is not image records", key=key) from error


def read_records(store: ObjectStore, gallery: str, parts: Iterable[RecordPart]) -> Iterator[ImageRecord]:
    """All records in key order, a part at a time in memory."""
    for part in parts:
        yield from read_part(store, gallery, part)


def change_parts(
    store: ObjectStore,
    gallery: str,
    parts: Iterable[RecordPart],
    changes: Mapping[str, ImageRecord | None],
) -> Iterator[RecordPart]:
    """``parts`` with ``changes`` by key (None deletes): only the parts in whose range a change falls are read."""
    remaining = sorted(changes)
    for part in parts:
        position = bisect.bisect_right(remaining, part.last_key)
        here, remaining = remaining[:position], remaining[position:]
        if here:
            present = {record.key: record for record in read_part(store, gallery, part)}
            yield from write_parts(store, gallery, _applied(present, {key: changes[key] for key in here}))
        else:
            yield part
    yield from write_parts(store, gallery, _applied({}, {key: changes[key] for key in remaining}))


def _applied(records: dict[str, ImageRecord], changes: Mapping[str, ImageRecord | None]) -> Iterator[ImageRecord]:
    for key in sorted(records.keys() | changes.keys()):
        record = changes[key] if key in changes else records[key]
        if record is not None:
            yield record

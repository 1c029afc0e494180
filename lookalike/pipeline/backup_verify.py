"""Whether a backup would bring the system back: every digest, and everything that is referred to."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lookalike.catalog import documents, keys
from lookalike.catalog.embedding_sets import PartManifest
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.orphans import Kind, References, references
from lookalike.catalog.snapshot import NEVER_YOUNG
from lookalike.errors import DamagedArtifact
from lookalike.pipeline.backup_format import BackupManifest, Entry
from lookalike.pipeline.backup_view import BackupView, fetch, fetch_file
from lookalike.pipeline.ordered import map_ordered
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.storage.port import ObjectStore

_IN_MEMORY_BYTES = 1 << 20
_MAX_NAMED = 1000
_REPORT_EVERY = 100


class Verification(BaseModel):
    """``damaged`` says what is wrong, at most the first thousand of ``num_damaged``."""

    model_config = ConfigDict(frozen=True)

    backup_id: str
    num_objects: int
    size_bytes: int
    num_damaged: int
    damaged: tuple[str, ...]


def verify(
    place: ObjectStore, manifest: BackupManifest, scratch: Path, *, threads: int = 8, report: Report = silent
) -> Verification:
    """Reads all of a backup again, and restores nothing. Raises DependencyUnavailable."""
    view = BackupView(place, manifest)
    damaged: list[str] = []
    num_damaged = size_bytes = number = 0

    def check(entry: Entry) -> str | None:
        path = scratch / uuid.uuid4().hex
        try:
            if entry.size_bytes <= _IN_MEMORY_BYTES:
                fetch(place, entry)
            else:
                fetch_file(place, entry, path)
        except DamagedArtifact as error:
            return error.message
        finally:
            path.unlink(missing_ok=True)
        return None

    def note(reason: str) -> None:
        nonlocal num_damaged
        num_damaged += 1
        if len(damaged) < _MAX_NAMED:
            damaged.append(reason)

    with ThreadPoolExecutor(threads, "verify") as executor:
        try:
            checked = map_ordered(executor, check, view.entries(), window=threads * 4)
            for number, (entry, reason) in enumerate(checked, start=1):
                size_bytes += entry.size_bytes
                if reason is not None:
                    note(reason)
                if number % _REPORT_EVERY == 0 or number == manifest.num_objects:
                    report(Progress("verify", number, manifest.num_objects, num_damaged))
        except DamagedArtifact as error:  # a list of entries
            note(error.message)
    if not num_damaged:
        for reason in _missing(view, manifest):
            note(reason)
    return Verification(
        backup_id=manifest.backup_id,
        num_objects=number,
        size_bytes=size_bytes,
        num_damaged=num_damaged,
        damaged=tuple(damaged),
    )


def _missing(view: BackupView, manifest: BackupManifest) -> Iterator[str]:
    """What the pointers of its galleries refer to and is not in it."""
    for gallery in manifest.galleries:
        try:
            kept = references(view, gallery, NEVER_YOUNG)
        except DamagedArtifact as error:
            yield error.message
            continue
        lacking = {digest.hex().ljust(64, "0") for digest in kept.images}
        for entry in view.entries(f"galleries/{gallery}/images/"):
            lacking.discard(entry.key.rpartition("/")[2])
        yield from (f"image {digest} of {gallery} is not in the backup" for digest in sorted(lacking))
        for key in _files(view, gallery, kept, with_indexes=manifest.with_indexes):
            if view.head(key) is None:
                yield f"{key} is not in the backup"


def _files(view: BackupView, gallery: str, kept: References, *, with_indexes: bool) -> Iterator[str]:
    """The keys of what kept parts and indexes consist of."""
    folder = keys.gallery_folder(gallery)
    for name in sorted(kept.names[Kind.PART]):
        model, _, identifier = name.partition("/")
        part = f"{folder}embeddings/{model}/parts/{identifier}/"
        made = documents.read_or_none(view, PartManifest, f"{part}part.json")
        files = ("part.json",) if made is None else (made.embeddings_file, made.items_file)
        yield from (part + file for file in files)
    for name in sorted(kept.names[Kind.INDEX]) if with_indexes else ():
        built = documents.read(view, IndexManifest, keys.index_manifest(gallery, name))
        yield from (f"{keys.index_folder(gallery, name)}{file.name}" for file in built.files)

"""Old backups, and what only they had."""

from collections.abc import Callable, Iterator

from lookalike.catalog import documents
from lookalike.errors import InvalidRequest
from lookalike.pipeline.backup_format import (
    BACKUPS,
    ENTRIES,
    BackupManifest,
    manifest_key,
    manifest_keys,
    read_entries,
)
from lookalike.pipeline.backup_known import Digests, listed_objects
from lookalike.storage.port import ObjectStore


def prune(
    place: ObjectStore, keep: int, *, made: str | None = None, still_ours: Callable[[], object] = lambda: None
) -> list[str]:
    """Removes all backups but the newest ``keep``, and what none of those has; says which.

    The backup ``made`` is the newest, whatever the clocks said that named the others. Nobody may write to the place
    meanwhile: ``still_ours`` raises when somebody does. Stopped anywhere, what is left of the removed ones goes the
    next time. Raises InvalidRequest for fewer than one, DamagedArtifact where a list of a kept backup is damaged: then
    nothing of what it might need is removed.
    """
    if keep < 1:
        raise InvalidRequest("at least one backup is kept")
    newest = None if made is None else manifest_key(made)
    names = sorted(manifest_keys(place), key=lambda name: name != newest)
    kept = [documents.read(place, BackupManifest, name) for name in names[:keep]]
    needed = Digests.of(digest for manifest in kept for digest in _digests(place, manifest))
    parts = {part.digest for manifest in kept for part in manifest.parts}

    def remove(key: str) -> None:
        still_ours()
        place.delete(key)

    for name in names[keep:]:
        remove(name)
    for info in place.list(ENTRIES):
        if info.key.removeprefix(ENTRIES).removesuffix(".jsonl") not in parts:
            remove(info.key)
    for digest, key in listed_objects(place):
        if digest not in needed:
            remove(key)
    return sorted(name.removeprefix(BACKUPS).removesuffix(".json") for name in names[keep:])


def _digests(place: ObjectStore, manifest: BackupManifest) -> Iterator[str]:
    for entry in read_entries(place, manifest):
        yield entry.sha256

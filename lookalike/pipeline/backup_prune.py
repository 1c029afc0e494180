"""Old backups, and what only they had."""

from collections.abc import Iterator

from lookalike.errors import InvalidRequest
from lookalike.pipeline.backup_format import (
    BACKUPS,
    ENTRIES,
    OBJECTS,
    BackupManifest,
    list_backups,
    manifest_key,
    read_entries,
)
from lookalike.pipeline.backup_known import Digests
from lookalike.storage.port import ObjectStore


def prune(place: ObjectStore, keep: int) -> list[str]:
    """Removes all backups but the newest ``keep``, and what none of those has; says which.

    Nobody may write to the place meanwhile. Stopped anywhere, what is left of the removed ones goes the next time.
    Raises InvalidRequest for fewer than one, DamagedArtifact where a list of a kept backup is damaged: then nothing of
    what it might need is removed.
    """
    if keep < 1:
        raise InvalidRequest("at least one backup is kept")
    kept = list_backups(place)[:keep]
    needed = Digests.of(digest for manifest in kept for digest in _digests(place, manifest))
    parts = {part.digest for manifest in kept for part in manifest.parts}
    names = {manifest_key(manifest.backup_id) for manifest in kept}
    removed = []
    for info in list(place.list(BACKUPS)):
        if info.key not in names:
            place.delete(info.key)
            removed.append(info.key.removeprefix(BACKUPS).removesuffix(".json"))
    for info in place.list(ENTRIES):
        if info.key.removeprefix(ENTRIES).removesuffix(".jsonl") not in parts:
            place.delete(info.key)
    for info in place.list(OBJECTS):
        if info.key.rpartition("/")[2] not in needed:
            place.delete(info.key)
    return removed


def _digests(place: ObjectStore, manifest: BackupManifest) -> Iterator[str]:
    for entry in read_entries(place, manifest):
        yield entry.sha256

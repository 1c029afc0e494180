"""Which jobs of a gallery have not ended, in their order: ``lanes/<gallery>/<lane>/<time>-<job_id>``.

Small objects in the store beside the job documents, so that neither a submission nor a look at what is unfinished has
to read all jobs that ever were. An entry is written before its job is first queued and removed after it has ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from lookalike.catalog.keys import check_gallery_name
from lookalike.jobs.port import Job
from lookalike.storage.port import ObjectStore

LANES = "lanes/"
_ID_CHARS = 36
_TIME = "%Y%m%dT%H%M%S%f"


@dataclass(frozen=True)
class Entry:
    """One job that has not ended, or whose process died right after it had; ``at`` is when it was made."""

    gallery: str
    lane: str
    job_id: str
    key: str
    at: datetime


@dataclass(frozen=True)
class Lanes:
    """The lanes of one object store."""

    store: ObjectStore

    def enter(self, job: Job, lane: str, at: datetime) -> str:
        """The key of the new entry, behind all that were made before ``at``."""
        key = f"{LANES}{check_gallery_name(job.gallery)}/{lane}/{at.astimezone(UTC).strftime(_TIME)}-{job.job_id}"
        self.store.put(key, b"\n")
        return key

    def leave(self, entry: str) -> None:
        self.store.delete(entry)

    def waiting(self, gallery: str, lane: str) -> Iterator[Entry]:
        """The entries of one lane, the first submitted first."""
        return self._entries(f"{LANES}{check_gallery_name(gallery)}/{lane}/")

    def all(self) -> Iterator[Entry]:
        """Every entry, lane by lane."""
        return self._entries(LANES)

    def _entries(self, prefix: str) -> Iterator[Entry]:
        for info in self.store.list(prefix):
            _, gallery, lane, name = info.key.split("/")
            at = datetime.strptime(name[: -_ID_CHARS - 1], _TIME).replace(tzinfo=UTC)
            yield Entry(gallery, lane, name[-_ID_CHARS:], info.key, at)

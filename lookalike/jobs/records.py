"""Jobs as documents in the object store: ``jobs/<id>.json``."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lookalike.catalog import documents, keys
from lookalike.errors import DamagedArtifact, JobNotFound, NewerFormat, ObjectNotFound
from lookalike.jobs.formats import Formatted
from lookalike.jobs.port import Job
from lookalike.storage.port import ObjectStore

JOBS = "jobs/"

_log = logging.getLogger(__name__)


class JobDocument(Formatted):
    """A job and the process that is to run it, or ran it; for a queued one ``entry`` is its place in its lane."""

    owner: str
    job: Job
    entry: str | None = None


@dataclass(frozen=True)
class JobRecords:
    """The job documents of one store.

    With :meth:`put` the last writer wins: for jobs that one process owns. Those that several may change at once are
    changed with :meth:`change`. A job that a later version wrote raises NewerFormat.
    """

    store: ObjectStore

    def put(self, document: JobDocument) -> None:
        self.store.put(keys.job(document.job.job_id), documents.encode(document))

    def change(self, job_id: str, update: Callable[[JobDocument], JobDocument]) -> JobDocument:
        """Reads, updates and writes as one step, again from the start where somebody else wrote in between.

        Returns what is there now. Raises JobNotFound, or InvalidRequest for what can be no job_id.
        """

        def move(present: JobDocument | None) -> JobDocument:
            if present is None:
                raise JobNotFound(f"there is no job {job_id!r:.100}", job_id=job_id[:100])
            return update(present)

        return documents.change(self.store, JobDocument, keys.job(job_id), move)

    def get(self, job_id: str) -> JobDocument:
        """Raises JobNotFound, or InvalidRequest for what can be no job_id."""
        try:
            return documents.read(self.store, JobDocument, keys.job(job_id))
        except ObjectNotFound:
            raise JobNotFound(f"there is no job {job_id!r:.100}", job_id=job_id[:100]) from None

    def ids(self) -> list[str]:
        """Every job_id, in no useful order."""
        return [info.key.removeprefix(JOBS).removesuffix(".json") for info in self.store.list(JOBS)]

    def list(self) -> Iterator[JobDocument]:
        """Every document. One that is deleted meanwhile is passed over, and so is one that cannot be read: what is
        known of an old job must not keep new ones from running."""
        for job_id in self.ids():
            try:
                found = documents.read_or_none(self.store, JobDocument, keys.job(job_id))
            except (DamagedArtifact, NewerFormat) as error:
                _log.warning("passed over: %s", error.message)
                continue
            if found is not None:
                yield found

    def delete(self, job_id: str) -> None:
        self.store.delete(keys.job(job_id))

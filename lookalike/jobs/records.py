"""Jobs as documents in the object store: ``jobs/<id>.json``."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.errors import DamagedArtifact, JobNotFound, ObjectNotFound
from lookalike.jobs.port import Job
from lookalike.storage.port import ObjectStore

JOBS = "jobs/"

_log = logging.getLogger(__name__)


class JobDocument(Document):
    """A job and the process that is to run it, or ran it."""

    owner: str
    job: Job


@dataclass(frozen=True)
class JobRecords:
    """The job documents of one store. The last writer wins: only a job's owner writes it while it has one."""

    store: ObjectStore

    def put(self, document: JobDocument) -> None:
        self.store.put(keys.job(document.job.job_id), documents.encode(document))

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
            except DamagedArtifact as error:
                _log.warning("passed over: %s", error.message)
                continue
            if found is not None:
                yield found

    def delete(self, job_id: str) -> None:
        self.store.delete(keys.job(job_id))

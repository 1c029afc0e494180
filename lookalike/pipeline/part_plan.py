"""What a queued job is to embed: a plan in the store, made once, from which any worker takes a part.

A plan names the places of its images in a gallery version, which never changes, and the identifier of the part that
they make. A part is done when its manifest exists; so what is missing follows from plan and store alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.catalog.galleries import Galleries
from lookalike.errors import DamagedArtifact, PreconditionFailed
from lookalike.jobs.formats import Formatted
from lookalike.pipeline.embed_plan import PlannedPart, Snapshot
from lookalike.storage.port import ObjectStore


class PlanPart(Document):
    """``runs`` are pairs of first and last + 1 place in the version's records."""

    part_id: str
    attempt: int
    num_images: int
    runs: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> list[int]:
        return [row for start, stop in self.runs for row in range(start, stop)]


class PartPlan(Formatted):
    """``plans/<job_id>/<number>.json``; the last of a job counts. ``job_attempt`` is the attempt that made it.

    ``catch_up`` counts the plans before it whose images came only after the job had begun.
    """

    job_id: str
    number: int
    job_attempt: int
    catch_up: int = 0
    gallery: str
    model: str
    model_digest: str
    version_id: str
    newest_etag: str | None
    num_images: int
    parts: tuple[PlanPart, ...]

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.version_id, self.newest_etag)

    @property
    def num_planned(self) -> int:
        return sum(part.num_images for part in self.parts)


class PinnedSet(Formatted):
    """``plans/<job_id>/set/<attempt>.json``: the embedding set from which an attempt builds."""

    set_id: str


@dataclass(frozen=True)
class Plans:
    """The plans of one object store."""

    store: ObjectStore

    def last(self, job_id: str) -> PartPlan | None:
        """The plan that counts, or None while there is none."""
        found = [info.key for info in self.store.list(f"{keys.plans(job_id)}parts/")]
        return None if not found else documents.read(self.store, PartPlan, found[-1])

    def planned(self, job_id: str) -> list[str]:
        """The identifiers of the parts of all plans of a job."""
        found = [info.key for info in self.store.list(f"{keys.plans(job_id)}parts/")]
        return [part.part_id for key in found for part in documents.read(self.store, PartPlan, key).parts]

    def write(self, plan: PartPlan) -> PartPlan:
        """Keeps ``plan``, unless somebody else has written one of this number first: that one counts then."""
        key = keys.plan(plan.job_id, plan.number)
        try:
            self.store.put_if(key, documents.encode(plan), etag=None)
        except PreconditionFailed:
            return documents.read(self.store, PartPlan, key)
        return plan

    def pin(self, job_id: str, job_attempt: int, set_id: str) -> str:
        """Binds an attempt to an embedding set; returns the one that it was bound to first."""
        key = keys.pinned(job_id, job_attempt)
        try:
            self.store.put_if(key, documents.encode(PinnedSet(set_id=set_id)), etag=None)
        except PreconditionFailed:
            return documents.read(self.store, PinnedSet, key).set_id
        return set_id

    def pinned(self, job_id: str, job_attempt: int) -> str | None:
        """The embedding set that an attempt is bound to, or None while it is to none."""
        found = documents.read_or_none(self.store, PinnedSet, keys.pinned(job_id, job_attempt))
        return None if found is None else found.set_id

    def forget(self, job_id: str) -> None:
        for info in list(self.store.list(keys.plans(job_id))):
            self.store.delete(info.key)


def plan_part(part: PlannedPart) -> PlanPart:
    return PlanPart(part_id=part.part_id, attempt=part.attempt, num_images=len(part.rows), runs=tuple(_runs(part.rows)))


def planned_part(galleries: Galleries, plan: PartPlan, part: PlanPart) -> PlannedPart:
    """``part`` with its records. Raises DamagedArtifact where the version does not have them."""
    records = galleries.records_at(galleries.version(plan.gallery, plan.version_id), part.rows)
    if len(records) != part.num_images:
        raise DamagedArtifact(f"the plan of job {plan.job_id} is not of version {plan.version_id}", job_id=plan.job_id)
    return PlannedPart(part.part_id, list(records), part.attempt)


def _runs(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    start = stop = None
    for row in rows:
        if row != stop:
            if start is not None and stop is not None:
                yield start, stop
            start = row
        stop = row + 1
    if start is not None and stop is not None:
        yield start, stop

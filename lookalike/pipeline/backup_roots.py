"""What jobs that have not ended need beside what the pointers refer to: planned parts, and sets to build from."""

from collections.abc import Iterable

from lookalike.catalog import keys
from lookalike.catalog.orphans import Roots
from lookalike.jobs.port import Job
from lookalike.pipeline.part_plan import Plans
from lookalike.storage.port import ObjectStore


def roots_of(store: ObjectStore, jobs: Iterable[Job]) -> dict[str, Roots]:
    """By gallery, what of the plans of ``jobs`` exists: with it they go on after a restore, from where they are."""
    versions: dict[str, set[str]] = {}
    sets: dict[str, set[str]] = {}
    parts: dict[str, set[str]] = {}
    plans = Plans(store)
    for job in jobs:
        gallery = job.gallery
        plan = plans.last(job.job_id)
        if plan is not None and store.head(keys.gallery_version(gallery, plan.version_id)) is not None:
            versions.setdefault(gallery, set()).add(plan.version_id)
            for identifier in plans.planned(job.job_id):
                folder = keys.embedding_part(gallery, plan.model_digest, identifier)
                if store.head(f"{folder}part.json") is not None:
                    parts.setdefault(gallery, set()).add(f"{plan.model_digest[:16]}/{identifier}")
        pinned = plans.pinned(job.job_id, job.attempt)
        if pinned is not None and store.head(keys.embedding_set(gallery, pinned)) is not None:
            sets.setdefault(gallery, set()).add(pinned)
    return {
        gallery: Roots(
            frozenset(versions.get(gallery, ())), frozenset(sets.get(gallery, ())), frozenset(parts.get(gallery, ()))
        )
        for gallery in versions.keys() | sets.keys()
    }

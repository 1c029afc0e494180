"""The indexes of one embedding set as units: which are built, and the building of one."""

from dataclasses import dataclass

from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.indexes import IndexManifest
from lookalike.errors import DamagedArtifact
from lookalike.jobs.port import Job
from lookalike.jobs.steps import Queue, Unit
from lookalike.pipeline.index_gallery import build_indexes
from lookalike.pipeline.part_plan import Plans
from lookalike.pipeline.progress import Progress, Report
from lookalike.pipeline.reembed import Wanted, find_built
from lookalike.pipeline.workspace import Workspace

PREFIX = "build"


@dataclass(frozen=True)
class BuildUnits:
    """Indexes of the sets that jobs are bound to, in one workspace."""

    workspace: Workspace
    plans: Plans

    def pinned(self, job: Job, newest: EmbeddingSet) -> EmbeddingSet:
        """The set that this attempt builds from: ``newest`` at the first call, and that one ever after."""
        self.workspace.sets.store(newest)
        set_id = self.plans.pin(job.job_id, job.attempt, newest.set_id)
        return self.workspace.sets.get(job.gallery, set_id)

    def find_pinned(self, job: Job) -> EmbeddingSet | None:
        """The set that this attempt is bound to, or None while it is to none."""
        set_id = self.plans.pinned(job.job_id, job.attempt)
        return None if set_id is None else self.workspace.sets.get(job.gallery, set_id)

    def missing(self, embedding_set: EmbeddingSet, wanted: Wanted) -> tuple[Unit, ...]:
        """The units of the indexes that are not built. Raises as :func:`lookalike.pipeline.reembed.find_built`."""
        return tuple(
            Unit(f"{PREFIX}-{backend}", Queue.INDEX)
            for backend in wanted
            if self._find(embedding_set, wanted, backend) is None
        )

    def manifests(self, embedding_set: EmbeddingSet, wanted: Wanted) -> list[IndexManifest]:
        """Those that are built, in the order of ``wanted``."""
        found = [self._find(embedding_set, wanted, backend) for backend in wanted]
        return [manifest for manifest in found if manifest is not None]

    def progress(self, embedding_set: EmbeddingSet, wanted: Wanted) -> Progress:
        return Progress("build", len(self.manifests(embedding_set, wanted)), len(wanted))

    def run(self, embedding_set: EmbeddingSet, wanted: Wanted, name: str, report: Report) -> None:
        """Builds one index. Raises what building raises."""
        backend = name.partition("-")[2]
        if backend not in wanted:
            raise DamagedArtifact(f"no index of {backend!r:.100} was asked for")

        def told(progress: Progress) -> None:
            report(self.progress(embedding_set, wanted))  # of all that are built, not of this one's steps

        build_indexes(
            self.workspace, embedding_set.gallery, embedding_set, [backend], params=wanted[backend], report=told
        )

    def _find(self, embedding_set: EmbeddingSet, wanted: Wanted, backend: str) -> IndexManifest | None:
        return find_built(self.workspace, embedding_set, backend, wanted[backend])

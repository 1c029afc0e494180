"""How jobs are done by workers: each kind as units of the queues, all of them functions of the straight path.

What embeds a gallery is a plan of parts for the workers that have the model; indexes are built one a unit; everything
else is one unit that runs the job to its end, as a process does that works alone.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from pydantic import JsonValue

from lookalike.catalog.embedding_sets import PART_IMAGES
from lookalike.errors import DamagedArtifact
from lookalike.jobs.port import Job, JobRequest
from lookalike.jobs.steps import ADVANCE, Finished, Pending, Queue, Unit
from lookalike.pipeline import job_kinds as kinds
from lookalike.pipeline.backends import installed
from lookalike.pipeline.build_units import PREFIX as BUILD
from lookalike.pipeline.build_units import BuildUnits
from lookalike.pipeline.embed_plan import EmbedReport, finish_set, plan_parts, snapshot
from lookalike.pipeline.index_gallery import newest_set
from lookalike.pipeline.job_kinds import JobKind
from lookalike.pipeline.job_run import reembed_checks, reembed_wanted
from lookalike.pipeline.part_plan import PartPlan, Plans, plan_part
from lookalike.pipeline.part_units import PREFIX as PART
from lookalike.pipeline.part_units import PartUnits
from lookalike.pipeline.progress import Progress, Report
from lookalike.pipeline.promote import follow_gallery
from lookalike.pipeline.reembed import MAX_CATCH_UPS, Wanted, base_for, compare_and_promote, reembed_report
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelManifest, ModelRef

Execute = Callable[[JobRequest, Report], dict[str, JsonValue]]

_FIRST = {
    JobKind.ADD: Unit(ADVANCE, Queue.EMBED, urgent=True),
    JobKind.EVALUATE: Unit(ADVANCE, Queue.EVALUATE),
}
_LANES = {JobKind.ADD: "add", JobKind.EVALUATE: "evaluate"}


@dataclass
class JobSteps:
    """A :class:`lookalike.jobs.steps.Steps` in one workspace.

    ``execute`` runs a whole job in this process; ``part_images`` is the size of the parts that are planned.
    """

    workspace: Workspace
    execute: Execute
    part_images: int = PART_IMAGES
    _parts: PartUnits = field(init=False)
    _builds: BuildUnits = field(init=False)
    _plans: Plans = field(init=False)

    def __post_init__(self) -> None:
        self._parts = PartUnits(self.workspace)
        self._plans = Plans(self.workspace.store)
        self._builds = BuildUnits(self.workspace, self._plans)

    def lane(self, kind: str) -> str:
        return _LANES.get(kinds.job_kind(kind), "main")

    def first(self, kind: str) -> Unit:
        return _FIRST.get(kinds.job_kind(kind), Unit(ADVANCE, Queue.INDEX))

    def advance(self, job: Job, queue: Queue, report: Report) -> Pending | Finished:
        params = kinds.parse_params(kinds.job_kind(job.kind), job.params)
        if isinstance(params, kinds.EmbedParams):
            made = self._embedded(job, params.model, retry_failed=params.retry_failed)
            if isinstance(made, Pending):
                return made
            self._follow(job.gallery)
            return Finished(asdict(made))
        if isinstance(params, kinds.BuildParams):
            pinned = self._builds.pinned(job, newest_set(self.workspace, job.gallery, params.model))
            wanted = self._wanted(job)
            waiting = self._builds.missing(pinned, wanted)
            if waiting:
                return Pending(waiting, self._builds.progress(pinned, wanted))
            manifests = self._builds.manifests(pinned, wanted)
            return Finished({"indexes": [manifest.model_dump(mode="json") for manifest in manifests]})
        if isinstance(params, kinds.ReembedParams):
            return self._reembedded(job, params, report)
        return Finished(self.execute(job.request, report))

    def pending(self, job: Job) -> tuple[Unit, ...]:
        plan = self._plans.last(job.job_id)
        parts = () if plan is None else self._parts.missing(plan)
        if parts:
            return parts
        pinned = self._builds.find_pinned(job)
        return () if pinned is None else self._builds.missing(pinned, self._wanted(job))

    def run(self, job: Job, unit: str, report: Report, *, starts: int) -> Progress:
        what = unit.partition("-")[0]
        if what == PART:
            plan = self._plans.last(job.job_id)
            if plan is None:
                raise DamagedArtifact(f"the plan of job {job.job_id} is gone", job_id=job.job_id)
            self._parts.run(plan, unit, starts=starts)
            return self._parts.progress(plan)
        if what == BUILD:
            pinned, wanted = self._builds.find_pinned(job), self._wanted(job)
            if pinned is None:
                raise DamagedArtifact(f"job {job.job_id} has no embedding set to build from", job_id=job.job_id)
            self._builds.run(pinned, wanted, unit, report)
            return self._builds.progress(pinned, wanted)
        raise DamagedArtifact(f"a job of kind {job.kind} has no unit {unit!r:.100}", job_id=job.job_id)

    def _wanted(self, job: Job) -> Wanted:
        """The indexes that a job of its kind builds, with their parameters."""
        params = kinds.parse_params(kinds.job_kind(job.kind), job.params)
        if isinstance(params, kinds.ReembedParams):
            return reembed_wanted(self.workspace, params)
        if isinstance(params, kinds.BuildParams):
            return dict.fromkeys(params.backends or self._installed(), params.params)
        return {}

    def _installed(self) -> list[str]:
        return installed(self.workspace.backend, self.workspace.backend_names)[0]

    def _reembedded(self, job: Job, params: kinds.ReembedParams, report: Report) -> Pending | Finished:
        """As :func:`lookalike.pipeline.reembed.reembed`, but for what comes while it promotes: a job of its own."""
        at, gallery = self.workspace, job.gallery
        made = self._embedded(job, params.model, retry_failed=params.retry_failed, catch_up=True)
        if isinstance(made, Pending):
            return made
        wanted = self._wanted(job)
        base = self._builds.find_pinned(job)
        if base is None:
            base = self._builds.pinned(job, base_for(at, gallery, made.model, wanted))
        waiting = self._builds.missing(base, wanted)
        if waiting:
            return Pending(waiting, self._builds.progress(base, wanted))
        manifests = self._builds.manifests(base, wanted)
        promotion = compare_and_promote(at, base, manifests, checks=reembed_checks(at, params), report=report)
        self._follow(gallery)
        made_live = reembed_report(
            base,
            promotion,
            embedded=made.embedded,
            reused=made.reused,
            failed=made.failed,
            built=[manifest.index_id for manifest in manifests if manifest.built_at >= job.created_at],
        )
        done = Progress("promote", 1, 1)
        return Finished(made_live.model_dump(mode="json"), then=((JobKind.ADD.value, {}),), progress=done)

    def _embedded(self, job: Job, model: str, *, retry_failed: bool, catch_up: bool = False) -> Pending | EmbedReport:
        """The parts that are missing, or what the set became when none is.

        With ``catch_up`` also of images that came since the job began, up to a number of rounds.
        """
        at = self.workspace
        plan = self._plan(job, at.models.get(ModelRef.parse(model)), retry_failed=retry_failed)
        manifest = at.models.get(ModelRef.parse(plan.model))  # a version that comes meanwhile is another model
        while True:
            missing = self._parts.missing(plan)
            if missing:
                return Pending(missing, self._parts.progress(plan))
            made = finish_set(
                at.galleries,
                at.sets,
                at.ledger,
                job.gallery,
                manifest,
                plan.snapshot,
                planned=self._plans.planned(job.job_id),
            )
            is_behind = catch_up and at.galleries.get(job.gallery).version_id != plan.version_id
            if made is not None and not (is_behind and plan.catch_up < MAX_CATCH_UPS):
                return made
            catch_up_number = plan.catch_up + (made is not None)
            plan = self._new_plan(job, manifest, plan.number + 1, retry_failed=False, catch_up=catch_up_number)

    def _plan(self, job: Job, manifest: ModelManifest, *, retry_failed: bool) -> PartPlan:
        """The last plan of this attempt, or of a former one where that still says what is to be done."""
        last = self._plans.last(job.job_id)
        if last is None:
            return self._new_plan(job, manifest, 0, retry_failed=retry_failed)
        if last.job_attempt == job.attempt:
            return last
        version_id = self.workspace.galleries.get(job.gallery).version_id
        if retry_failed or last.version_id != version_id or last.model_digest != manifest.embedding_digest:
            return self._new_plan(job, manifest, last.number + 1, retry_failed=retry_failed)
        return last

    def _new_plan(
        self, job: Job, manifest: ModelManifest, number: int, *, retry_failed: bool, catch_up: int = 0
    ) -> PartPlan:
        at, digest = self.workspace, manifest.embedding_digest
        seen = snapshot(at.galleries, at.sets, job.gallery, digest)
        planned = plan_parts(
            at.galleries,
            at.sets,
            at.ledger,
            job.gallery,
            digest,
            seen,
            retry_failed=retry_failed,
            part_images=self.part_images,
        )
        return self._plans.write(
            PartPlan(
                job_id=job.job_id,
                number=number,
                job_attempt=job.attempt,
                catch_up=catch_up,
                gallery=job.gallery,
                model=str(manifest.ref),
                model_digest=digest,
                version_id=seen.version_id,
                newest_etag=seen.newest_etag,
                num_images=at.galleries.version(job.gallery, seen.version_id).num_images,
                parts=tuple(plan_part(part) for part in planned),
            )
        )

    def _follow(self, gallery: str) -> None:
        at = self.workspace
        follow_gallery(at.galleries, at.sets, at.pointers, gallery)

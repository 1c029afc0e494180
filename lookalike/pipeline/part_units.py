"""The parts of a plan as units: which are done, how far that is, and the doing of one."""

from dataclasses import dataclass, field

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import PartManifest
from lookalike.errors import DamagedArtifact
from lookalike.images.quarantine import deadly_images
from lookalike.jobs.steps import Queue, Unit
from lookalike.pipeline.embed import embed_part, unopened
from lookalike.pipeline.embed_plan import PlannedPart
from lookalike.pipeline.part_plan import PartPlan, PlanPart, planned_part
from lookalike.pipeline.progress import Progress
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelManifest

PREFIX = "part"
SUSPICIOUS_STARTS = 3  # a worker may be killed for many reasons; twice at the same images is one more
_KEPT = 64


@dataclass
class PartUnits:
    """Parts of plans in one workspace. What it has read of finished parts is kept: it never changes."""

    workspace: Workspace
    _failed: dict[str, dict[str, int]] = field(default_factory=dict)

    def missing(self, plan: PartPlan) -> tuple[Unit, ...]:
        """The units of the parts that are not done, in their order."""
        done = set(self.workspace.sets.finished_parts(plan.gallery, plan.model_digest))
        return tuple(
            Unit(f"{PREFIX}-{plan.number}-{position}", Queue.EMBED)
            for position, part in enumerate(plan.parts)
            if part.part_id not in done
        )

    def progress(self, plan: PartPlan) -> Progress:
        """Images of the gallery that are embedded, or cannot be, of all that it has."""
        done = set(self.workspace.sets.finished_parts(plan.gallery, plan.model_digest))
        finished = [part for part in plan.parts if part.part_id in done]
        images = plan.num_images - plan.num_planned + sum(part.num_images for part in finished)
        return Progress("embed", images, plan.num_images, sum(self._failures(plan, part) for part in finished))

    def run(self, plan: PartPlan, name: str, *, starts: int) -> None:
        """Embeds one part; where workers have died at it, without the images that kill a process.

        Raises as :func:`lookalike.pipeline.embed.embed_part`, and DamagedArtifact for a unit that is not of this plan.
        """
        _, number, position = name.split("-")
        if int(number) != plan.number:
            return  # of a plan that no longer counts
        if int(position) >= len(plan.parts):
            raise DamagedArtifact(f"job {plan.job_id} has planned no {name}", job_id=plan.job_id)
        at = self.workspace
        chosen = plan.parts[int(position)]
        if at.sets.part_manifest(plan.gallery, plan.model_digest, chosen.part_id) is not None:
            return
        part = planned_part(at.galleries, plan, chosen)
        embedder = unopened(at, plan.model)
        deadly = self._deadly(plan, part, embedder.manifest) if starts >= SUSPICIOUS_STARTS else ()
        embed_part(
            at.store,
            at.sets,
            plan.gallery,
            part,
            embedder,
            limits=at.limits,
            workers=at.decode_workers,
            deadly=deadly,
        )

    def _deadly(self, plan: PartPlan, part: PlannedPart, model: ModelManifest) -> frozenset[str]:
        stored = (
            (record.image_id, self.workspace.store.get(keys.image(plan.gallery, record.sha256)))
            for record in part.records
        )
        limits = self.workspace.limits
        return frozenset(deadly_images(stored, size=model.input_size, policy=model.resize_policy, limits=limits))

    def _failures(self, plan: PartPlan, part: PlanPart) -> int:
        if plan.job_id not in self._failed and len(self._failed) >= _KEPT:
            self._failed.pop(next(iter(self._failed)))
        known = self._failed.setdefault(plan.job_id, {})
        if part.part_id not in known:
            manifest = self.workspace.sets.part_manifest(plan.gallery, plan.model_digest, part.part_id)
            known[part.part_id] = _num_failures(manifest)
        return known[part.part_id]


def _num_failures(manifest: PartManifest | None) -> int:
    return 0 if manifest is None else len(manifest.failures)

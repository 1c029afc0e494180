"""What a new deployment needs once: models, and on request the demo gallery; and whether its servers answer.

Every step finds what a former run did, so that all of it may be run again, and after a kill.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from lookalike.embedding.house import HOUSE
from lookalike.errors import DependencyUnavailable, ModelNotFound
from lookalike.jobs.port import Jobs
from lookalike.pipeline.backends import installed
from lookalike.pipeline.demo import GENERATED, ingest_demo, prepare_demo
from lookalike.pipeline.embed import covers
from lookalike.pipeline.job_kinds import JobKind
from lookalike.pipeline.job_run import job_request
from lookalike.pipeline.models import ensure_model
from lookalike.pipeline.progress import Report, silent
from lookalike.pipeline.workspace import Workspace


class StepState(StrEnum):
    """What became of one step. Nothing fails that is ``away``: it is waited for by whoever needs it."""

    DONE = "done"
    UNCHANGED = "unchanged"  # it was so already
    QUEUED = "queued"  # workers do it
    AWAY = "away"  # a server that does not answer


class SetupStep(BaseModel):
    """One step and what became of it, in words."""

    model_config = ConfigDict(frozen=True)

    step: str
    state: StepState
    message: str


def register_house(workspace: Workspace) -> SetupStep:
    """Puts the model that Lookalike brings along into the store. Needs no torch."""
    try:
        manifest = workspace.models.get(HOUSE)
        state = StepState.UNCHANGED
    except ModelNotFound:
        ensure_model(workspace, HOUSE)
        manifest, state = workspace.models.get(HOUSE), StepState.DONE
    return SetupStep(step="model", state=state, message=f"{manifest.ref} is registered")


def check_server(name: str, ask: Callable[[], object], meanwhile: str) -> SetupStep:
    """Whether a server answers; ``meanwhile`` says what is so as long as it does not."""
    try:
        ask()
    except DependencyUnavailable as error:
        return SetupStep(step=name, state=StepState.AWAY, message=f"{error.message}; {meanwhile}")
    return SetupStep(step=name, state=StepState.DONE, message=f"the {name} answers")


def set_up_demo(
    workspace: Workspace, jobs: Jobs | None, *, model: str, backends: Sequence[str], report: Report = silent
) -> SetupStep:
    """The demo gallery, ingested here; what follows is one job, or done here too where ``jobs`` is None.

    Nothing is queued where the gallery is live as it is, or a job of a former run has not ended. Raises what the steps
    raise.
    """
    if jobs is None:
        made = prepare_demo(workspace, images=None, model=model, backends=backends, report=report)
        names = ", ".join(manifest.backend for manifest in made.indexes)
        message = f"gallery {GENERATED}: {made.ingested.num_images} images, live in {names}"
        is_new = bool(made.ingested.added or made.embedded.embedded)
        return SetupStep(step="demo", state=StepState.DONE if is_new else StepState.UNCHANGED, message=message)
    ingested = ingest_demo(workspace, report=report)
    ensure_model(workspace, model)
    said = f"gallery {GENERATED}: {ingested.num_images} images"
    if _is_live(workspace, model):
        return SetupStep(step="demo", state=StepState.UNCHANGED, message=f"{said}, live under {model}")
    waiting = (job for job in jobs.list() if job.gallery == GENERATED and job.kind == JobKind.REEMBED)
    job = next((job for job in waiting if not job.state.has_ended), None)
    if job is None:
        params = {"model": model, "backends": installed(workspace.backend, backends)[0]}
        job = jobs.submit(job_request(workspace, JobKind.REEMBED, GENERATED, params))
    message = f"{said}; job {job.job_id} embeds them, builds indexes and makes them live"
    return SetupStep(step="demo", state=StepState.QUEUED, message=message)


def _is_live(workspace: Workspace, model: str) -> bool:
    """Whether the demo's present images are live under the model."""
    manifest = workspace.models.get(model)
    live = workspace.pointers.get(GENERATED)
    newest = workspace.sets.newest(GENERATED, manifest.embedding_digest)
    if live is None or newest is None or str(manifest.ref) not in live.models:
        return False
    return covers(newest, workspace.galleries.version(GENERATED))

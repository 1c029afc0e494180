"""A job's request -> the straight path: the one function that executes jobs, in whichever process they run."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from lookalike.catalog.keys import check_gallery_name
from lookalike.catalog.live import Live, live_model
from lookalike.jobs.ledger import INGEST, Failure, embed_stage
from lookalike.jobs.port import JobRequest
from lookalike.pipeline import job_kinds as kinds
from lookalike.pipeline.backends import installed
from lookalike.pipeline.change import delete_gallery, delete_images, embed_and_follow
from lookalike.pipeline.collect import collect
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.gate_rule import GateRule, chosen_rule
from lookalike.pipeline.index_gallery import (
    build_indexes,
    built_indexes,
    compact_gallery,
    embed_gallery,
    newest_set,
    promote_indexes,
    roll_back_gallery,
)
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.job_kinds import JobKind, JobParams
from lookalike.pipeline.job_sources import check_source, job_source
from lookalike.pipeline.outside import snapshot_live
from lookalike.pipeline.progress import Report
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.reembed import Wanted, reembed, wanted_indexes
from lookalike.pipeline.retention import Retention
from lookalike.pipeline.workspace import Workspace

Result = dict[str, JsonValue]


def job_request(
    workspace: Workspace, kind: str, gallery: str, params: Mapping[str, object], *, source_folders: Sequence[Path] = ()
) -> JobRequest:
    """A request that can be queued: its kind, parameters, gallery, model and backends exist.

    Raises UnknownJobKind, InvalidRequest, SourceRefused, GalleryNotFound, ModelNotFound, BackendNotFound.
    """
    wanted = kinds.job_kind(kind)
    parsed = kinds.parse_params(wanted, params)
    check_gallery_name(gallery)
    if isinstance(parsed, kinds.IngestParams):
        check_source(parsed, source_folders, workspace.source_buckets)
    else:
        workspace.galleries.get(gallery)
    if isinstance(parsed, kinds.EmbedParams | kinds.BuildParams | kinds.PromoteParams | kinds.ReembedParams):
        workspace.models.get(parsed.model)
    if isinstance(parsed, kinds.BuildParams | kinds.PromoteParams | kinds.EvaluateParams):
        for name in parsed.backends or ():
            workspace.backend(name)
    if isinstance(parsed, kinds.ReembedParams):
        reembed_wanted(workspace, parsed)
        reembed_checks(workspace, parsed)
    return JobRequest(kind=wanted, gallery=gallery, params=kinds.dump_params(parsed))


def run_job(
    workspace: Workspace, request: JobRequest, report: Report, *, source_folders: Sequence[Path] = ()
) -> Result:
    """Executes ``request`` and returns what the job's result says.

    Every step is idempotent: interrupted anywhere, the same request goes on after what is done. ``report`` is called
    between parts and stages and may raise to end the job there. Raises what the steps raise.
    """
    kind = kinds.job_kind(request.kind)
    params = kinds.parse_params(kind, request.params)
    if isinstance(params, kinds.IngestParams):
        return _ingest(workspace, request.gallery, params, report, source_folders)
    return _RUN[kind](workspace, request.gallery, params, report)


def job_failures(workspace: Workspace, request: JobRequest) -> list[Failure]:
    """The present entries of the failure ledger at the stages of this job, by stage and key."""
    kind = kinds.job_kind(request.kind)
    stages: set[str] = set()
    if kind is JobKind.INGEST:
        stages = {INGEST}
    elif kind in (JobKind.EMBED, JobKind.REEMBED):
        model = str(request.params["model"])
        stages = {embed_stage(workspace.models.get(model).embedding_digest)}
    elif kind is JobKind.ADD:
        live = workspace.pointers.get(request.gallery)
        stages = {embed_stage(entry.model_digest) for entry in live.models.values()} if live else set()
    return [failure for failure in workspace.ledger.all(request.gallery) if failure.stage in stages]


def _ingest(
    workspace: Workspace, gallery: str, params: kinds.IngestParams, report: Report, folders: Sequence[Path]
) -> Result:
    scratch = workspace.artifacts.scratch()
    try:
        with job_source(params, folders, workspace.fetch, scratch, workspace.source_buckets) as (source, identifier):
            made = ingest(
                workspace.store,
                workspace.galleries,
                workspace.ledger,
                gallery,
                source,
                limits=workspace.limits,
                source_id=identifier,
                retry_failed=params.retry_failed,
                notes_believed_s=workspace.retention.keep_s / 2,
                report=report,
            )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return asdict(made)


def _add(workspace: Workspace, gallery: str, params: kinds.AddParams, report: Report) -> Result:
    embed_and_follow(workspace, gallery, retry_failed=params.retry_failed, report=report)
    return {}


def _embed(workspace: Workspace, gallery: str, params: kinds.EmbedParams, report: Report) -> Result:
    made = embed_gallery(workspace, gallery, params.model, retry_failed=params.retry_failed, report=report)
    workspace.serving.notice(gallery)
    return asdict(made)


def _build(workspace: Workspace, gallery: str, params: kinds.BuildParams, report: Report) -> Result:
    backends = params.backends or installed(workspace.backend, workspace.backend_names)[0]
    embedding_set = newest_set(workspace, gallery, params.model)
    made = build_indexes(workspace, gallery, embedding_set, backends, params=params.params, report=report)
    return {"indexes": [manifest.model_dump(mode="json") for manifest in made]}


def _compact(workspace: Workspace, gallery: str, params: kinds.CompactParams, report: Report) -> Result:
    entry = live_model(workspace.pointers.get(gallery), gallery, params.model)
    return _live(compact_gallery(workspace, gallery, entry.model, report=report))


def _evaluate(workspace: Workspace, gallery: str, params: kinds.EvaluateParams, report: Report) -> Result:
    document = evaluate_gallery(workspace, gallery, report=report, **params.model_dump()).document
    return {"evaluation_id": document.evaluation_id}


def _promote(workspace: Workspace, gallery: str, params: kinds.PromoteParams, report: Report) -> Result:
    embedding_set = newest_set(workspace, gallery, params.model)
    manifests = built_indexes(workspace, gallery, embedding_set, params.backends)
    checks = Checks(workspace.min_parity, workspace.gate, force=params.force)
    return _live(promote_indexes(workspace, gallery, embedding_set, manifests, checks=checks))


def reembed_wanted(workspace: Workspace, params: kinds.ReembedParams) -> Wanted:
    """The backends that a re-embedding builds, with the build parameters of each.

    Raises BackendNotFound, UnknownParameter, ParameterOutOfRange, or InvalidRequest for parameters of a backend that
    is not built.
    """
    names = params.backends or installed(workspace.backend, workspace.backend_names)[0]
    return wanted_indexes(workspace, names, params.params)


def reembed_checks(workspace: Workspace, params: kinds.ReembedParams) -> Checks:
    """What stands before its promotion. Raises InvalidRequest for options of a gate that is switched off."""
    rule = chosen_rule(
        workspace.gate or GateRule(),
        enabled=workspace.gate is not None if params.gate is None else params.gate,
        level=params.level,
        k=params.k,
        max_drop=params.max_drop,
        num_queries=params.num_queries,
    )
    return Checks(workspace.min_parity, rule, force=params.force)


def _reembed(workspace: Workspace, gallery: str, params: kinds.ReembedParams, report: Report) -> Result:
    made = reembed(
        workspace,
        gallery,
        params.model,
        reembed_wanted(workspace, params),
        checks=reembed_checks(workspace, params),
        retry_failed=params.retry_failed,
        report=report,
    )
    workspace.serving.notice(gallery)
    return made.model_dump(mode="json")


def _collect(workspace: Workspace, gallery: str, params: kinds.CollectParams, report: Report) -> Result:
    usual = workspace.retention
    retention = Retention(
        keep_s=usual.keep_s if params.keep_s is None else params.keep_s,
        keep_former=usual.keep_former if params.keep_former is None else params.keep_former,
    )
    return collect(workspace, gallery, retention, report=report).model_dump(mode="json")


def _roll_back(workspace: Workspace, gallery: str, params: kinds.RollbackParams, report: Report) -> Result:
    return _live(roll_back_gallery(workspace, gallery))


def _delete(workspace: Workspace, gallery: str, params: kinds.DeleteParams, report: Report) -> Result:
    if params.everything:
        delete_gallery(workspace, gallery)
        return {"gallery": gallery}
    return {"deleted": delete_images(workspace, gallery, params.image_ids, params.filter)}


def _snapshot(workspace: Workspace, gallery: str, params: kinds.SnapshotParams, report: Report) -> Result:
    return snapshot_live(workspace, gallery)


def _live(live: Live) -> Result:
    return {"models": {name: dict(entry.indexes) for name, entry in live.models.items()}}


_Step = Callable[[Workspace, str, JobParams, Report], Result]
_RUN: Mapping[JobKind, _Step] = {
    kind: cast(_Step, step)  # each is given the parameters of its own kind: parse_params chose them
    for kind, step in (
        (JobKind.ADD, _add),
        (JobKind.EMBED, _embed),
        (JobKind.BUILD, _build),
        (JobKind.COMPACT, _compact),
        (JobKind.EVALUATE, _evaluate),
        (JobKind.REEMBED, _reembed),
        (JobKind.COLLECT, _collect),
        (JobKind.PROMOTE, _promote),
        (JobKind.ROLLBACK, _roll_back),
        (JobKind.DELETE, _delete),
        (JobKind.SNAPSHOT, _snapshot),
    )
}

"""search -> evaluate: every (model, backend) pair measured through the function that answers searches."""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lookalike.catalog import documents, keys
from lookalike.catalog.live import live_model
from lookalike.errors import EvaluationNotFound, InvalidRequest, ObjectNotFound
from lookalike.evaluation import policies
from lookalike.evaluation.document import EvaluationDocument, Result
from lookalike.evaluation.table import evaluation_rows
from lookalike.pipeline.ground import ground_of, sample
from lookalike.pipeline.measure import Plan, Reference, measure
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.served_gallery import ServedGallery
from lookalike.pipeline.workspace import Workspace
from lookalike.telemetry.stages import stage
from lookalike.types.search import MAX_K

__all__ = ["Evaluation", "EvaluationDocument", "evaluate_gallery", "find_evaluation", "list_evaluations"]

_FORMAT = 2  # of what is measured and how: an evaluation of another one is not reused


@dataclass(frozen=True)
class Evaluation:
    """An evaluation and its table."""

    document: EvaluationDocument

    def rows(self) -> tuple[list[dict[str, object]], list[str]]:
        """Rows for people, and their columns."""
        return evaluation_rows(self.document)


def evaluate_gallery(
    workspace: Workspace,
    gallery: str,
    *,
    protocol: str = policies.STANDARD,
    models: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    k: int = 10,
    num_queries: int | None = None,
    seed: int = 0,
    self_counts: bool = False,
    search_depth: int = MAX_K,
    reuse: bool = False,
    report: Report = silent,
) -> Evaluation:
    """Evaluates the live pairs asked for (all by default) with images of the gallery as queries, and keeps it.

    ``num_queries`` None takes every image, else a sample that ``seed`` draws; ``k`` is that of protocol
    ``standard``; ``self_counts``, of protocol ``paper``, leaves the query among its own neighbours;
    ``search_depth`` is how deep R-precision goes through the backends themselves.

    The same arguments on the same live state give the same evaluation_id: made again, it takes the place of the
    former one; with ``reuse`` the former one is returned. Raises IndexNotFound for a pair that is not live,
    InvalidRequest.
    """
    plan = Plan(protocol=protocol, k=k, seed=seed, self_counts=self_counts, search_depth=search_depth)
    _check(plan, num_queries)
    workspace.galleries.get(gallery)
    served = workspace.serving.refresh(gallery)
    pairs = _pairs(served, models, backends)
    identifier = _identifier(served, pairs, plan, num_queries)
    if reuse:
        known = documents.read_or_none(workspace.store, EvaluationDocument, keys.evaluation(identifier))
        if known is not None:
            return Evaluation(known)
    ids_N16 = served.table.items()[:, :16]
    query_ids = sample(ids_N16, num_queries, seed)
    results: list[Result] = []
    references: dict[tuple[str, str], Reference] = {}
    for done, (model, backend) in enumerate(pairs):
        report(Progress("evaluate", done, len(pairs)))
        _, index = served.index(model, backend)
        rows = (model, index.manifest.set_id)  # what was added since the build is the same for all of a model
        if rows not in references:
            references[rows] = Reference.of(ground_of(workspace, served, index, query_ids), plan)
        with stage("evaluate", gallery=gallery, backend=backend):
            results += measure(served, index, references[rows], plan, num_asked=query_ids.size)
    report(Progress("evaluate", len(pairs), len(pairs)))
    document = EvaluationDocument(
        evaluation_id=identifier,
        gallery=gallery,
        protocol=protocol,
        k=plan.scored_k,
        num_queries=query_ids.size,
        num_images=len(ids_N16),
        seed=seed,
        self_counts=self_counts,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        policies=policies.policies(protocol, self_counts=self_counts, search_depth=search_depth),
        results=tuple(results),
    )
    workspace.store.put(keys.evaluation(identifier), documents.encode(document))
    return Evaluation(document)


def find_evaluation(workspace: Workspace, evaluation_id: str) -> EvaluationDocument:
    """Raises EvaluationNotFound."""
    try:
        return documents.read(workspace.store, EvaluationDocument, keys.evaluation(evaluation_id))
    except ObjectNotFound:
        raise EvaluationNotFound(f"there is no evaluation {evaluation_id!r:.100}") from None


def list_evaluations(workspace: Workspace) -> list[EvaluationDocument]:
    """Every evaluation, newest first."""
    found = [
        documents.read(workspace.store, EvaluationDocument, info.key) for info in workspace.store.list("evaluations/")
    ]
    return sorted(found, key=lambda document: document.created_at, reverse=True)


def _check(plan: Plan, num_queries: int | None) -> None:
    if plan.protocol not in policies.PROTOCOLS:
        raise InvalidRequest(f"protocol is one of {', '.join(policies.PROTOCOLS)}, not {plan.protocol!r:.50}")
    if plan.self_counts and plan.protocol != policies.PAPER:
        raise InvalidRequest("self_counts is an option of protocol paper")
    if plan.k < 1 or plan.search_depth < 0 or (num_queries is not None and num_queries < 1):
        raise InvalidRequest(
            f"k and num_queries are at least 1 and search_depth at least 0, not {plan.k}, {num_queries} and "
            f"{plan.search_depth}"
        )


def _identifier(served: ServedGallery, pairs: list[tuple[str, str]], plan: Plan, num_queries: int | None) -> str:
    """Names what is measured: the images, what answers for each pair, with which parameters, and how."""
    live = served.live
    answering = []
    for model, backend in pairs:
        entry, index = served.index(model, backend)
        params = None if index.tuned is None else index.tuned.params
        answering.append([model, entry.model_digest, entry.base, entry.newest, entry.indexes[backend], params])
    said = [_FORMAT, live.gallery, live.version_id, answering, asdict(plan), num_queries]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def _pairs(
    served: ServedGallery, models: Sequence[str] | None, backends: Sequence[str] | None
) -> list[tuple[str, str]]:
    """The pairs to measure, each once; asking for one opens its index."""
    found: dict[tuple[str, str], None] = {}
    wanted: list[str | None] = [*(models or sorted(served.live.models))]
    for model in wanted or [None]:  # None where nothing is live, which is then said
        entry = live_model(served.live, served.live.gallery, model)
        for backend in backends or sorted(entry.indexes):
            found[served.index(entry.model, backend)[0].model, backend] = None
    return list(found)

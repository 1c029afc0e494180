"""The evaluation gate: a candidate answers the same queries as what is live, before it may take its place.

Shape suffixes: Q queries, K hits.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.live import Live, LiveModel
from lookalike.errors import DamagedArtifact, DependencyUnavailable, GateFailed, MissingExtra
from lookalike.evaluation.bootstrap import Interval, intervals
from lookalike.evaluation.metrics import precision_at_k
from lookalike.evaluation.relevance import Relevance, count_relevant, relevant_hits
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.ground import Ground, ground_of, sample
from lookalike.pipeline.measure import hits
from lookalike.pipeline.served_gallery import ServedGallery, ServedIndex, default_backend
from lookalike.pipeline.workspace import Workspace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """precision@k of one candidate index and of the live one that it would replace, on the same queries.

    ``difference`` is candidate less live, query by query, with its 95 % interval.
    """

    backend: str
    candidate: float
    live: float
    live_index: str
    difference: Interval
    num_queries: int


def baseline_of(live: Live | None) -> LiveModel | None:
    """What a candidate is compared with: what is live for the gallery's default model."""
    return None if live is None or live.default_model is None else live.models.get(live.default_model)


def require_no_worse(candidate: LiveModel, comparisons: Iterable[Comparison], rule: GateRule) -> None:
    """Raises GateFailed, with the figures, when an index of ``candidate`` is worse than ``rule`` allows."""
    for made in comparisons:
        if made.live - made.candidate > rule.max_drop:
            raise GateFailed(
                f"precision@{rule.k} ({rule.level}) of {candidate.indexes[made.backend]} is {made.candidate:.3f}, of "
                f"{made.live_index}, which is live, {made.live:.3f}: a drop of more than {rule.max_drop} "
                f"(difference {made.difference.mean:.3f}, 95 % interval {made.difference.low:.3f} to "
                f"{made.difference.high:.3f}, {made.num_queries} queries)",
                index=candidate.indexes[made.backend],
                live_index=made.live_index,
                candidate=made.candidate,
                live=made.live,
                max_drop=rule.max_drop,
                k=rule.k,
                level=rule.level.value,
                num_queries=made.num_queries,
            )


def compare_with_live(
    workspace: Workspace, served: ServedGallery, candidate: LiveModel, rule: GateRule
) -> Iterator[Comparison]:
    """Each index of ``candidate`` against the live one of its backend, or of the preferred backend.

    Where that cannot be opened here (its server is away, or it was made for another than is set up), another live
    backend's index takes its place. Nothing where nothing is live, or no query has a label and something relevant to
    find. The candidate is opened over the images that are served now, additions and deletions since its build
    included, without being served. Raises GateFailed where no live index can be opened.
    """
    live = served.live
    baseline = baseline_of(live)
    if baseline is None or not baseline.indexes:
        return
    proposed = served.with_live(live.model_copy(update={"models": {**live.models, candidate.model: candidate}}))
    for backend in candidate.indexes:
        _, ours = proposed.index(candidate.model, backend)
        theirs = _partner(workspace, served, baseline, backend)
        made = _compare(workspace, (proposed, ours), (served, theirs), rule)
        if made is not None:
            yield made


def _partner(workspace: Workspace, served: ServedGallery, baseline: LiveModel, backend: str) -> ServedIndex:
    """The live index to compare one of ``backend`` with."""
    preferred = default_backend(baseline, None, workspace.query.preferred_backend)
    first = backend if backend in baseline.indexes else preferred
    reasons = {}
    for name in sorted(baseline.indexes, key=lambda name: (name != first, name != preferred, name)):
        try:
            return served.index(baseline.model, name)[1]
        except (DamagedArtifact, DependencyUnavailable, MissingExtra) as error:
            if error.details.get("dependency") == "store":
                raise
            _log.warning("the gate passes over %s, which is live: %s", baseline.indexes[name], error.message)
            reasons[name] = error.message
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise GateFailed(
        f"no index of {baseline.model}, which is live, can be opened to compare with ({said}): make one answer, or "
        "promote with --no-gate or force",
        model=baseline.model,
    )


def _compare(
    workspace: Workspace,
    candidate: tuple[ServedGallery, ServedIndex],
    live: tuple[ServedGallery, ServedIndex],
    rule: GateRule,
) -> Comparison | None:
    ids_N16 = live[0].table.items()[:, :16]
    in_both = (candidate[1].living.rows_of(ids_N16) >= 0) & (live[1].living.rows_of(ids_N16) >= 0)
    queries = sample(ids_N16[in_both], rule.num_queries, rule.seed)
    theirs = ground_of(workspace, *live, queries)
    labels = theirs.labels.at(rule.level)
    scored = count_relevant(labels, Relevance.MULTI_LABEL, theirs.rows_Q, self_counts=False) > 0
    if not scored.any():
        return None
    ours_Q = _precision(candidate, ground_of(workspace, *candidate, queries), rule)[scored]
    theirs_Q = _precision(live, theirs, rule)[scored]
    return Comparison(
        backend=candidate[1].manifest.backend,
        candidate=float(ours_Q.mean()),
        live=float(theirs_Q.mean()),
        live_index=live[1].manifest.index_id,
        difference=intervals((ours_Q - theirs_Q)[:, None], seed=rule.seed)[0],
        num_queries=int(np.count_nonzero(scored)),
    )


def _precision(side: tuple[ServedGallery, ServedIndex], ground: Ground, rule: GateRule) -> NDArray[np.float64]:
    rows_QK = hits(*side, ground, rule.k, exclude_self=True).rows_QK
    labels = ground.labels.at(rule.level)
    return precision_at_k(relevant_hits(labels, Relevance.MULTI_LABEL, ground.rows_Q, rows_QK), rule.k)

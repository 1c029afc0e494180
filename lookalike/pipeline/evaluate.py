"""search -> evaluate: every (model, backend) pair measured through the function that answers searches."""

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog import documents, keys
from lookalike.errors import EvaluationNotFound, InvalidRequest, ObjectNotFound
from lookalike.evaluation import scoring
from lookalike.evaluation.bootstrap import intervals
from lookalike.evaluation.document import EvaluationDocument, Result
from lookalike.evaluation.labels import LabelArrays, Level
from lookalike.evaluation.relevance import Relevance, count_relevant
from lookalike.indexes.exact_scan import exact_neighbours
from lookalike.indexes.parity import knn_recall
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.search import nearest
from lookalike.pipeline.served import ServedGallery, ServedIndex
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectStore
from lookalike.types.ids import as_keys, unpack_ids
from lookalike.types.images import Labels

__all__ = ["Evaluation", "EvaluationDocument", "evaluate_gallery", "find_evaluation", "list_evaluations"]

PROTOCOLS = tuple(scoring.POLICIES)
_TIMED = 100
_BATCH = 256


@dataclass(frozen=True)
class Evaluation:
    """An evaluation and its table."""

    document: EvaluationDocument

    def rows(self) -> tuple[list[dict[str, object]], list[str]]:
        """Rows for people, and their columns."""
        names = list(dict.fromkeys(name for result in self.document.results for name in result.metrics))
        rows: list[dict[str, object]] = []
        for result in self.document.results:
            values = {name: f"{value.mean:.3f}" for name, value in result.metrics.items()}
            rows.append(
                {
                    "model": result.model,
                    "backend": result.backend,
                    "level": f"{result.level.removesuffix('category')}, {result.relevance.partition('_')[0]}",
                    **values,
                    "knn": None if result.knn_recall is None else f"{result.knn_recall:.3f}",
                    "p50 ms": f"{result.latency_ms['p50']:.2f}",
                }
            )
        return rows, ["model", "backend", "level", *names, "knn", "p50 ms"]


def evaluate_gallery(
    workspace: Workspace,
    gallery: str,
    *,
    protocol: str = "standard",
    models: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    k: int = 10,
    num_queries: int | None = None,
    seed: int = 0,
    self_counts: bool = False,
    reuse: bool = False,
    report: Report = silent,
) -> Evaluation:
    """Evaluates the live pairs asked for (all by default) with images of the gallery as queries, and keeps it.

    ``num_queries`` None takes every image. With ``reuse`` an evaluation of the same live state with the same
    arguments is not made again. Raises IndexNotFound for a pair that is not live, InvalidRequest.
    """
    if protocol not in PROTOCOLS:
        raise InvalidRequest(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r:.50}")
    if self_counts and protocol != "paper":
        raise InvalidRequest("self_counts is an option of protocol paper")
    workspace.galleries.get(gallery)
    served = workspace.serving.refresh(gallery)
    pairs = _pairs(served, models, backends)
    said = [gallery, served.live.sequence, served.live.version_id, protocol, pairs, k, num_queries, seed, self_counts]
    identifier = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
    if reuse:
        known = documents.read_or_none(workspace.store, EvaluationDocument, keys.evaluation(identifier))
        if known is not None:
            return Evaluation(known)
    ids_N = as_keys(served.table.items()[:, :16])
    query_ids = _sample(ids_N, num_queries, seed)
    results: list[Result] = []
    for done, (model, backend) in enumerate(pairs):
        report(Progress("evaluate", done, len(pairs)))
        _, index = served.index(model, backend)
        results += _Run(workspace, served, index, query_ids, protocol, k, seed, self_counts).results(model, backend)
    report(Progress("evaluate", len(pairs), len(pairs)))
    policies = scoring.POLICIES[protocol]
    if protocol == "paper":
        policies += (f"The query itself {'counts as one of' if self_counts else 'is not among'} its ten neighbours.",)
    document = EvaluationDocument(
        evaluation_id=identifier,
        gallery=gallery,
        protocol=protocol,
        k=scoring.PAPER_K if protocol == "paper" else k,
        num_queries=len(query_ids),
        num_images=len(ids_N),
        seed=seed,
        self_counts=self_counts,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        policies=policies,
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
    store: ObjectStore = workspace.store
    found = [documents.read(store, EvaluationDocument, info.key) for info in store.list("evaluations/")]
    return sorted(found, key=lambda document: document.created_at, reverse=True)


@dataclass(frozen=True)
class _Run:
    """One (model, backend) pair."""

    workspace: Workspace
    served: ServedGallery
    index: ServedIndex
    query_ids: NDArray[np.bytes_]
    protocol: str
    k: int
    seed: int
    self_counts: bool

    def results(self, model: str, backend: str) -> list[Result]:
        living = self.index.living
        labels = self._labels()
        rows_Q = self._query_rows()
        embeddings_QD = np.stack([self._embedding(row) for row in rows_Q]) if rows_Q.size else None
        if embeddings_QD is None:
            return []
        depth = scoring.PAPER_RETRIEVED if self.protocol == "paper" else self.k
        excluded = None if self.self_counts else living.ids_N16[rows_Q]
        hits_QK = self._search(embeddings_QD, depth, excluded)
        latency = self._latency(embeddings_QD, depth)
        recall = self._knn_recall(hits_QK, rows_Q, embeddings_QD, depth)
        manifest = self.index.manifest
        found = []
        for level, relevance, scores in self._scores(labels, rows_Q, hits_QK, embeddings_QD, excluded):
            values = intervals(scores.values_QM, seed=self.seed)
            found.append(
                Result(
                    model=model,
                    backend=backend,
                    index=manifest.index_id,
                    level=level.value,
                    relevance=relevance.value,
                    metrics=dict(zip(scores.names, values, strict=True)),
                    num_scored=len(scores.values_QM),
                    num_unlabelled=scores.num_unlabelled,
                    num_without_relevant=scores.num_without_relevant,
                    knn_recall=recall,
                    latency_ms=latency,
                    build_s=manifest.build_s,
                    index_bytes=manifest.size_bytes,
                )
            )
        return found

    def _scores(
        self,
        labels: LabelArrays,
        rows_Q: NDArray[np.int64],
        hits_QK: NDArray[np.int64],
        embeddings_QD: NDArray[np.float32],
        excluded: NDArray[np.uint8] | None,
    ) -> "list[tuple[Level, Relevance, scoring.Scores]]":
        if self.protocol == "paper":
            return [
                (level, Relevance.SINGLE_LABEL, scoring.paper(labels.at(level), rows_Q, hits_QK)) for level in Level
            ]
        kinds = [(level, relevance) for level in Level for relevance in Relevance]
        wanted = {
            kind: int(count_relevant(labels.at(kind[0]), kind[1], rows_Q, self_counts=False).max(initial=0))
            for kind in kinds
        }
        depths = [depth for depth in wanted.values() if 0 < depth <= scoring.MAX_R]
        deep = self._search(embeddings_QD, max(depths), excluded) if depths else None
        found = []
        for level, relevance in kinds:
            within = 0 < wanted[level, relevance] <= scoring.MAX_R
            scores = scoring.standard(labels.at(level), relevance, rows_Q, hits_QK, deep if within else None, self.k)
            found.append((level, relevance, scores))
        return found

    def _search(
        self, embeddings_QD: NDArray[np.float32], k: int, excluded: NDArray[np.uint8] | None
    ) -> NDArray[np.int64]:
        found = []
        for start in range(0, len(embeddings_QD), _BATCH):
            batch = slice(start, start + _BATCH)
            ranked = nearest(
                self.served,
                self.index,
                embeddings_QD[batch],
                k,
                exclude_ids_Q16=None if excluded is None else excluded[batch],
            )
            found.append(ranked.rows_QK)
        return np.concatenate(found)

    def _latency(self, embeddings_QD: NDArray[np.float32], k: int) -> dict[str, float]:
        took = []
        for query_D in embeddings_QD[:_TIMED]:
            started = time.perf_counter()
            nearest(self.served, self.index, query_D[np.newaxis], k)
            took.append((time.perf_counter() - started) * 1000)
        return {name: round(float(np.quantile(took, q)), 4) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}

    def _knn_recall(
        self, hits_QK: NDArray[np.int64], rows_Q: NDArray[np.int64], embeddings_QD: NDArray[np.float32], k: int
    ) -> float | None:
        manifest = self.index.manifest
        matrix = self.workspace.artifacts.matrix(self.workspace.sets.get(manifest.gallery, manifest.set_id))
        living = self.index.living
        if living.num_images != len(matrix.embeddings_ND) or living.num_rows != living.num_images:
            return None
        exact = exact_neighbours(
            embeddings_QD, matrix.embeddings_ND, k, exclude_rows=None if self.self_counts else rows_Q
        )
        return round(float(knn_recall(hits_QK, embeddings_QD, matrix.embeddings_ND, exact).mean()), 6)

    def _query_rows(self) -> NDArray[np.int64]:
        """The rows of the queries; where an image was replaced, the last is the one that is served."""
        positions = np.searchsorted(self.index.sorted_ids, self.query_ids, side="right") - 1
        present = (positions >= 0) & (self.index.sorted_ids[np.maximum(positions, 0)] == self.query_ids)
        rows: NDArray[np.int64] = self.index.id_order[positions[present]]
        return rows

    def _embedding(self, row: int) -> NDArray[np.float32]:
        embedding = self.index.living.embedding(unpack_ids(self.index.living.ids_N16[row : row + 1])[0])
        assert embedding is not None  # noqa: S101 -- the row was found by its id
        return embedding

    def _labels(self) -> LabelArrays:
        ids_N16 = self.index.living.ids_N16
        nothing = Labels()

        def each() -> "list[Labels]":
            identifiers = [row.tobytes() for row in ids_N16]
            records = self.served.table.get(identifiers)
            # A deleted row keeps its place, without a label: it is relevant to nothing.
            return [records[one].labels if one in records else nothing for one in identifiers]

        return LabelArrays.from_labels(each())


def _pairs(
    served: ServedGallery, models: Sequence[str] | None, backends: Sequence[str] | None
) -> list[tuple[str, str]]:
    if models is None and backends is None:
        pairs = [(name, backend) for name, entry in sorted(served.live.models.items()) for backend in entry.indexes]
        if pairs:
            return sorted(pairs)
    wanted_models: list[str | None] = [*(sorted(served.live.models) if models is None else models)] or [None]
    found = []
    for model in wanted_models:
        names = backends or sorted(
            served.live.models[model].indexes if model is not None and model in served.live.models else ["exact"]
        )
        found += [(served.index(model, backend)[0].model, backend) for backend in names]
    return found


def _sample(ids_N: NDArray[np.bytes_], num_queries: int | None, seed: int) -> NDArray[np.bytes_]:
    """All ids, or a seeded sample of them in their order."""
    if num_queries is None or num_queries >= ids_N.size:
        return ids_N
    rows = np.random.default_rng(seed).choice(ids_N.size, size=num_queries, replace=False)
    return ids_N[np.sort(rows)]

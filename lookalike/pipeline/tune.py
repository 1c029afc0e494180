"""Search parameters for one live index, measured on its own gallery and kept beside it."""

from lookalike.catalog.indexes import TunedParams
from lookalike.catalog.live import live_model
from lookalike.errors import InvalidRequest, TargetOutOfReach
from lookalike.indexes.living import Embeddings
from lookalike.indexes.tuning import tune
from lookalike.pipeline.workspace import Workspace


def tune_gallery(
    workspace: Workspace, gallery: str, model: str | None, backend: str, *, target_knn_recall: float, k: int
) -> TunedParams:
    """Tunes the live index of (model, backend) and stores what was found; searches use it from then on.

    It belongs to that index: a rebuilt or compacted one is tuned again. Raises TargetOutOfReach, with the best
    there is, and then leaves everything as it was; InvalidRequest for an index of nothing.
    """
    if not 0 < target_knn_recall <= 1:
        raise InvalidRequest(f"a target of knn recall is in (0, 1], not {target_knn_recall}")
    workspace.galleries.get(gallery)
    served = workspace.serving.refresh(gallery)
    entry = live_model(served.live, gallery, model)
    _, index = served.index(entry.model, backend)
    if not index.manifest.num_embeddings:
        raise InvalidRequest(f"the {backend} index of {gallery!r} is empty: there is nothing to tune", gallery=gallery)
    matrix = workspace.artifacts.matrix(workspace.sets.get(gallery, index.manifest.set_id))
    opened = index.backend.open(workspace.artifacts.index_folder(index.manifest), matrix.embeddings_ND, matrix.ids_N16)
    try:
        report = tune(
            opened,
            Embeddings(matrix.embeddings_ND, matrix.ids_N16),
            target_knn_recall=target_knn_recall,
            k=k,
        )
    finally:
        opened.close()
    if not report.reached:
        raise TargetOutOfReach(
            f"{report.summary}; nothing was changed",
            knn_recall=report.knn_recall,
            latency_p50_ms=report.latency_p50_ms,
            params=dict(report.params),
        )
    tuned = TunedParams(
        params=dict(report.params),
        target_knn_recall=target_knn_recall,
        knn_recall=report.knn_recall,
        latency_p50_ms=report.latency_p50_ms,
        k=k,
    )
    workspace.indexes.put_tuned(gallery, index.manifest.index_id, tuned)
    workspace.pointers.announce(gallery)
    workspace.serving.refresh(gallery)
    return tuned

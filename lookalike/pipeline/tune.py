"""Search parameters for one live index, measured on its own gallery and kept beside it."""

from lookalike.catalog.indexes import TunedParams
from lookalike.catalog.live import live_model
from lookalike.indexes.living import Embeddings
from lookalike.indexes.tuning import tune
from lookalike.pipeline.workspace import Workspace


def tune_gallery(
    workspace: Workspace, gallery: str, model: str | None, backend: str, *, target_knn_recall: float, k: int
) -> TunedParams:
    """Tunes the live index of (model, backend) and stores what was found; searches use it from then on."""
    workspace.galleries.get(gallery)
    served = workspace.serving.refresh(gallery)
    entry = live_model(served.live, gallery, model)
    _, index = served.index(entry.model, backend)
    matrix = workspace.artifacts.matrix(workspace.sets.get(gallery, index.manifest.set_id))
    opened = index.backend.open(workspace.artifacts.index_folder(index.manifest), matrix.embeddings_ND, matrix.ids_N16)
    try:
        report = tune(
            index.backend,
            opened,
            Embeddings(matrix.embeddings_ND, matrix.ids_N16),
            target_knn_recall=target_knn_recall,
            k=k,
        )
    finally:
        opened.close()
    tuned = TunedParams(
        params=dict(report.params),
        target_knn_recall=target_knn_recall,
        knn_recall=report.knn_recall,
        latency_p50_ms=report.latency_p50_ms,
        k=k,
    )
    workspace.indexes.put_tuned(gallery, index.manifest.index_id, tuned)
    return tuned

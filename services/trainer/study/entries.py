"""What a study's result says of each model and backend."""

from services.trainer.study.backends import StudyBackend
from services.trainer.study.gallery import Prepared
from services.trainer.study.measured import Measured
from services.trainer.study.models import Origin, StudyModel
from services.trainer.study.page import Picture
from services.trainer.study.result import BackendEntry, ModelEntry

COLLAPSED = 0.999
"""The mean cosine of all pairs of images from which a model is called collapsed."""


def model_entry(
    model: StudyModel,
    prepared: Prepared | None,
    measured: Measured | None,
    reason: str | None,
    *,
    curve: Picture | None,
    sheet: Picture | None,
) -> ModelEntry:
    """What is said of ``model``: what it is where it was measured, else why it was not."""
    loss_curve = None if curve is None else curve.name
    if prepared is None or measured is None:
        return ModelEntry(name=model.name, origin=Origin.UNAVAILABLE, said=reason or model.said, loss_curve=loss_curve)
    manifest = prepared.manifest
    return ModelEntry(
        name=model.name,
        origin=model.origin,
        said=model.said,
        ref=prepared.ref,
        dimension=manifest.dimension,
        input_size=manifest.input_size,
        resize_policy=manifest.resize_policy,
        recipe=manifest.recipe,
        training_data=manifest.training_data,
        licence=manifest.licence,
        num_embedded=prepared.embedding_set.num_embeddings,
        num_failed=prepared.report.failed,
        mean_cosine=measured.mean_cosine,
        collapsed=measured.mean_cosine >= COLLAPSED,
        loss_curve=loss_curve,
        sheet=None if sheet is None else sheet.name,
    )


def backend_entry(chosen: StudyBackend, missing: str | None) -> BackendEntry:
    """What is said of a backend; ``missing`` is why it is not installed."""
    return BackendEntry(
        name=chosen.name,
        backend=chosen.backend,
        metric=chosen.metric,
        params=dict(chosen.params),
        unavailable_because=missing,
    )

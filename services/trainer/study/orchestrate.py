"""The study as one call: gallery, models, backends, evaluation, analysis, pictures, JSON and HTML.

Training is somebody else's: models come as :class:`StudyModel`. What was done before is not done again.
"""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lookalike.errors import InvalidRequest
from lookalike.evaluation.labels import Level
from lookalike.galleries.port import GallerySource
from lookalike.pipeline.backends import installed
from lookalike.pipeline.ground import sample
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.workspace import Workspace
from services.trainer.study import showing
from services.trainer.study.analysis_result import ThreeQueries
from services.trainer.study.answers import Queries
from services.trainer.study.backends import LIBRARIES, SERVED, StudyBackend
from services.trainer.study.drawn import by_three
from services.trainer.study.entries import backend_entry, model_entry
from services.trainer.study.findings import findings
from services.trainer.study.gallery import StudiedImages
from services.trainer.study.measured import Measured, measure_model
from services.trainer.study.models import StudyModel
from services.trainer.study.page import Picture
from services.trainer.study.report import study_html
from services.trainer.study.result import PublishedFigure, StudyResult
from services.trainer.study.stages import check_unique, evaluate_both, ingest_images, prepare_models
from services.trainer.study.table import rows
from services.trainer.study.three_queries import NUM_DRAWS

GALLERY = "study"
JSON, HTML = "study.json", "study.html"


def run_study(
    workspace: Workspace,
    source: GallerySource,
    *,
    models: Sequence[StudyModel],
    folder: Path,
    seed: int = 0,
    title: str = "The study",
    gallery: str = GALLERY,
    backends: Sequence[StudyBackend] = SERVED,
    libraries: Sequence[StudyBackend] = LIBRARIES,
    num_queries: int | None = None,
    num_draws: int = NUM_DRAWS,
    published: Sequence[PublishedFigure] = (),
    report: Report = silent,
) -> StudyResult:
    """Measures ``models`` on the images of ``source``, and writes ``study.json`` and ``study.html`` into ``folder``.

    The gallery becomes what the source has, which stays open. Every model is embedded, indexed by ``backends`` and
    made live, and evaluated under both protocols at both levels, k = 4, with all images as queries or a sample of
    ``num_queries`` drawn with ``seed``; ``libraries`` are asked directly, for the analysis. A model that is not in
    the store, or cannot be opened, is named with the reason and left out; so is a backend that is not installed.
    Pictures are written beside the report and are in it as well: photographs keep their own licences there.

    Raises InvalidRequest for models or backends of the same name, backends of which none is installed, and raw
    embeddings or loss curves that cannot be used; InvalidSource where no image can be read.
    """
    check_unique([model.name for model in models], "models")
    check_unique([one.backend for one in backends], "backends")
    check_unique([one.name for one in libraries], "libraries")
    curves = [showing.curve_of(model, number) for number, model in enumerate(models, start=1)]
    present, missing = installed(workspace.backend, [one.backend for one in (*backends, *libraries)])
    used = [one for one in backends if one.backend in present]
    if not used:
        raise InvalidRequest(f"none of the backends is installed: {'; '.join(missing.values())}")
    ingested = ingest_images(workspace, gallery, source, report)
    prepared, reasons = prepare_models(workspace, gallery, models, used, report)
    documents = evaluate_both(workspace, gallery, prepared, used, num_queries, seed, report)
    served = workspace.serving.refresh(gallery)
    images = StudiedImages.of(served.table)
    queries = _queries(images, num_queries, seed)
    pictures = {showing.HISTOGRAM: showing.histogram_of(images)}
    found: dict[str, Measured] = {}
    entries = []
    for number, (model, curve) in enumerate(zip(models, curves, strict=True), start=1):
        report(Progress("analyse", number - 1, len(models)))
        made, shown = prepared.get(model.name), None
        if made is not None:
            found[model.name] = measure_model(
                workspace,
                served,
                images,
                queries,
                model,
                made,
                used,
                [one for one in libraries if one.backend in present],
                num_draws=num_draws,
                seed=seed,
            )
            shown = showing.sheet_of(workspace, gallery, images, found[model.name], number, seed)
        pictures.update({picture.name: picture for picture in (curve, shown) if picture is not None})
        entries.append(
            model_entry(model, made, found.get(model.name), reasons.get(model.name), curve=curve, sheet=shown)
        )
    report(Progress("analyse", len(models), len(models)))
    analyses = tuple(measured.analysis for measured in found.values())
    between = _between_models(found, images, queries, num_draws, seed)
    result = StudyResult(
        title=title,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.machine()}, Python {platform.python_version()}",
        seed=seed,
        num_images=len(images.records),
        num_failed_images=ingested.failed,
        num_queries=len(queries.rows_Q),
        subcategories=showing.counts(images, "subcategory"),
        supercategories=showing.counts(images, "supercategory"),
        models=tuple(entries),
        backends=tuple(backend_entry(one, missing.get(one.backend)) for one in backends),
        libraries=tuple(backend_entry(one, missing.get(one.backend)) for one in libraries),
        rows=rows(documents, {made.ref: name for name, made in prepared.items()}, published),
        findings=findings(analyses, between),
        analyses=analyses,
        between_models=between,
        published=tuple(published),
        histogram=showing.HISTOGRAM,
        evaluations=tuple(documents),
    )
    write_study(result, pictures, folder)
    return result


def write_study(result: StudyResult, pictures: Mapping[str, Picture], folder: Path) -> None:
    """Writes the pictures, the JSON and the page into ``folder``, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures.values():
        (folder / picture.name).write_bytes(picture.data)
    (folder / JSON).write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (folder / HTML).write_text(study_html(result, pictures), encoding="utf-8")


def _queries(images: StudiedImages, num_queries: int | None, seed: int) -> Queries:
    """The queries that an evaluation with the same arguments asks."""
    ids_N16 = np.frombuffer(images.ids_N.tobytes(), np.uint8).reshape(-1, 16)
    ids_Q = sample(ids_N16, num_queries, seed)
    return Queries(np.searchsorted(images.ids_N, ids_Q).astype(np.int64), ids_Q)


def _between_models(
    found: Mapping[str, Measured], images: StudiedImages, queries: Queries, num_draws: int, seed: int
) -> ThreeQueries | None:
    """Models by three queries, each with its first backend; None with fewer than two models."""
    if len(found) < 2:
        return None
    values = {level: {name: measured.precision(level) for name, measured in found.items()} for level in Level}
    labels = images.labels(np.ones(len(images.records), np.bool_))
    return by_three("between models", values, labels, queries, num_draws=num_draws, seed=seed)

"""The whole straight path in one call, on the generated gallery or on a folder of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.catalog.indexes import IndexManifest
from lookalike.errors import MissingExtra, ModelNotFound
from lookalike.galleries.demo.generate import generate
from lookalike.galleries.open import open_source
from lookalike.pipeline.embed import EmbedReport
from lookalike.pipeline.evaluate import Evaluation, evaluate_gallery
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import IngestReport, ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.workspace import Workspace

GENERATED = "demo"
OWN = "images"
NUM_QUERIES = 1000


@dataclass(frozen=True)
class Demo:
    """What was made; ``evaluation`` is None where no image has a label."""

    ingested: IngestReport
    embedded: EmbedReport
    indexes: list[IndexManifest]
    evaluation: Evaluation | None
    missing_backends: dict[str, str] = field(default_factory=dict)


def prepare_demo(
    workspace: Workspace, *, images: Path | None, model: str, backends: Sequence[str], report: Report = silent
) -> Demo:
    """Gallery, model, embeddings, indexes, promotion, evaluation; what is done already is not done again.

    A backend whose library is not installed is left out and named. Raises InvalidSource for ``images``.
    """
    gallery = GENERATED if images is None else OWN
    if images is None:
        drawn = generate(
            workspace.artifacts.file("demo", "gallery"),
            progress=lambda done, total: report(Progress("draw", done, total)),
        )
        source = open_source(str(drawn.annotations), images_root=drawn.images, fetcher=workspace.fetch)
    else:
        source = open_source(str(images), images_root=None, fetcher=workspace.fetch)
    try:
        ingested = ingest(
            workspace.store,
            workspace.galleries,
            workspace.ledger,
            gallery,
            source,
            limits=workspace.limits,
            source_id="demo",
            report=report,
        )
    finally:
        source.close()
    try:
        workspace.models.get(model)
    except ModelNotFound:
        import_model(workspace, f"baseline:{model}")
    embedded = embed_gallery(workspace, gallery, model, report=report)
    embedding_set = newest_set(workspace, gallery, model)
    present, missing = available(workspace, backends)
    indexes = build_indexes(workspace, gallery, embedding_set, present, report=report)
    live = workspace.pointers.get(gallery)
    entry = None if live is None else live.models.get(embedding_set.model)
    if entry is None or entry.indexes != {made.backend: made.index_id for made in indexes}:
        promote_indexes(workspace, gallery, embedding_set, indexes)
    labelled = bool(workspace.serving.refresh(gallery).table.label_counts()["subcategory"])
    evaluation = (
        evaluate_gallery(workspace, gallery, num_queries=NUM_QUERIES, reuse=True, report=report) if labelled else None
    )
    return Demo(ingested, embedded, indexes, evaluation, missing)


def available(workspace: Workspace, backends: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Which backends can be built here, and why the others can't."""
    present, missing = [], {}
    for name in backends:
        try:
            workspace.backend(name).capabilities  # noqa: B018 -- reading it needs the library
        except MissingExtra as error:
            missing[name] = error.message
        else:
            present.append(name)
    return present, missing

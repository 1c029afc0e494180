"""The whole straight path in one call, on the generated gallery or on a folder of images."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.catalog.indexes import IndexManifest
from lookalike.errors import InvalidSource
from lookalike.galleries.demo.generate import generate
from lookalike.galleries.open import open_source
from lookalike.jobs.ledger import embed_stage
from lookalike.pipeline.backends import installed
from lookalike.pipeline.embed import EmbedReport, covers
from lookalike.pipeline.evaluate import Evaluation, evaluate_gallery
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import IngestReport, ingest
from lookalike.pipeline.models import ensure_model
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.promote import Checks
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

    A backend whose library is not installed is left out and named. Raises InvalidSource for ``images`` that are no
    folder or hold no image that can be read.
    """
    ingested = ingest_demo(workspace, images, report=report)
    gallery = ingested.gallery
    ensure_model(workspace, model)
    embedded = _embedded(workspace, gallery, model) or embed_gallery(workspace, gallery, model, report=report)
    embedding_set = newest_set(workspace, gallery, model)
    present, missing = installed(workspace.backend, backends)
    indexes = build_indexes(workspace, gallery, embedding_set, present, report=report)
    live = workspace.pointers.get(gallery)
    entry = None if live is None else live.models.get(embedding_set.model)
    if entry is None or entry.indexes != {made.backend: made.index_id for made in indexes}:
        # No gate: a demo shows the model that it was asked to show.
        promote_indexes(workspace, gallery, embedding_set, indexes, checks=Checks(workspace.min_parity))
    labelled = bool(workspace.serving.refresh(gallery).table.label_counts()["subcategory"])
    evaluation = (
        evaluate_gallery(workspace, gallery, num_queries=NUM_QUERIES, reuse=True, report=report) if labelled else None
    )
    return Demo(ingested, embedded, indexes, evaluation, missing)


def ingest_demo(workspace: Workspace, images: Path | None = None, *, report: Report = silent) -> IngestReport:
    """The gallery of the generated images, which are drawn first, or of those in the folder ``images``.

    Raises InvalidSource for a folder that is none or holds no image that can be read.
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
        if next(source.images(), None) is None:  # before it empties the gallery of another folder
            raise InvalidSource(f"there is no image in {str(images)!r}", source=str(images))
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
    if not ingested.num_images:
        reason = f"none of {ingested.failed} files could be read as an image; why: lookalike failures {gallery}"
        raise InvalidSource(f"{images}: {reason}", source=str(images))
    return ingested


def _embedded(workspace: Workspace, gallery: str, model: str) -> EmbedReport | None:
    """What an embedding run would report of a gallery that is embedded already, without loading the model."""
    manifest = workspace.models.get(model)
    done = workspace.sets.newest(gallery, manifest.embedding_digest)
    if done is None or not covers(done, workspace.galleries.version(gallery)):
        return None
    failed = len(workspace.ledger.read(gallery, embed_stage(manifest.embedding_digest)))
    return EmbedReport(gallery, str(manifest.ref), done.set_id, 0, done.num_embeddings, failed)

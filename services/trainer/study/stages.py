"""The stages of a study that are those of every gallery: ingest, make live, evaluate."""

from collections.abc import Collection, Mapping, Sequence

from lookalike.errors import DamagedArtifact, InvalidArchive, InvalidRequest, InvalidSource, MissingExtra, ModelNotFound
from lookalike.evaluation import policies
from lookalike.evaluation.document import EvaluationDocument
from lookalike.galleries.port import GallerySource
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.ingest import IngestReport, ingest
from lookalike.pipeline.progress import Report
from lookalike.pipeline.workspace import Workspace
from services.trainer.study.answers import K
from services.trainer.study.backends import StudyBackend
from services.trainer.study.gallery import Prepared, make_live
from services.trainer.study.models import StudyModel


def check_unique(names: Collection[str], what: str) -> None:
    """Raises InvalidRequest for a name that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InvalidRequest(f"two of the {what} are {name!r}", name=name)
        seen.add(name)


def ingest_images(workspace: Workspace, gallery: str, source: GallerySource, report: Report) -> IngestReport:
    """Makes the gallery what the source has. Raises InvalidSource where no image can be read."""
    made = ingest(
        workspace.store,
        workspace.galleries,
        workspace.ledger,
        gallery,
        source,
        limits=workspace.limits,
        source_id=gallery,
        report=report,
    )
    if not made.num_images:
        raise InvalidSource(f"none of {made.failed} files of {source.description} could be read as an image")
    return made


def prepare_models(
    workspace: Workspace,
    gallery: str,
    models: Sequence[StudyModel],
    backends: Sequence[StudyBackend],
    report: Report,
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """Every model that can be had, live, by its name in the study; and why the others could not be.

    A model that is not in the store, or whose archive cannot be opened, is left out; so is one that embeds no image.
    """
    prepared: dict[str, Prepared] = {}
    reasons: dict[str, str] = {}
    for model in models:
        if model.ref is None:
            reasons[model.name] = model.said
            continue
        try:
            made = make_live(workspace, gallery, model.name, model.ref, backends, report)
        except (ModelNotFound, InvalidArchive, DamagedArtifact, MissingExtra) as error:
            reasons[model.name] = error.message
            continue
        if made.embedding_set.num_embeddings:
            prepared[model.name] = made
        else:
            reasons[model.name] = f"{made.ref} embedded none of {made.report.failed} images"
    check_unique([made.ref for made in prepared.values()], "models in the store")
    return prepared, reasons


def evaluate_both(
    workspace: Workspace,
    gallery: str,
    prepared: Mapping[str, Prepared],
    backends: Sequence[StudyBackend],
    num_queries: int | None,
    seed: int,
    report: Report,
) -> list[EvaluationDocument]:
    """The evaluations under both protocols, through the function that answers searches; none without a model.

    R-precision, which the table does not show, is taken by exact ranking.
    """
    if not prepared:
        return []
    return [
        evaluate_gallery(
            workspace,
            gallery,
            protocol=protocol,
            models=[made.ref for made in prepared.values()],
            backends=[one.backend for one in backends],
            k=K,
            num_queries=num_queries,
            seed=seed,
            search_depth=0,
            reuse=True,
            report=report,
        ).document
        for protocol in policies.PROTOCOLS
    ]

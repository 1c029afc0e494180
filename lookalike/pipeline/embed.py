"""gallery -> embedding set: embeds what no part holds yet, and nothing twice."""

from collections.abc import Collection
from functools import partial
from importlib.metadata import version as version_of
from typing import Literal

import numpy as np

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import (
    PART_IMAGES,
    EmbeddingSet,
    EmbeddingSets,
    Part,
    PartFailure,
    PartManifest,
    pack_items,
)
from lookalike.catalog.galleries import Galleries, GalleryVersion
from lookalike.embedding.named import DeferredEmbedder
from lookalike.embedding.port import Embedder
from lookalike.embedding.runtime import Runtime
from lookalike.embedding.stream import Failed, embed_stream
from lookalike.errors import DeadlyImage
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import Ledger
from lookalike.pipeline.embed_plan import EmbedReport, PlannedPart, finish_set, plan_parts, snapshot
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectStore
from lookalike.telemetry.context import bound
from lookalike.telemetry.declared import IMAGES_EMBEDDED, IMAGES_FAILED
from lookalike.telemetry.metrics import PROCESS
from lookalike.telemetry.stages import stage
from lookalike.types.images import ImageRecord
from lookalike.types.models import ModelRef

__all__ = ["EmbedReport", "covers", "embed", "embed_part", "unopened"]

_PREPARED_BY = ("pillow", "simplejpeg")  # decode and resize, so that they belong to the lineage


def embed(
    store: ObjectStore,
    galleries: Galleries,
    sets: EmbeddingSets,
    ledger: Ledger,
    gallery: str,
    embedder: Embedder,
    *,
    limits: ImageLimits,
    retry_failed: bool = False,
    part_images: int = PART_IMAGES,
    workers: int | Literal["auto"] = "auto",
    report: Report = silent,
) -> EmbedReport:
    """Completes the embedding set of the gallery's present version under the embedder's model.

    Whatever any earlier run finished is used: interrupted anywhere, the next run does at most one part again,
    also of a gallery that has changed in between; an image that was away and comes back is not embedded again. An
    image that cannot be decoded is left out and goes to the failure ledger; it is tried again when its bytes
    change, or with ``retry_failed``. Any number of runs may be under way at once: one that finds that another
    finished before it starts over, with all that both have done, so that an older set never follows a newer one.
    ``workers`` is that of :func:`lookalike.embedding.stream.embed_stream`. Raises DamagedArtifact, naming the file,
    for a stored part whose bytes are not those that were written; once that part's ``part.json`` is removed, the
    next run makes the part anew.

    Memory grows by 144 bytes for each image of the gallery, and by what one part needs.
    """
    digest = embedder.manifest.embedding_digest
    made: EmbedReport | None = None
    planned: list[str] = []
    while made is None:
        at = snapshot(galleries, sets, gallery, digest)
        total = galleries.version(gallery, at.version_id).num_images
        embedded = failed = 0
        parts = plan_parts(
            galleries, sets, ledger, gallery, digest, at, retry_failed=retry_failed, part_images=part_images
        )
        for part in parts:
            done = embed_part(store, sets, gallery, part, embedder, limits=limits, workers=workers)
            planned.append(part.part_id)
            embedded += done.num_embeddings
            failed += len(done.failures)
            report(Progress("embed", part.position, total, failed))
        retry_failed = False  # they have been
        made = finish_set(galleries, sets, ledger, gallery, embedder.manifest, at, planned=planned)
    report(Progress("embed", total, total, made.failed))
    return made


def embed_part(
    store: ObjectStore,
    sets: EmbeddingSets,
    gallery: str,
    part: PlannedPart,
    embedder: Embedder,
    *,
    limits: ImageLimits,
    workers: int | Literal["auto"] = "auto",
    deadly: Collection[str] = (),
) -> PartManifest:
    """Embeds one planned part and stores it; one that is done already is returned as it is.

    An image that cannot be read or decoded is left out and named in the manifest, and so are those whose identifier is
    in ``deadly``: they are not even looked at. Of two that embed one part at
    once, the first to finish counts. Raises DependencyUnavailable when store or embedder do not answer, and
    whatever the embedder raises: nothing is stored then.
    """
    digest = embedder.manifest.embedding_digest
    done = sets.part_manifest(gallery, digest, part.part_id)
    if done is not None:
        return done

    def read(record: ImageRecord) -> bytes:
        if record.image_id in deadly:
            raise DeadlyImage("a process that decoded this image died, or did not come to an end")
        return store.get(keys.image(gallery, record.sha256))

    embeddings = [np.zeros((0, embedder.manifest.dimension), np.float32)]
    good: list[ImageRecord] = []
    failed: list[PartFailure] = []
    with bound(gallery=gallery, part_id=part.part_id), stage("embed_part", gallery=gallery):
        outcomes = list(embed_stream(part.records, read, embedder, limits, workers=workers))
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            record, error = outcome.item, outcome.error
            PROCESS.count(IMAGES_FAILED, stage="embed", code=error.code)
            failed.append(
                PartFailure(
                    image_id=record.image_id,
                    key=record.key,
                    sha256=record.sha256,
                    code=error.code,
                    reason=error.message,
                    attempts=part.attempt + 1,
                )
            )
        else:
            good.extend(outcome.items)
            embeddings.append(outcome.embeddings_ND)
    made = Part(np.concatenate(embeddings), pack_items(good))
    PROCESS.count(IMAGES_EMBEDDED, len(good))
    with stage("write_part", gallery=gallery):
        return sets.write_part(gallery, digest, part.part_id, made, failed, made_with=_made_with(embedder))


def unopened(workspace: Workspace, model: str) -> Embedder:
    """The embedder of ``model``, opened only when there is an image to embed. Raises ModelNotFound."""
    manifest = workspace.models.get(ModelRef.parse(model))
    return DeferredEmbedder(manifest, partial(workspace.embedder, str(manifest.ref)))


def _made_with(embedder: Embedder) -> tuple[Runtime, ...]:
    runtime = embedder.runtime
    prepared_by = {name: version_of(name) for name in _PREPARED_BY}
    return (runtime.model_copy(update={"libraries": {**runtime.libraries, **prepared_by}}),)


def covers(embedding_set: EmbeddingSet, version: GalleryVersion) -> bool:
    """Whether the set was made for exactly this gallery version."""
    return embedding_set.version_id == version.version_id

"""Adding and deleting single images while the gallery is searched."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from lookalike.catalog import keys
from lookalike.errors import ImageNotFound, LookalikeError
from lookalike.pipeline.embed import embed, unopened
from lookalike.pipeline.ingest import store_image
from lookalike.pipeline.outside import retire_gallery
from lookalike.pipeline.progress import Report, silent
from lookalike.pipeline.promote import follow_gallery
from lookalike.pipeline.workspace import Workspace
from lookalike.types.filters import Filter
from lookalike.types.ids import parse_image_id
from lookalike.types.images import ImageRecord, Labels, MetadataValue


@dataclass(frozen=True)
class NewImage:
    """One image to add; an image with the same key is replaced."""

    key: str
    data: bytes
    labels: Labels
    metadata: dict[str, MetadataValue]


@dataclass(frozen=True)
class Outcome:
    """What became of one: its record, or the error."""

    key: str
    record: ImageRecord | None
    error: LookalikeError | None = None


def add_images(workspace: Workspace, gallery: str, images: Sequence[NewImage]) -> list[Outcome]:
    """Stores ``images`` and puts them into the gallery; one that is none has its error and stops no other.

    They are found by searches after :func:`embed_and_follow`.
    """
    outcomes = []
    for image in images:
        try:
            record = store_image(
                workspace.store,
                gallery,
                image.key,
                image.data,
                limits=workspace.limits,
                labels=image.labels,
                metadata=image.metadata,
            )
        except LookalikeError as error:
            outcomes.append(Outcome(image.key, None, error))
        else:
            outcomes.append(Outcome(image.key, record))
    changes = {outcome.key: outcome.record for outcome in outcomes if outcome.record is not None}
    if changes:
        workspace.galleries.apply(gallery, changes)
    return outcomes


def embed_and_follow(
    workspace: Workspace, gallery: str, *, retry_failed: bool = False, report: Report = silent
) -> None:
    """Embeds what the live models lack and serves it, searched exactly until the next build."""
    live = workspace.pointers.get(gallery)
    if live is None:
        return
    for model in live.models:
        embed(
            workspace.store,
            workspace.galleries,
            workspace.sets,
            workspace.ledger,
            gallery,
            unopened(workspace, model),
            limits=workspace.limits,
            workers=workspace.decode_workers,
            retry_failed=retry_failed,
            report=report,
        )
    follow_gallery(workspace.galleries, workspace.sets, workspace.pointers, gallery)
    workspace.serving.notice(gallery)


def delete_image(workspace: Workspace, gallery: str, image_id: str) -> ImageRecord:
    """Takes one image out; no search finds it once this has returned. Raises ImageNotFound."""
    workspace.serving.notice(gallery)
    record = image_record(workspace, gallery, image_id)
    _take_out(workspace, gallery, [record.key])
    return record


def delete_images(
    workspace: Workspace, gallery: str, image_ids: Sequence[str] | None = None, condition: Filter | None = None
) -> int:
    """Takes out those of ``image_ids`` that are there, or all that satisfy ``condition``; says how many that were."""
    table = workspace.serving.refresh(gallery).table
    if condition is not None:
        identifiers = [row.tobytes() for row in table.matching(condition)]
    else:
        identifiers = [uuid.UUID(parse_image_id(text)).bytes for text in image_ids or ()]
    found = [record.key for record in table.get([one.ljust(16, b"\0") for one in identifiers]).values()]
    if found:
        _take_out(workspace, gallery, found)
    return len(found)


def delete_gallery(workspace: Workspace, gallery: str) -> None:
    """Removes a gallery with everything made of it, also what servers keep. Raises GalleryNotFound."""
    workspace.galleries.get(gallery)
    retire_gallery(workspace, gallery)
    workspace.galleries.delete(gallery)
    workspace.serving.forget(gallery)


def _take_out(workspace: Workspace, gallery: str, image_keys: Sequence[str]) -> None:
    workspace.galleries.apply(gallery, dict.fromkeys(image_keys))
    follow_gallery(workspace.galleries, workspace.sets, workspace.pointers, gallery)
    workspace.serving.notice(gallery)


def image_record(workspace: Workspace, gallery: str, image_id: str) -> ImageRecord:
    """The served record. Raises InvalidRequest for what is no identifier, ImageNotFound."""
    identifier = uuid.UUID(parse_image_id(image_id)).bytes
    record = workspace.serving.gallery(gallery).table.get([identifier]).get(identifier)
    if record is None:
        raise ImageNotFound(f"{gallery!r} has no image {image_id}", image_id=image_id)
    return record


def image_bytes(workspace: Workspace, gallery: str, record: ImageRecord) -> bytes:
    """The bytes as they were given."""
    return workspace.store.get(keys.image(gallery, record.sha256))

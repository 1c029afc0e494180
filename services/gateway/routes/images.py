"""The images of a gallery."""

import json
from typing import Annotated

from fastapi import APIRouter, File, Form, Header, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lookalike.errors import InvalidFilter, InvalidRequest
from lookalike.images.thumbnails import MAX_SIZE, MIN_SIZE, thumbnail
from lookalike.pipeline.change import NewImage, add_images, delete_image, image_bytes, image_record
from lookalike.pipeline.job_kinds import JobKind
from lookalike.types.filters import Filter, parse_filter
from lookalike.types.images import MAX_KEY_CHARS, ImageRecord, Labels, MetadataValue
from services.gateway.access import Asker
from services.gateway.cursor import make_cursor, read_cursor
from services.gateway.guarded_route import GuardedRoute
from services.gateway.problem import ItemError, from_error
from services.gateway.state import App, At

router = APIRouter(prefix="/v1/galleries/{gallery}/images", tags=["images"], route_class=GuardedRoute)
# Asked for anew each time: an image may be replaced under its image_id, and then the ETag changes.
_CACHING = {"Cache-Control": "private, no-cache"}
_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "bmp": "image/bmp"}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_UNCHANGED = {"description": "The ETag given in If-None-Match is the present one."}


class ImageDetails(BaseModel):
    """What may be said of an upload beside its bytes."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    labels: Labels = Labels()
    metadata: dict[str, MetadataValue] = Field(default_factory=dict)


_DETAILS = TypeAdapter(list[ImageDetails])


class UploadOutcome(BaseModel):
    """``image_id`` of one that was added, ``error`` of one that was not."""

    key: str
    image_id: str | None = None
    error: ItemError | None = None


class Uploaded(BaseModel):
    """``job`` is the job_id of the embedding, None where nothing was added."""

    job: str | None
    images: list[UploadOutcome]


@router.post("", status_code=202)
def add(
    gallery: str,
    app: App,
    asker: Asker,
    image: Annotated[list[UploadFile], File(description="one or many images")],
    details: Annotated[str, Form(description="JSON list: key, labels, metadata of each image")] = "[]",
) -> Uploaded:
    """Adds images, or replaces those with the same keys. Searches find them when the job is done.

    One that is no image has its own error and stops no other.
    """
    asker.charge_here(len(image) - 1)
    app.workspace.galleries.get(gallery)
    said = _details(details, len(image))
    new = [
        NewImage(detail.key or upload.filename or "", upload.file.read(), detail.labels, detail.metadata)
        for upload, detail in zip(image, said, strict=True)
    ]
    if any(not 0 < len(made.key) <= MAX_KEY_CHARS for made in new) or len({made.key for made in new}) != len(new):
        raise InvalidRequest(
            f"every image needs a key or a file name of its own, of at most {MAX_KEY_CHARS} characters"
        )
    outcomes = add_images(app.workspace, gallery, new)
    added = any(outcome.record for outcome in outcomes)
    return Uploaded(
        job=app.submit(JobKind.ADD, gallery, {}).job_id if added else None,
        images=[
            UploadOutcome(
                key=outcome.key,
                image_id=outcome.record.image_id if outcome.record else None,
                error=from_error(outcome.error) if outcome.error else None,
            )
            for outcome in outcomes
        ],
    )


def _details(text: str, number: int) -> list[ImageDetails]:
    try:
        made = _DETAILS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("details", *first["loc"]))
        raise InvalidRequest(f"{where}: {first['msg']}") from error
    if len(made) not in (0, number):
        raise InvalidRequest(f"details is a JSON list with one object for each of the {number} images")
    return made or [ImageDetails()] * number


class Page(BaseModel):
    """``cursor`` is given back for the next page; None at the end."""

    images: list[ImageRecord]
    cursor: str | None


@router.get("")
def list_images(
    gallery: str,
    at: At,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(description="of the page before")] = None,
    filter: Annotated[str | None, Query(description="a filter as JSON")] = None,
) -> Page:
    """Images in the order of their keys."""
    condition = None if filter is None else _filter(filter)
    after = None if cursor is None else read_cursor(cursor)
    found = at.serving.gallery(gallery).table.page(limit=limit + 1, after=after, condition=condition)
    following = make_cursor(found[limit - 1].key) if len(found) > limit else None
    return Page(images=found[:limit], cursor=following)


def _filter(text: str) -> Filter:
    try:
        return parse_filter(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InvalidFilter(f"the filter is not JSON: {error!s:.200}") from error


@router.get("/{image_id}")
def get_image(gallery: str, image_id: str, at: At) -> ImageRecord:
    """One image's record."""
    return image_record(at, gallery, image_id)


@router.delete("/{image_id}", status_code=204)
def delete(gallery: str, image_id: str, at: At) -> Response:
    """Takes the image out: no search finds it after this answer."""
    delete_image(at, gallery, image_id)
    return Response(status_code=204)


@router.get(
    "/{image_id}/content",
    response_class=Response,
    responses={200: {"content": {"image/*": _BYTES}, "description": "The image."}, 304: _UNCHANGED},
)
def content(gallery: str, image_id: str, at: At, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The image's bytes as they were given."""
    record = image_record(at, gallery, image_id)
    headers = {**_CACHING, "ETag": f'"{record.sha256}"'}
    if _is_same(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    media_type = _TYPES.get(record.format, "image/tiff")
    return Response(image_bytes(at, gallery, record), media_type=media_type, headers=headers)


@router.get(
    "/{image_id}/thumbnail",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": _BYTES}, "description": "The thumbnail."}, 304: _UNCHANGED},
)
def get_thumbnail(
    gallery: str,
    image_id: str,
    at: At,
    size: Annotated[int, Query(ge=MIN_SIZE, le=MAX_SIZE)] = 256,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A JPEG whose longer side is ``size`` pixels, or that of the image where it is smaller."""
    record = image_record(at, gallery, image_id)
    headers = {**_CACHING, "ETag": f'"{record.sha256}-{size}"'}
    if _is_same(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    made = thumbnail(image_bytes(at, gallery, record), size=size, limits=at.limits)
    return Response(made, media_type="image/jpeg", headers=headers)


def _is_same(if_none_match: str | None, etag: str) -> bool:
    given = [part.strip().removeprefix("W/") for part in (if_none_match or "").split(",")]
    return etag in given or "*" in given

"""The images of a gallery."""

import json
from typing import Annotated

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lookalike.errors import InvalidRequest
from lookalike.images.thumbnails import thumbnail
from lookalike.pipeline.change import NewImage, add_images, delete_image, embed_and_follow, image_bytes, image_record
from lookalike.types.filters import parse_filter
from lookalike.types.images import MAX_KEY_CHARS, ImageRecord, Labels, MetadataValue
from services.gateway.problem import from_error
from services.gateway.state import At, Queue

router = APIRouter(prefix="/v1/galleries/{gallery}/images", tags=["images"])
_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "gif": "image/gif", "bmp": "image/bmp"}


class ImageDetails(BaseModel):
    """What may be said of an upload beside its bytes."""

    model_config = ConfigDict(extra="forbid")

    key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    labels: Labels = Labels()
    metadata: dict[str, MetadataValue] = Field(default_factory=dict)


class UploadOutcome(BaseModel):
    key: str
    image_id: str | None = None
    error: dict[str, object] | None = None


class Uploaded(BaseModel):
    job: str | None
    images: list[UploadOutcome]


@router.post("", status_code=202)
def add(
    gallery: str,
    at: At,
    queue: Queue,
    image: Annotated[list[UploadFile], File(description="one or many images")],
    details: Annotated[str, Form(description="JSON list: key, labels, metadata of each image")] = "[]",
) -> Uploaded:
    """Adds images. They are found by searches when the job is done; one that is none has its own error."""
    said = _details(details, len(image))
    new = [
        NewImage(detail.key or upload.filename or "", upload.file.read(), detail.labels, detail.metadata)
        for upload, detail in zip(image, said, strict=True)
    ]
    if any(not made.key for made in new) or len({made.key for made in new}) != len(new):
        raise InvalidRequest("every image needs a key or a file name of its own")
    at.galleries.get(gallery)
    outcomes = add_images(at, gallery, new)
    added = any(outcome.record for outcome in outcomes)
    job = queue.submit("embed", gallery, lambda report: embed_and_follow(at, gallery)) if added else None
    return Uploaded(
        job=job,
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
        parsed = json.loads(text)
        made = [ImageDetails.model_validate(item) for item in parsed] if isinstance(parsed, list) else None
    except (ValueError, ValidationError) as error:
        raise InvalidRequest(f"details: {str(error)[:300]}") from error
    if made is None or len(made) not in (0, number):
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
    cursor: str | None = None,
    filter: Annotated[str | None, Query(description="a filter as JSON")] = None,
) -> Page:
    """Images in the order of their keys."""
    try:
        condition = None if filter is None else parse_filter(json.loads(filter))
    except ValueError as error:
        raise InvalidRequest(f"filter: {error}") from error
    table = at.serving.gallery(gallery).table
    found = table.page(limit=limit + 1, after=cursor, condition=condition)
    return Page(images=found[:limit], cursor=found[limit - 1].key if len(found) > limit else None)


@router.get("/{image_id}")
def get_image(gallery: str, image_id: str, at: At) -> ImageRecord:
    """One image's record."""
    return image_record(at, gallery, image_id)


@router.delete("/{image_id}", status_code=204)
def delete(gallery: str, image_id: str, at: At) -> Response:
    """Takes the image out: no search finds it after this answer."""
    delete_image(at, gallery, image_id)
    return Response(status_code=204)


@router.get("/{image_id}/content")
def content(gallery: str, image_id: str, at: At, request: Request) -> Response:
    """The image's bytes as they were given."""
    record = image_record(at, gallery, image_id)
    headers = {**_FOREVER, "ETag": f'"{record.sha256}"', "X-Content-Type-Options": "nosniff"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(
        image_bytes(at, gallery, record), media_type=_TYPES.get(record.format, "image/tiff"), headers=headers
    )


@router.get("/{image_id}/thumbnail")
def get_thumbnail(gallery: str, image_id: str, at: At, size: Annotated[int, Query(ge=32, le=1024)] = 256) -> Response:
    """A JPEG whose longer side is ``size`` pixels."""
    record = image_record(at, gallery, image_id)
    made = thumbnail(image_bytes(at, gallery, record), size=size, limits=at.limits)
    return Response(made, media_type="image/jpeg", headers=_FOREVER)

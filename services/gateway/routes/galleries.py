"""Galleries."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from lookalike.pipeline.gallery_state import GalleryState, gallery_state
from services.gateway.json_body import StrictRoute
from services.gateway.state import At

router = APIRouter(prefix="/v1/galleries", tags=["galleries"], route_class=StrictRoute)


class NewGallery(BaseModel):
    """A name of 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = Field(default="", max_length=10_000)


@router.post("", status_code=201)
def create_gallery(new: NewGallery, at: At, response: Response) -> GalleryState:
    """Makes an empty gallery."""
    at.galleries.create(new.name, description=new.description)
    response.headers["Location"] = f"/v1/galleries/{new.name}"
    return gallery_state(at, new.name)


@router.get("")
def list_galleries(at: At) -> list[GalleryState]:
    """All galleries, by name."""
    return [gallery_state(at, pointer.name) for pointer in at.galleries.list()]


@router.get("/{gallery}")
def get_gallery(gallery: str, at: At) -> GalleryState:
    """Counts, live indexes per model, pending adds and deletes."""
    return gallery_state(at, gallery)


@router.delete("/{gallery}", status_code=204)
def delete_gallery(gallery: str, at: At) -> Response:
    """Removes the gallery with its images, embeddings and indexes."""
    at.galleries.delete(gallery)
    at.serving.forget(gallery)
    return Response(status_code=204)

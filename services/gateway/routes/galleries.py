"""Galleries."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from lookalike.pipeline.change import delete_gallery as delete_everything
from lookalike.pipeline.estimate import Estimate
from lookalike.pipeline.estimate import estimate as estimate_reembedding
from lookalike.pipeline.gallery_state import GalleryState, gallery_state
from lookalike.pipeline.job_kinds import ReembedParams
from lookalike.pipeline.job_run import reembed_wanted
from lookalike.types.images import MetadataValue
from services.gateway.access import Asker
from services.gateway.guarded_route import GuardedRoute
from services.gateway.state import At

router = APIRouter(prefix="/v1/galleries", tags=["galleries"], route_class=GuardedRoute)


class NewGallery(BaseModel):
    """A name of 1 to 63 of a-z, 0-9, _ and -, the first a letter or digit."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = Field(default="", max_length=10_000)


class Wanted(BaseModel):
    """A re-embedding as its job takes it: a model, and backends with build parameters by backend.

    ``sample_images`` of those to embed are embedded in the gateway to measure the speed; 0 measures nothing.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    backends: list[str] | None = Field(default=None, min_length=1, max_length=16)
    params: dict[str, dict[str, MetadataValue]] = Field(default_factory=dict, max_length=16)
    sample_images: int = Field(default=0, ge=0, le=256)


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


@router.post("/{gallery}/estimate")
def estimate(gallery: str, wanted: Wanted, at: At, asker: Asker) -> Estimate:
    """What a re-embedding would take: images to embed, time, and bytes of the store. Nothing is changed."""
    asker.charge_here(wanted.sample_images)
    asked = ReembedParams(model=wanted.model, backends=wanted.backends, params=wanted.params)
    return estimate_reembedding(
        at, gallery, wanted.model, reembed_wanted(at, asked), sample_images=wanted.sample_images
    )


@router.delete("/{gallery}", status_code=204)
def delete_gallery(gallery: str, at: At) -> Response:
    """Removes the gallery with its images, embeddings and indexes."""
    delete_everything(at, gallery)
    return Response(status_code=204)

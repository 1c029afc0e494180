"""What is asked and what is answered."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lookalike.types.filters import BoundedFilter
from lookalike.types.images import Labels, MetadataValue

MAX_K = 1000
MAX_OFFSET = 10_000
MAX_DIMENSION = 65_536


def _one_line(text: str) -> str:
    if any(ord(char) < 32 for char in text):
        raise ValueError("control characters are not allowed")
    return text


class SearchOptions(BaseModel):
    """Everything of a search but what is searched for.

    ``params`` are the backend's own; ``exclude_self`` leaves the query image out of the hits when the query is
    an ``image_id``, or an upload whose bytes are an image of the gallery.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    backend: str | None = None
    k: int = Field(default=10, ge=1, le=MAX_K)
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET)
    filter: BoundedFilter | None = None
    min_similarity: float | None = Field(default=None, ge=-1, le=1)
    params: dict[str, MetadataValue] = Field(default_factory=dict)
    exclude_self: bool = False
    with_embedding: bool = False


class SearchRequest(SearchOptions):
    """A search by what is already there or can be fetched; uploads come beside it."""

    image_id: str | None = None
    image_url: Annotated[str, AfterValidator(_one_line)] | None = Field(default=None, max_length=2048)
    embedding: list[float] | None = Field(default=None, min_length=1, max_length=MAX_DIMENSION)

    @model_validator(mode="after")
    def _at_most_one(self) -> "SearchRequest":
        if sum(value is not None for value in (self.image_id, self.image_url, self.embedding)) > 1:
            raise ValueError("give one of image_id, image_url and embedding")
        return self


class Hit(BaseModel):
    """One result. ``rank`` counts from 1 + offset; ``distance`` is the backend's own, smaller is nearer."""

    model_config = ConfigDict(frozen=True)

    rank: int
    image_id: str
    key: str
    labels: Labels
    metadata: dict[str, MetadataValue]
    similarity: float
    distance: float
    embedding: list[float] | None = None


class SearchResponse(BaseModel):
    """``took_ms`` is by stage: prepare (fetch, decode, resize), embed, search, records; and total."""

    model_config = ConfigDict(frozen=True)

    model: str
    backend: str
    index: str
    took_ms: dict[str, float]
    hits: list[Hit]

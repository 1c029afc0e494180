"""A search's answer as HTTP gives it: hits with where their images are."""

from pydantic import BaseModel

from lookalike.pipeline.compare import Comparison
from lookalike.types.search import Hit, SearchResponse
from services.gateway.problem import ItemError


class LinkedHit(Hit):
    """A hit with where its image is."""

    content: str
    thumbnail: str


class SearchAnswer(SearchResponse):
    """``took_ms`` is by stage: prepare (fetch, decode, resize), embed, search, records; and total."""

    hits: list[LinkedHit]  # type: ignore[assignment] # each is a Hit


class BatchOutcome(BaseModel):
    """One of ``response`` and ``error``."""

    response: SearchAnswer | None = None
    error: ItemError | None = None


class ComparisonAnswer(BaseModel):
    """``overlap_at_k[i][j]`` is the share of answer i's hits that answer j has too: 1 where i has none."""

    answers: list[SearchAnswer]
    overlap_at_k: list[list[float]]


def linked(gallery: str, response: SearchResponse) -> SearchAnswer:
    """The response with links to each hit's content and thumbnail."""
    hits = []
    for hit in response.hits:
        address = f"/v1/galleries/{gallery}/images/{hit.image_id}"
        hits.append(
            LinkedHit.model_construct(
                **hit.__dict__, content=f"{address}/content", thumbnail=f"{address}/thumbnail?size=256"
            )
        )
    return SearchAnswer.model_construct(**{**response.__dict__, "hits": hits})


def linked_comparison(gallery: str, comparison: Comparison) -> ComparisonAnswer:
    """The comparison with links at every hit."""
    answers = [linked(gallery, response) for response in comparison.answers]
    return ComparisonAnswer.model_construct(answers=answers, overlap_at_k=comparison.overlap_at_k)

"""One query through several (model, backend) pairs."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from lookalike.errors import IndexNotFound, LookalikeError
from lookalike.pipeline.search import QueryParts
from lookalike.pipeline.search_batch import Asked, search_many
from lookalike.pipeline.served_gallery import ServedGallery
from lookalike.types.search import SearchRequest, SearchResponse


class Comparison(BaseModel):
    """``overlap_at_k[i][j]`` is the share of answer i's hits that answer j has too: 1 where i has none."""

    model_config = ConfigDict(frozen=True)

    answers: list[SearchResponse]
    overlap_at_k: list[list[float]]


def compare(
    served: ServedGallery,
    request: SearchRequest,
    pairs: Sequence[tuple[str | None, str]],
    parts: QueryParts,
    *,
    image: bytes | None = None,
) -> Comparison:
    """Asks every pair; without pairs, everything that is live. A query image is embedded once for each model.

    Raises what :func:`lookalike.pipeline.search.search` raises.
    """
    live = [(model, backend) for model, entry in sorted(served.live.models.items()) for backend in entry.indexes]
    wanted = list(pairs) or live
    if not wanted:
        raise IndexNotFound(f"nothing is live in {served.live.gallery!r}", gallery=served.live.gallery)
    searches = [
        Asked(request.model_copy(update={"model": model, "backend": backend}), image) for model, backend in wanted
    ]
    answers: list[SearchResponse] = []
    for outcome in search_many(served, searches, parts):
        if isinstance(outcome, LookalikeError):
            raise outcome
        answers.append(outcome)
    found = [{hit.image_id for hit in answer.hits} for answer in answers]
    overlap = [[len(one & other) / len(one) if one else 1.0 for other in found] for one in found]
    return Comparison(answers=answers, overlap_at_k=overlap)

"""Search: one, many, and one query through several models and backends."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.concurrency import run_in_threadpool

from lookalike.errors import LookalikeError
from lookalike.pipeline.compare import compare
from lookalike.pipeline.search import search
from lookalike.pipeline.search_batch import Asked, search_many
from lookalike.types.search import SearchRequest
from services.gateway.access import Asker
from services.gateway.answers import BatchOutcome, ComparisonAnswer, SearchAnswer, linked, linked_comparison
from services.gateway.guarded_route import GuardedRoute
from services.gateway.problem import from_error
from services.gateway.query_body import named, read_query, request_body
from services.gateway.state import App

router = APIRouter(prefix="/v1/galleries/{gallery}", tags=["search"], route_class=GuardedRoute)
MAX_BATCH = 256
MAX_PAIRS = 16


@router.post(
    "/search",
    response_model=None,
    responses={200: {"model": SearchAnswer}},
    openapi_extra=request_body("SearchRequest"),
)
async def search_gallery(gallery: str, request: Request, app: App) -> Response:
    """What looks like this? JSON, or multipart with the query ``image`` and the rest as JSON in ``request``."""
    wanted, image = await read_query(request, SearchRequest)

    def answer() -> Response:
        response = search(app.workspace.serving.gallery(gallery), wanted, app.workspace.query, image=image)
        app.metrics.searched(response)
        # Not through FastAPI's encoder, which takes thirty times as long for an answer of this size.
        return Response(linked(gallery, response).model_dump_json(), media_type="application/json")

    return await run_in_threadpool(answer)


class Batch(BaseModel):
    """Each search is checked by itself, so that a wrong one stops no other."""

    model_config = ConfigDict(extra="forbid")

    searches: list[Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/SearchRequest"})]] = Field(
        min_length=1, max_length=MAX_BATCH
    )


@router.post("/search/batch")
def search_batch(gallery: str, batch: Batch, app: App, asker: Asker) -> list[BatchOutcome]:
    """Up to 256 searches, an outcome each, in order. Those with the same options are one call of the index."""
    asker.charge_here(len(batch.searches) - 1)
    parsed = [_parsed(said) for said in batch.searches]
    right = [Asked(one) for one in parsed if isinstance(one, SearchRequest)]
    answered = iter(search_many(app.workspace.serving.gallery(gallery), right, app.workspace.query))
    outcomes = []
    for one in parsed:
        outcome = next(answered) if isinstance(one, SearchRequest) else one
        if isinstance(outcome, LookalikeError):
            outcomes.append(BatchOutcome(error=from_error(outcome)))
        else:
            app.metrics.searched(outcome)
            outcomes.append(BatchOutcome.model_construct(response=linked(gallery, outcome)))
    return outcomes


def _parsed(said: object) -> SearchRequest | LookalikeError:
    try:
        return SearchRequest.model_validate(said)
    except ValidationError as error:
        return named(error)
    except LookalikeError as error:
        return error


class Pair(BaseModel):
    """``model`` None: the default one."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    backend: str


class CompareRequest(SearchRequest):
    """One query and the (model, backend) pairs to ask; without pairs, everything that is live."""

    pairs: list[Pair] = Field(default_factory=list, max_length=MAX_PAIRS)


@router.post(
    "/compare",
    response_model=None,
    responses={200: {"model": ComparisonAnswer}},
    openapi_extra=request_body("CompareRequest"),
)
async def compare_pairs(gallery: str, request: Request, app: App, asker: Asker) -> ComparisonAnswer:
    """One query through several (model, backend) pairs: hits side by side, and how many they share."""
    wanted, image = await read_query(request, CompareRequest)
    plain = SearchRequest.model_construct(**{name: getattr(wanted, name) for name in SearchRequest.model_fields})
    pairs = [(pair.model, pair.backend) for pair in wanted.pairs]

    def answer() -> ComparisonAnswer:
        comparison = compare(app.workspace.serving.gallery(gallery), plain, pairs, app.workspace.query, image=image)
        for response in comparison.answers:
            app.metrics.searched(response)
        return linked_comparison(gallery, comparison)

    answered = await run_in_threadpool(answer)
    await asker.charge(len(answered.answers) - 1)  # without pairs nobody knew how many there would be
    return answered

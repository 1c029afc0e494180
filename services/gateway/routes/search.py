"""Search: one, many, and one query through several models and backends."""

from collections.abc import Sequence
from typing import TypeVar

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from lookalike.errors import InvalidRequest, LookalikeError
from lookalike.pipeline.compare import Comparison, compare
from lookalike.pipeline.search import search
from lookalike.types.search import Hit, SearchRequest, SearchResponse
from services.gateway.problem import from_error
from services.gateway.state import At

router = APIRouter(prefix="/v1/galleries/{gallery}", tags=["search"])
MAX_BATCH = 256
MAX_PAIRS = 16
R = TypeVar("R", bound=SearchRequest)


class LinkedHit(Hit):
    """A hit with where its image is."""

    content: str
    thumbnail: str


class SearchAnswer(SearchResponse):
    hits: list[LinkedHit]  # type: ignore[assignment] # each is a Hit


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


_JSON_OR_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/SearchRequest"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "string", "format": "binary"},
                        "request": {"type": "string", "description": "a SearchRequest as JSON"},
                    },
                }
            },
        },
    }
}


@router.post("/search", response_model=None, responses={200: {"model": SearchAnswer}}, openapi_extra=_JSON_OR_FORM)
async def search_gallery(gallery: str, request: Request, at: At) -> SearchAnswer:
    """What looks like this? JSON, or multipart with the query ``image`` and the rest as JSON in ``request``."""
    wanted, image = await _asked(request, SearchRequest)

    def answer() -> SearchAnswer:
        return linked(gallery, search(at.serving.gallery(gallery), wanted, at.query, image=image))

    return await run_in_threadpool(answer)


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    searches: list[SearchRequest] = Field(min_length=1, max_length=MAX_BATCH)


class BatchOutcome(BaseModel):
    """One of ``response`` and ``error``."""

    response: SearchAnswer | None = None
    error: dict[str, object] | None = None


@router.post("/search/batch")
def search_batch(gallery: str, batch: Batch, at: At) -> list[BatchOutcome]:
    """Up to 256 searches, an outcome each, in order; one that fails stops no other."""
    served = at.serving.gallery(gallery)
    outcomes = []
    for wanted in batch.searches:
        try:
            outcomes.append(BatchOutcome(response=linked(gallery, search(served, wanted, at.query))))
        except LookalikeError as error:
            outcomes.append(BatchOutcome(error=from_error(error)))
    return outcomes


class Pair(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    backend: str


class CompareRequest(SearchRequest):
    """One query and the (model, backend) pairs to ask; without pairs, everything that is live."""

    pairs: list[Pair] = Field(default_factory=list, max_length=MAX_PAIRS)


@router.post("/compare", response_model=None, responses={200: {"model": Comparison}})
async def compare_backends(gallery: str, request: Request, at: At) -> Comparison:
    """One query through several (model, backend) pairs: hits side by side and how many they share."""
    wanted, image = await _asked(request, CompareRequest)
    pairs: Sequence[tuple[str | None, str]] = [(pair.model, pair.backend) for pair in wanted.pairs]
    plain = SearchRequest.model_validate(wanted.model_dump(exclude={"pairs"}, by_alias=True))
    return await run_in_threadpool(compare, at.serving.gallery(gallery), plain, pairs, at.query, image=image)


async def _asked(request: Request, kind: type[R]) -> tuple[R, bytes | None]:
    """The request and the uploaded image of either form."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8) as form:
            upload, said = form.get("image"), form.get("request", "{}")
            if not isinstance(upload, UploadFile) or not isinstance(said, str):
                raise InvalidRequest("multipart needs the file field image; request is a text field of JSON")
            return _parsed(kind, said.encode()), await upload.read()
    if content_type != "application/json":
        raise InvalidRequest("the body is application/json or multipart/form-data", content_type=content_type[:100])
    return _parsed(kind, await request.body()), None


def _parsed(kind: type[R], data: bytes) -> R:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "request"
        raise InvalidRequest(f"{where}: {first['msg']}") from error

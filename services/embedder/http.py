"""Any embedder over HTTP. The protocol is described in :mod:`lookalike.embedding.remote`, its client."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

from lookalike.embedding.port import Embedder
from lookalike.embedding.remote_protocol import SHAPE_HEADER, RemoteModel, max_images
from lookalike.errors import InvalidRequest, LookalikeError, ModelNotFound, PreconditionFailed
from lookalike.telemetry import declared
from lookalike.telemetry.asgi import ObserveRequests
from lookalike.telemetry.metrics import Recorder, exposed
from lookalike.telemetry.stages import timed
from services.embedder.pixels import shape_of
from services.embedder.problems import PROBLEM_TYPE, STATUS, problem


def create_app(embedders: Iterable[Embedder]) -> FastAPI:
    """The application that serves ``embedders`` under the names of their models. It does not close them.

    Of several under one name ``If-Match`` chooses by digest; without it the last one answers.
    """
    served = tuple(embedders)
    recorder = Recorder(declared.HTTP)
    registry = exposed(recorder)
    app = FastAPI(title="Lookalike embedder", openapi_url="/openapi.json")
    app.add_exception_handler(LookalikeError, _problem)
    app.add_middleware(ObserveRequests, recorder=recorder)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models/{name}")
    async def describe(name: str, request: Request) -> RemoteModel:
        wanted = request.headers.get("if-match")
        return _describe(_last(served, name) if wanted is None else _matching(served, name, wanted))

    @app.post("/v1/models/{name}/embeddings")
    async def embed(name: str, request: Request) -> Response:
        embedder = _matching(served, name, request.headers.get("if-match"))
        shape = _checked_shape(request, embedder)
        images_NHWC = np.frombuffer(await _body(request, math.prod(shape)), np.uint8).reshape(shape)
        with timed("embed"):
            embeddings_ND = await run_in_threadpool(embedder.embed, images_NHWC)
        return Response(
            np.ascontiguousarray(embeddings_ND, "<f4").tobytes(),
            media_type="application/octet-stream",
            headers={SHAPE_HEADER: f"{embeddings_ND.shape[0]},{embeddings_ND.shape[1]}"},
        )

    return app


def _last(served: Sequence[Embedder], name: str) -> Embedder:
    named = [embedder for embedder in served if embedder.manifest.name == name]
    if not named:
        raise ModelNotFound(f"no model {name!r:.100} here", known=sorted({one.manifest.name for one in served}))
    return named[-1]


def _matching(served: Sequence[Embedder], name: str, tag: str | None) -> Embedder:
    """The model under ``name`` whose quoted digest is ``tag``. Raises ModelNotFound, PreconditionFailed."""
    digest = _last(served, name).manifest.digest
    for embedder in served:
        if embedder.manifest.name == name and tag == f'"{embedder.manifest.digest}"':
            return embedder
    raise PreconditionFailed(f"{name} has digest {digest} here", digest=digest)


def _describe(embedder: Embedder) -> RemoteModel:
    return RemoteModel(
        manifest=embedder.manifest,
        batch_size=embedder.batch_size,
        max_images=max_images(embedder.manifest),
        runtime=embedder.runtime,
    )


def _checked_shape(request: Request, embedder: Embedder) -> tuple[int, int, int, int]:
    shape = shape_of(request.headers.get(SHAPE_HEADER, ""), embedder.manifest.input_size)
    maximum = max_images(embedder.manifest)
    if shape[0] > maximum:
        raise InvalidRequest(f"a request holds at most {maximum} images, not {shape[0]}", maximum=maximum)
    return shape


async def _body(request: Request, size_bytes: int) -> bytes:
    """The body, which must have exactly ``size_bytes``; never reads more."""
    parts: list[bytes] = []
    received = 0
    async for part in request.stream():
        received += len(part)
        if received > size_bytes:
            break
        parts.append(part)
    if received != size_bytes:
        raise InvalidRequest(f"the body must have {size_bytes} bytes, as {SHAPE_HEADER} says", expected=size_bytes)
    return b"".join(parts)


async def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, LookalikeError):
        raise error
    return JSONResponse(problem(error), status_code=STATUS[error.kind], media_type=PROBLEM_TYPE)

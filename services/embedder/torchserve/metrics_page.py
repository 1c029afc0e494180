"""What Prometheus reads: TorchServe's own metrics and ours, on one page."""

import httpx
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

_TIMEOUT_S = 2.0


def create_metrics_page(registry: CollectorRegistry, torchserve_url: str) -> FastAPI:
    """``/metrics``; while TorchServe does not answer, ours alone."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(
            generate_latest(registry) + await _of_torchserve(torchserve_url), media_type=CONTENT_TYPE_LATEST
        )

    return app


async def _of_torchserve(url: str) -> bytes:
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            response = await client.get(url)
    except httpx.HTTPError:
        return b""
    return response.content if response.status_code == 200 else b""

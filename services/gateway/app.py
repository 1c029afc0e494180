"""The gateway: ``create_app`` makes the whole HTTP API over a workspace. No torch is imported here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import anyio.to_thread
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from lookalike import __version__
from lookalike.jobs.port import Jobs
from lookalike.pipeline.workspace import Workspace
from services.gateway import problem
from services.gateway.body_limit import BodyLimit
from services.gateway.routes import evaluations, galleries, health, images, jobs, models, search


def create_app(workspace: Workspace, queue: Jobs, *, max_body_bytes: int = 256 * 2**20, threads: int = 40) -> FastAPI:
    """The ASGI application. ``threads`` requests are worked on at once; others wait."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        yield
        queue.close()

    app = FastAPI(title="Lookalike", version=__version__, lifespan=lifespan, description=__doc__)
    app.state.workspace = workspace
    app.state.jobs = queue
    problem.install(app)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)
    for routes in (health, models, galleries, images, search, evaluations, jobs):
        app.include_router(routes.router)

    page = files("services.gateway").joinpath("web/index.html").read_text(encoding="utf-8")

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def web_page() -> HTMLResponse:
        policy = "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'"
        return HTMLResponse(page, headers={"Content-Security-Policy": f"{policy}; img-src 'self' blob: data:"})

    return app

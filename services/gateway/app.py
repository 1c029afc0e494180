"""The gateway: ``create_app`` makes the whole HTTP API over a workspace. No torch is imported here."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio.to_thread
from fastapi import FastAPI

from lookalike import __version__
from lookalike.jobs.port import Jobs
from lookalike.pipeline.workspace import Workspace
from lookalike.telemetry.asgi import ObserveRequests
from services.gateway import docs_page, problem, schemas, web_page
from services.gateway.access import Access
from services.gateway.access_rules import OPEN_PATHS
from services.gateway.body_limit import BodyLimit
from services.gateway.headers import BrowserRules
from services.gateway.metrics import Metrics
from services.gateway.readiness import Opener, Readier, warm_while_serving
from services.gateway.routes import evaluations, galleries, health, images, jobs, keys, models, search, session
from services.gateway.state import Gateway
from services.gateway.web_rules import WebRules

MAX_BODY_BYTES = 256 * 2**20
DESCRIPTION = """Content-based image search: galleries, models, search by example, jobs, evaluations.

Errors are problem documents (RFC 9457) with a stable `code`. Where API keys are on, a request has one in
`Authorization: Bearer` or `X-API-Key`."""


def create_app(
    workspace: Workspace,
    queue: Jobs,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    threads: int = 40,
    source_folders: Sequence[Path] = (),
    open_at_start: bool = False,
    queue_depths: Callable[[], Mapping[str, int]] | None = None,
    server_checks: Mapping[str, Callable[[], object]] | None = None,
    access: Access | None = None,
    web: WebRules | None = None,
) -> FastAPI:
    """The ASGI application.

    Args:
        workspace: the wired ports; closed by whoever made them.
        queue: closed when the application ends.
        max_body_bytes: of one request.
        threads: requests that are worked on at once; others wait.
        source_folders: folders of this machine from which clients may ingest.
        open_at_start: opens what is live in the background, so that the first search finds it open.
        queue_depths: says how many tasks wait in each queue; None where jobs run in this process.
        server_checks: by ``embedder`` and ``qdrant``, what raises while that server does not answer; /readyz asks.
        access: the door; None: whoever reaches it may do everything. Closed when the application ends.
        web: what it takes of browsers and of slow clients.
    """
    web = web or WebRules()
    metrics, opener = Metrics(workspace, queue, queue_depths or dict), Opener(workspace)
    asked = {} if queue_depths is None else {"queue": queue_depths}
    readier = Readier(workspace, opener, {**asked, **(server_checks or {})})
    workspace.serving.on_joined = metrics.joined
    workspace.serving.on_default = partial(warm_while_serving, workspace)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = threads
        if open_at_start:
            opener.start()
        yield
        await anyio.to_thread.run_sync(opener.stop)
        await anyio.to_thread.run_sync(readier.close)
        await anyio.to_thread.run_sync(queue.close)
        if access is not None:
            await access.close()

    app = FastAPI(
        title="Lookalike",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=problem.RESPONSES,
        docs_url=None,
        redoc_url=None,
    )
    app.state.gateway = Gateway(workspace, queue, metrics, opener, readier, tuple(source_folders), access=access)
    problem.install(app)
    # The last that is added is the first that a request meets.
    app.add_middleware(
        BodyLimit,
        max_bytes=max_body_bytes,
        max_json_bytes=web.max_json_bytes,
        slow_s=web.slow_client_s,
        open_paths=OPEN_PATHS,
    )
    app.add_middleware(BrowserRules, cross_origin=web.cross_origin, hosts=web.hosts, tls=web.tls)
    app.add_middleware(ObserveRequests, recorder=metrics.recorder)
    # Searches first: routes are tried in this order.
    for routes in (search, health, models, galleries, images, evaluations, jobs, session, keys):
        app.include_router(routes.router)
    app.include_router(web_page.router)
    docs_page.install(app)
    schemas.install(app)
    return app

"""Starts the gateway: ``python -m services.gateway``."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from socket import socket

from lookalike.bootstrap import queue_depths, wire, wire_jobs
from lookalike.bootstrap_health import server_checks
from lookalike.pipeline.waiting import reach_store, watching
from lookalike.settings import Settings, load
from lookalike.telemetry.process import observed
from services.gateway.app import create_app
from services.gateway.doors import make_access, web_rules
from services.gateway.server import listen, serve

__all__ = ["listen", "run"]


def run(settings: Settings, listening: socket, ready: Callable[[str], None]) -> None:
    """Serves on ``listening`` until it is told to stop; ``ready`` gets the address when it is reached."""
    with observed(settings, "gateway"), queue_depths(settings) as depths, ExitStack() as ends:
        workspace = wire(settings)
        options = settings.gateway
        checks = server_checks(settings)
        try:
            # It serves what it can meanwhile; here it says in its log what it does without.
            asked: dict[str, Callable[[], object]] = {"the store": partial(reach_store, workspace.store), **checks}
            if depths is not None:
                asked["the queue"] = depths
            ends.enter_context(watching(asked))
            listens_on = listening.getsockname()[0]
            access = make_access(settings, workspace, listens_on)
            app = create_app(
                workspace,
                wire_jobs(settings, workspace),
                max_body_bytes=options.max_upload_bytes,
                threads=options.threads,
                source_folders=settings.jobs.source_folders,
                open_at_start=True,
                queue_depths=depths,
                server_checks=checks,
                access=access,
                web=web_rules(settings, listens_on, keys_on=access is not None),
            )
            serve(app, listening, ready, slow_s=options.slow_client_s, finish_s=options.finish_s)
        finally:
            workspace.close()


if __name__ == "__main__":
    loaded = load()
    run(loaded, listen(loaded.gateway.host, loaded.gateway.port), lambda url: print(f"serving on {url}"))  # noqa: T201

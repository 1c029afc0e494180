"""Starts the gateway: ``python -m services.gateway``."""

from collections.abc import Callable
from socket import socket

from lookalike.bootstrap import queue_depths, wire, wire_jobs
from lookalike.settings import Settings, load
from lookalike.telemetry.process import observed
from services.gateway.app import create_app
from services.gateway.server import listen, serve

__all__ = ["listen", "run"]


def run(settings: Settings, listening: socket, ready: Callable[[str], None]) -> None:
    """Serves on ``listening`` until it is told to stop; ``ready`` gets the address when it is reached."""
    with observed(settings, "gateway"), queue_depths(settings) as depths:
        workspace = wire(settings)
        options = settings.gateway
        try:
            app = create_app(
                workspace,
                wire_jobs(settings, workspace),
                max_body_bytes=options.max_upload_bytes,
                threads=options.threads,
                source_folders=settings.jobs.source_folders,
                open_at_start=True,
                queue_depths=depths,
            )
            serve(app, listening, ready)
        finally:
            workspace.close()


if __name__ == "__main__":
    loaded = load()
    run(loaded, listen(loaded.gateway.host, loaded.gateway.port), lambda url: print(f"serving on {url}"))  # noqa: T201

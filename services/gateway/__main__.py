"""Starts the gateway: ``python -m services.gateway``."""

import uvicorn

from lookalike.bootstrap import wire
from lookalike.jobs.inline import InlineJobs
from lookalike.settings import Settings, load
from services.gateway.app import create_app


def run(settings: Settings) -> None:
    """Serves until it is told to stop."""
    workspace = wire(settings)
    options = settings.gateway
    app = create_app(workspace, InlineJobs(), max_body_bytes=options.max_upload_bytes, threads=options.threads)
    try:
        uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)
    finally:
        workspace.close()


if __name__ == "__main__":
    run(load())

"""Prints the OpenAPI document: ``python -m services.gateway.openapi > docs/reference/openapi.json``."""

import json
import sys
import tempfile
from pathlib import Path

from lookalike.bootstrap import wire, wire_jobs
from lookalike.settings import load
from services.gateway.app import create_app


def document() -> str:
    """As JSON text with a new line at its end, the same for the same code."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
        settings = load(environment, Path(folder, "none.toml"))
        workspace = wire(settings)
        queue = wire_jobs(settings, workspace)
        try:
            return json.dumps(create_app(workspace, queue).openapi(), indent=2, sort_keys=True) + "\n"
        finally:
            queue.close()
            workspace.close()


if __name__ == "__main__":
    sys.stdout.write(document())

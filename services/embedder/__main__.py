"""``python -m services.embedder MODEL.mar [MODEL.mar …] --port 8080``: serves model archives over HTTP.

Precision, batch size and threads are the settings ``embedder.*`` (``LOOKALIKE_EMBEDDER__PRECISION`` and so on).
"""

import argparse
from pathlib import Path

import uvicorn

from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.settings import load
from lookalike.telemetry.process import observed
from services.embedder.http import create_app


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m services.embedder", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archives", nargs="+", type=Path, help="model archives")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one, which the log names")
    arguments = parser.parse_args()
    settings = load()
    options = settings.embedder
    with observed(settings, "embedder"):
        opened = [
            TorchEmbedder(
                archive,
                precision=options.precision,
                batch_size=options.batch_size or "auto",
                threads=options.threads or "auto",
            )
            for archive in arguments.archives
        ]
        app = create_app(opened)
        # Its log goes where that of the whole process does; requests have lines of our own.
        uvicorn.run(app, host=arguments.host, port=arguments.port, log_config=None, log_level="info", access_log=False)
        for embedder in opened:
            embedder.close()


if __name__ == "__main__":
    main()

"""``python -m services.embedder MODEL.mar [MODEL.mar …] --port 8080``: serves model archives over HTTP."""

import argparse
from pathlib import Path

import uvicorn

from lookalike.embedding.torch_local import TorchEmbedder
from services.embedder.http import create_app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m services.embedder", description=__doc__)
    parser.add_argument("archives", nargs="+", type=Path, help="model archives")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    arguments = parser.parse_args()
    opened = [TorchEmbedder(archive, precision=arguments.precision) for archive in arguments.archives]
    app = create_app({embedder.manifest.name: embedder for embedder in opened})
    uvicorn.run(app, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()

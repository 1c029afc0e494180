"""What TorchServe costs: many images through it against the same model in process, and one query through the gateway.

    python -m benchmarks.torchserve [--num-images 2000] [--repeats 3] [--queries 60] [--output torchserve.json]

Everything runs on this machine's cores: TorchServe under its supervisor, the client that reads, decodes and sends, the
gateway. Many images: the time for generated JPEGs from file to embedding, in turns with the same in process; the
median of the ratios (the aim: at most 1.15). One query: an upload to a gateway that embeds through TorchServe, in turns
with the bare forward of the prepared image in this process; the difference of the medians (the aim: at most 25 ms).
The exit status is 1 when a target is missed.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import httpx
import numpy as np

from benchmarks.embed_folder import generate
from benchmarks.machine import describe, table
from lookalike.bootstrap import wire
from lookalike.embedding.port import Embedder
from lookalike.embedding.stream import Embedded, embed_stream
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load

MAX_RATIO = 1.15
MAX_OVER_MS = 25.0
GALLERY = "measured"
WARM_QUERIES = 5
NUM_FILES = 200  # different ones; they come again until there are enough
TOKEN = "only for this measurement"  # noqa: S105
WAIT_S = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = measure(given, Path(name))
    many, one = result["many"], result["one"]
    print(
        table(
            [
                ("in process, images/s", many["in_process_per_s"], ""),
                ("TorchServe, images/s", many["torchserve_per_s"], ""),
                ("time through TorchServe / in process", many["ratio"], f"at most {MAX_RATIO}"),
                ("bare forward of one image, ms", one["forward_ms"], ""),
                ("search by upload, ms", one["search_ms"], ""),
                ("beyond the forward, ms", one["over_ms"], f"at most {MAX_OVER_MS:.0f}"),
            ]
        )
    )
    if given.output:
        given.output.write_text(json.dumps(result, indent=2) + "\n")
    return int(many["ratio"] > MAX_RATIO or one["over_ms"] > MAX_OVER_MS)


def measure(given: argparse.Namespace, folder: Path) -> dict[str, dict[str, object]]:
    files = generate(folder, min(NUM_FILES, given.num_images))
    (folder / "images").mkdir()
    for file in files:
        file.rename(folder / "images" / file.name)
    files = sorted((folder / "images").iterdir())
    settings = {
        "STORAGE__FOLDER": str(folder / "store"),
        "STORAGE__CACHE": str(folder / "cache"),
        "EMBEDDER__TOKEN": TOKEN,
    }
    workspace = wire(load(_variables(settings)))
    manifest = import_model(workspace, "house")
    archive = workspace.artifacts.file("models", "measured.mar")
    workspace.models.fetch_archive(manifest, archive)
    local = TorchEmbedder(archive)
    ports = {"TORCHSERVE__PORT": free_port(), "TORCHSERVE__METRICS_PORT": 0, "TORCHSERVE__MANAGEMENT_PORT": 0}
    url = f"http://127.0.0.1:{ports['TORCHSERVE__PORT']}"
    served = {name: str(port) for name, port in ports.items()}
    with process(["-m", "services.embedder.torchserve"], {**settings, **served}, f"{url}/ping"):
        through = {**settings, "EMBEDDER__URL": url, "EMBEDDER__PROTOCOL": "torchserve"}
        remote = wire(load(_variables(through)))
        many = many_images(local, remote, list(islice(cycle(files), given.num_images)), given.repeats)
        one = one_query(local, through, files, given.queries)
        remote.close()
    local.close()
    workspace.close()
    machine = describe("torch", "torchserve", "httpx", "uvicorn")
    return {"many": many, "one": one, "machine": machine}


def many_images(local: Embedder, at: Workspace, files: Sequence[Path], repeats: int) -> dict[str, object]:
    """Seconds from files to embeddings, in turns. ``at`` embeds through TorchServe, with its own number of threads."""
    ways = {
        "local": partial(_through, local, "auto"),
        "remote": partial(_through, at.embedder("house"), at.decode_workers),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, np.ndarray] = {}
    for way in ways.values():
        way(files[:96])  # warms up
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            found[name] = way(files)
            took[name].append(time.perf_counter() - started)
    cosine = float((found["local"] * found["remote"]).sum(axis=1).min())
    assert cosine >= 0.9999, f"the embeddings differ: cosine {cosine}"
    ratios = [remote_s / local_s for local_s, remote_s in zip(took["local"], took["remote"], strict=True)]
    return {
        "num_images": len(files),
        "in_process_per_s": round(len(files) / statistics.median(took["local"]), 1),
        "torchserve_per_s": round(len(files) / statistics.median(took["remote"]), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "least_cosine": round(cosine, 7),
    }


def one_query(
    local: TorchEmbedder, settings: dict[str, str], files: Sequence[Path], num_queries: int
) -> dict[str, object]:
    """Medians in ms of the bare forward and of a search by upload, in turns."""
    for command in (
        ["ingest", GALLERY, str(files[0].parent)],
        ["embed", GALLERY],
        ["build", GALLERY, "--backend", "exact"],
        ["promote", GALLERY],
    ):
        subprocess.run(
            [sys.executable, "-m", "lookalike", *command],
            env=_variables(settings),
            check=True,
            stdout=subprocess.DEVNULL,
        )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    manifest = local.manifest
    forward, search = [], []
    gateway = {**settings, "GATEWAY__PORT": str(port)}
    with (
        process(["-m", "services.gateway"], gateway, f"{url}/readyz"),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        for number, file in enumerate(islice(cycle(files), num_queries + WARM_QUERIES)):
            data = file.read_bytes()
            pixels_SSC = prepare(data, size=manifest.input_size, policy=manifest.resize_policy, limits=ImageLimits())
            started = time.perf_counter()
            local.embed(pixels_SSC[None])
            between = time.perf_counter()
            response = client.post(
                f"/v1/galleries/{GALLERY}/search",
                files={"image": data, "request": (None, '{"backend": "exact"}', "application/json")},
            )
            ended = time.perf_counter()
            response.raise_for_status()
            if number >= WARM_QUERIES:
                forward.append((between - started) * 1000)
                search.append((ended - between) * 1000)
    medians = statistics.median(forward), statistics.median(search)
    return {
        "num_queries": num_queries,
        "forward_ms": round(medians[0], 1),
        "search_ms": round(medians[1], 1),
        "over_ms": round(medians[1] - medians[0], 1),
    }


def _through(embedder: Embedder, workers: int | Literal["auto"], files: Sequence[Path]) -> np.ndarray:
    parts = []
    for outcome in embed_stream(files, Path.read_bytes, embedder, workers=workers):
        assert isinstance(outcome, Embedded), outcome
        parts.append(outcome.embeddings_ND)
    return np.concatenate(parts)


@contextmanager
def process(command: list[str], settings: dict[str, str], ready: str) -> Iterator[None]:
    """A process of ours while within; it answers 200 at the URL ``ready``."""
    with subprocess.Popen([sys.executable, *command], env=_variables(settings)) as started:
        try:
            deadline = time.monotonic() + WAIT_S
            while not _answers(ready):
                if time.monotonic() > deadline or started.poll() is not None:
                    raise RuntimeError(f"{command[-1]} did not become ready")
                time.sleep(0.1)
            yield
        finally:
            started.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def _variables(settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **{f"LOOKALIKE_{name}": value for name, value in settings.items()}}


def free_port() -> int:
    """One that nobody listens on at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())

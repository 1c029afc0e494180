"""What a deployment needs, per core and per image: figures to multiply, not ratios to hold.

* images/s that one worker embeds on one core and on all of this machine's, house model, drawn 640 x 427 JPEGs, each in
  a process that may run on those cores only, from the file to the embedding;
* bytes per image in the store (records, embeddings, index of each backend) and in the memory of a process that serves
  that one index and has searched it;
* searches/s of one gateway and p99, for each backend, with 1 and with 8 clients that search by embedding without pause;
* milliseconds of one upload: decode, resize and embed in process;
* resident MB of the gateway, of an indexer worker and of an embedder worker (before it has loaded a model, and after
  it has embedded with the house model) that serve nothing and do nothing.

Prints JSON. All of it depends on the machine, which is described there; clients share its cores with the gateway.

    python -m benchmarks.sizing [--num 50000] [--dim 256] [--images 600] [--out FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import synthetic_gallery
from benchmarks.embed_folder import generate
from benchmarks.machine import describe
from benchmarks.queue_cluster import queue_cluster
from benchmarks.search_http import Client, free_port
from lookalike.catalog.indexes import IndexManifest
from lookalike.pipeline.models import import_model

BACKENDS = ("exact", "faiss", "annoy", "qdrant")
CLIENTS = (1, 8)
SEARCH_S = 5.0
READY_S = 120.0


def measure(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    images = folder / "images"
    images.mkdir()
    generate(images, given.images)
    manifests = synthetic_gallery.make(folder, given.num, given.dim, BACKENDS)
    return {
        "embedding": _embedding(images),
        "bytes_per_image": _bytes_per_image(folder, manifests, given),
        "serving": _serving(folder, given),
        "at_rest_mb": _at_rest(folder, images),
        "num_images": given.num,
        "dimension": given.dim,
        "machine": describe("torch", "numpy", "faiss-cpu", "annoy", "scikit-learn", "qdrant-edge-py"),
    }


def _own(*arguments: str) -> Any:
    """What this program prints in a process of its own, which has loaded nothing but what it needs."""
    command = [sys.executable, "-m", "benchmarks.sizing", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _embedding(images: Path) -> dict[str, object]:
    cores = sorted(os.sched_getaffinity(0))
    return {f"{number}_cores": _own("--embed", str(images), str(number)) for number in sorted({1, len(cores)})}


def embed(images: Path, num_cores: int) -> dict[str, float]:
    """Images/s of a folder and ms of one image, on so many cores. Torch is imported after the process is bound."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])
    from lookalike.embedding.house import house_archive
    from lookalike.embedding.stream import Embedded, embed_stream
    from lookalike.embedding.torch_local import TorchEmbedder
    from lookalike.images.limits import ImageLimits
    from lookalike.images.prepare import prepare

    paths = sorted(images.glob("**/*.jpg"))
    embedder = TorchEmbedder(house_archive())
    manifest = embedder.manifest

    def through(some: list[Path]) -> float:
        started = time.perf_counter()
        for outcome in embed_stream(some, Path.read_bytes, embedder):
            assert isinstance(outcome, Embedded), outcome
        return len(some) / (time.perf_counter() - started)

    def one(path: Path) -> float:
        started = time.perf_counter()
        pixels = prepare(
            path.read_bytes(), size=manifest.input_size, policy=manifest.resize_policy, limits=ImageLimits()
        )
        embedder.embed(pixels[None])
        return 1000 * (time.perf_counter() - started)

    through(paths[:64])  # warms up
    rates = [through(paths) for _ in range(3)]
    single = [one(path) for path in paths[:50]]
    embedder.close()
    return {"images_per_s": round(statistics.median(rates), 1), "one_upload_ms": round(statistics.median(single), 1)}


def _bytes_per_image(folder: Path, manifests: list[IndexManifest], given: argparse.Namespace) -> dict[str, object]:
    stored = {one.backend: sum(file.size_bytes for file in one.files) / given.num for one in manifests}
    nothing = _own("--serve", str(folder), "none", str(given.dim))
    resident = {
        backend: (_own("--serve", str(folder), backend, str(given.dim)) - nothing) / given.num for backend in BACKENDS
    }
    return {
        "records_stored": round(_stored(folder, "records") / given.num),
        "embeddings_stored": round(_stored(folder, "embeddings") / given.num),
        "index_stored": {name: round(value) for name, value in stored.items()},
        "resident_when_served": {name: round(value) for name, value in resident.items()},
    }


def _stored(folder: Path, kind: str) -> int:
    """Bytes of one kind of object of the gallery."""
    return sum(path.stat().st_size for path in (folder / "store").glob(f"galleries/*/{kind}/**/*") if path.is_file())


def serve(folder: Path, backend: str, dimension: int) -> int:
    """Resident bytes of this process after a hundred searches of one index, or of everything around it for ``none``."""
    from lookalike.pipeline.search import search
    from lookalike.types.search import SearchRequest

    at = synthetic_gallery.workspace(folder)
    try:
        queries_QD = next(synthetic_gallery.draw(100, dimension, seed=1))
        # Importing the libraries is the same for all of them.
        for name in BACKENDS:
            at.backend(name)
        if backend != "none":
            for query_D in queries_QD:
                request = SearchRequest(embedding=query_D.tolist(), backend=backend, k=10)
                search(at.serving.gallery(synthetic_gallery.GALLERY), request, at.query)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    finally:
        at.close()


def _serving(folder: Path, given: argparse.Namespace) -> dict[str, object]:
    queries_QD = next(synthetic_gallery.draw(200, given.dim, seed=1))
    port = free_port()
    settings = {**os.environ, **synthetic_gallery.environment(folder), "LOOKALIKE_GATEWAY__PORT": str(port)}
    with _gateway(settings, port):
        return {
            backend: {
                f"{number}_clients": _asked(port, backend, queries_QD, number, given.seconds) for number in CLIENTS
            }
            for backend in BACKENDS
        }


def _at_rest(folder: Path, images: Path) -> dict[str, float]:
    apart = folder / "at-rest"
    apart.mkdir()
    with queue_cluster(apart) as at:
        name = str(import_model(at.workspace, "house").ref)
        embedder = at.start("embedder")
        found = {"indexer": at.workers[0].rss_mb(), "embedder": embedder.rss_mb()}
        at.ingest("few", images)
        at.embed("few", name)
        found["embedder with a model"] = embedder.rss_mb()
    port = free_port()
    settings = {**os.environ, **synthetic_gallery.environment(apart / "none"), "LOOKALIKE_GATEWAY__PORT": str(port)}
    with _gateway(settings, port) as process:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        found["gateway"] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return {name: round(megabytes) for name, megabytes in found.items()}


@contextmanager
def _gateway(settings: Mapping[str, str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A gateway that is ready; its own words go to standard error, where they are no part of the figures."""
    command = [sys.executable, "-m", "services.gateway"]
    with subprocess.Popen(command, env=settings, stdout=sys.stderr) as gateway:
        try:
            until = time.monotonic() + READY_S
            while not Client(port).is_ready():
                if time.monotonic() > until or gateway.poll() is not None:
                    raise RuntimeError("the gateway did not become ready")
                time.sleep(0.05)
            yield gateway
        finally:
            gateway.terminate()


def _asked(port: int, backend: str, queries_QD: np.ndarray, number: int, seconds: float) -> dict[str, float]:
    """Searches/s and p99 in ms of ``number`` clients that never pause."""
    took_ms: list[float] = []
    Client(port).search(backend, queries_QD[0])
    until = time.perf_counter() + seconds

    def ask(first: int) -> None:
        client = Client(port)
        for query_D in islice(_around(queries_QD, first), 1_000_000):
            started = time.perf_counter()
            if started > until:
                return
            client.search(backend, query_D)
            took_ms.append(1000 * (time.perf_counter() - started))

    threads = [threading.Thread(target=ask, args=(17 * client,)) for client in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"per_s": round(len(took_ms) / seconds, 1), "p99_ms": round(float(np.percentile(took_ms, 99)), 1)}


def _around(queries_QD: np.ndarray, first: int) -> Any:
    while True:
        for number in range(len(queries_QD)):
            yield queries_QD[(first + number) % len(queries_QD)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=50_000, help="images of the gallery that is searched")
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--images", type=int, default=600, help="images that are embedded")
    parser.add_argument("--seconds", type=float, default=SEARCH_S, help="of each measurement of searches")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--embed", nargs=2, metavar=("FOLDER", "CORES"), help=argparse.SUPPRESS)
    parser.add_argument("--serve", nargs=3, metavar=("FOLDER", "BACKEND", "DIM"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.embed:
        print(json.dumps(embed(Path(given.embed[0]), int(given.embed[1]))))
        return 0
    if given.serve:
        print(serve(Path(given.serve[0]), given.serve[1], int(given.serve[2])))
        return 0
    with tempfile.TemporaryDirectory() as name:
        text = json.dumps(measure(Path(name), given), indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

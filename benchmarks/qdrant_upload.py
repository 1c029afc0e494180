"""Uploading an embedding set to a Qdrant server: ours against the client library's own bulk upload.

    QDRANT_URL=http://localhost:6333 python -m benchmarks.qdrant_upload --num 100000 --dim 512 --repeats 3

Both fill a new collection of the same configuration on that server from one memory-mapped file of embeddings, wait
until everything is written, and take turns; the least of each counts. Ours includes the digest that names the
collection. The graph, the same work on both sides, is built after that and is not in the figures. The exit status is
1 when ours takes more than 1.15 times as long. Without QDRANT_URL there is nothing to measure, and the status is 0.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe, table
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput
from lookalike.indexes.qdrant_params import capabilities
from lookalike.indexes.qdrant_server_collection import Collection, collection_name, configuration
from lookalike.indexes.qdrant_server_connection import Connection
from lookalike.indexes.qdrant_server_options import Placement, ServerOptions
from lookalike.indexes.qdrant_server_retry import Patience
from lookalike.indexes.qdrant_server_upload import upload

MAX_RATIO = 1.15
SEED = 0
PARAMS = complete(capabilities("server").build_params, {})
Embeddings = NDArray[np.float32]


def ours(url: str, options: ServerOptions, source: BuildInput) -> float:
    """Seconds that the adapter takes until all is written."""
    connection = Connection(url, options, options.build_timeout_s)
    with connection.reached("the client"):
        pass  # it is imported now, as it is on the other side
    started = time.perf_counter()
    collection = Collection(connection, collection_name(source, (), PARAMS), Patience())
    present = collection.prepare(*source.embeddings_ND.shape, PARAMS, Placement())
    try:
        if present:
            raise SystemExit(f"{collection.name} is on the server already: delete it first")
        upload(connection, collection.name, source, None, Patience(), only_missing=False)
        return time.perf_counter() - started
    finally:
        if not present:
            _check(collection.count(), source)
            collection.delete()


def library(url: str, options: ServerOptions, source: BuildInput) -> float:
    """Seconds that the client's ``upload_collection`` takes until all is written."""
    name = f"lookalike-benchmark-{uuid4().hex}"
    ids = [str(UUID(bytes=identifier.tobytes())) for identifier in source.ids_N16]
    with Connection(url, options, options.build_timeout_s).reached(name) as clients:
        started = time.perf_counter()
        clients.rest.create_collection(name, **configuration(source.embeddings_ND.shape[1], PARAMS, Placement()))
        try:
            clients.points.upload_collection(name, source.embeddings_ND, ids=ids, wait=True)
            seconds = time.perf_counter() - started
            _check(clients.rest.count(name, exact=True).count, source)
            return seconds
        finally:
            clients.rest.delete_collection(name)


def _check(count: int, source: BuildInput) -> None:
    if count != len(source.embeddings_ND):
        raise SystemExit(f"{count} points were written, not {len(source.embeddings_ND)}")


def _source(file: Path, num_embeddings: int, dimension: int) -> BuildInput:
    random = np.random.default_rng(SEED)
    written = np.lib.format.open_memmap(file, "w+", np.float32, (num_embeddings, dimension))
    for start in range(0, num_embeddings, 10_000):
        block = random.standard_normal((min(10_000, num_embeddings - start), dimension), dtype=np.float32)
        written[start : start + len(block)] = block / np.linalg.norm(block, axis=1, keepdims=True)
    written.flush()
    ids_N16 = random.integers(0, 256, (num_embeddings, 16), np.uint8)
    return BuildInput(np.load(file, mmap_mode="r"), ids_N16)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--grpc-port", type=int, help="upload by gRPC, both sides")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    url = os.environ.get("QDRANT_URL")
    if not url:
        print("nothing measured: QDRANT_URL names no Qdrant server")
        return 0
    options = ServerOptions(api_key=os.environ.get("QDRANT_API_KEY"), grpc_port=arguments.grpc_port)
    seconds: dict[str, list[float]] = {"ours": [], "library": []}
    with tempfile.TemporaryDirectory() as folder:
        source = _source(Path(folder) / "embeddings.npy", arguments.num, arguments.dim)
        for number in range(arguments.repeats):
            for side in (ours, library) if number % 2 == 0 else (library, ours):
                seconds[side.__name__].append(side(url, options, source))
    ratio = min(seconds["ours"]) / min(seconds["library"])
    way = "REST" if arguments.grpc_port is None else "gRPC"
    rows = [
        (f"ours, {arguments.num} x {arguments.dim} by {way}, s", round(min(seconds["ours"]), 2), ""),
        ("library, s", round(min(seconds["library"]), 2), ""),
        ("ratio", round(ratio, 3), f"at most {MAX_RATIO}"),
    ]
    print(table(rows), file=sys.stderr)
    report = {
        "benchmark": "qdrant_upload",
        "num_embeddings": arguments.num,
        "dimension": arguments.dim,
        "way": way,
        "seconds": {side: [round(one, 3) for one in said] for side, said in seconds.items()},
        "ratio": round(ratio, 3),
        "machine": describe("qdrant-client"),
    }
    print(json.dumps(report, indent=2))
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if ratio <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

"""Building each index: our time against the library's own call, and peak memory.

    python -m benchmarks.build_indexes --num 100000 --dim 512 --repeats 2 --output build_indexes.json

Every build runs in a process of its own over one memory-mapped file of embeddings; ours and the library's
take turns, and the least of each counts. Peak memory is VmHWM less what the process had after its imports.
The exit status is 1 when a target is missed: at most 1.1 times the library's time (with 0.1 s of grace, for
builds that take no time), and the embeddings plus the index plus 300 MB of memory.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from lookalike.types.ids import unpack_ids
from lookalike.types.images import ImageRecord, Labels

MAX_RATIO = 1.1
GRACE_S = 0.1
MAX_EXTRA_BYTES = 300 * 10**6
SEED = 0
Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Build:
    """One configuration: our parameters, what the library's own tutorial would do, and what both import."""

    backend: str
    params: dict[str, object]
    library: Callable[[Embeddings, Path], None]
    module: str
    package: str
    with_records: bool = False


def _sklearn(embeddings_ND: Embeddings, directory: Path) -> None:
    from sklearn.neighbors import NearestNeighbors

    NearestNeighbors(algorithm="brute", metric="cosine").fit(embeddings_ND)


def _faiss(make: Callable[[Any, int, int], Any]) -> Callable[[Embeddings, Path], None]:
    def build(embeddings_ND: Embeddings, directory: Path) -> None:
        import faiss

        index = make(faiss, *embeddings_ND.shape)
        if not index.is_trained:
            index.train(embeddings_ND)
        index.add(embeddings_ND)
        faiss.write_index(index, str(directory / "index"))

    return build


def _hnsw(faiss: Any, num_embeddings: int, dimension: int) -> Any:
    index = faiss.IndexHNSWFlat(dimension, 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 100
    return index


def _cells(faiss: Any, num_embeddings: int, dimension: int, pq: str) -> Any:
    nlist = max(1, min(4 * int(num_embeddings**0.5), num_embeddings // 40))
    return faiss.index_factory(dimension, f"IVF{nlist},{pq}", faiss.METRIC_INNER_PRODUCT)


def _annoy(embeddings_ND: Embeddings, directory: Path) -> None:
    from annoy import AnnoyIndex

    index = AnnoyIndex(embeddings_ND.shape[1], "angular")
    index.set_seed(SEED)
    for row, embedding_D in enumerate(embeddings_ND):
        index.add_item(row, embedding_D)
    index.build(50)
    index.save(str(directory / "index"))


def _qdrant(quantized: bool, with_payload: bool) -> Callable[[Embeddings, Path], None]:
    def build(embeddings_ND: Embeddings, directory: Path) -> None:
        import qdrant_edge as q

        num, dimension = embeddings_ND.shape
        config = q.EdgeConfig(
            vectors=q.EdgeVectorParams(size=dimension, distance=q.Distance.Cosine),
            hnsw_config=q.HnswIndexConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
            quantization_config=q.ScalarQuantizationConfig(type=q.ScalarType.Int8) if quantized else None,
            optimizers=q.EdgeOptimizersConfig(default_segment_number=1, max_segment_size=2**32, indexing_threshold=1),
        )
        shard = q.EdgeShard.create(str(directory / "shard"), config)
        ids = [UUID(bytes=identifier.tobytes()) for identifier in _ids(num)]
        for start in range(0, num, 1000):
            rows = range(start, min(start + 1000, num))
            points = [
                q.Point(
                    ids[row],
                    embeddings_ND[row].tolist(),
                    {
                        "key": f"{row}.jpg",
                        "subcategory": f"s{row % 30}",
                        "subcategories": [f"s{row % 30}"],
                        "number": {"row": row},
                    }
                    if with_payload
                    else None,
                )
                for row in rows
            ]
            shard.update(q.UpdateOperation.upsert_points(points))
        if with_payload:
            for path in ("key", "subcategory", "subcategories"):
                shard.update(q.UpdateOperation.create_field_index(path, q.PayloadSchemaType.Keyword))
            shard.update(q.UpdateOperation.create_field_index("number.row", q.PayloadSchemaType.Float))
        shard.optimize()
        shard.flush()
        shard.close()

    return build


def _ids(num_embeddings: int) -> NDArray[np.uint8]:
    return np.random.default_rng(SEED).integers(0, 256, (num_embeddings, 16)).astype(np.uint8)


def _records(ids_N16: NDArray[np.uint8]) -> Iterator[ImageRecord]:
    for row, image_id in enumerate(unpack_ids(ids_N16)):
        labels = Labels(subcategory=f"s{row % 30}", subcategories=(f"s{row % 30}",))
        yield ImageRecord.model_construct(image_id=image_id, key=f"{row}.jpg", labels=labels, metadata={"row": row})


BUILDS = {
    "exact": Build("exact", {}, _sklearn, "sklearn.neighbors", "scikit-learn"),
    "faiss-Flat": Build(
        "faiss",
        {"kind": "Flat"},
        _faiss(lambda faiss, _, dimension: faiss.IndexFlatIP(dimension)),
        "faiss",
        "faiss-cpu",
    ),
    "faiss-HNSW": Build("faiss", {"kind": "HNSW"}, _faiss(_hnsw), "faiss", "faiss-cpu"),
    "faiss-IVF": Build(
        "faiss",
        {"kind": "IVF"},
        _faiss(lambda faiss, num, dimension: _cells(faiss, num, dimension, "Flat")),
        "faiss",
        "faiss-cpu",
    ),
    "faiss-IVFPQ": Build(
        "faiss",
        {"kind": "IVFPQ", "pq_m": 64},
        _faiss(lambda faiss, num, dimension: _cells(faiss, num, dimension, "PQ64")),
        "faiss",
        "faiss-cpu",
    ),
    "faiss-SQ": Build(
        "faiss",
        {"kind": "SQ"},
        _faiss(lambda faiss, _, dimension: faiss.index_factory(dimension, "SQ8", faiss.METRIC_INNER_PRODUCT)),
        "faiss",
        "faiss-cpu",
    ),
    "annoy": Build("annoy", {}, _annoy, "annoy", "annoy"),
    "qdrant": Build("qdrant", {}, _qdrant(False, False), "qdrant_edge", "qdrant-edge-py"),
    "qdrant-SQ": Build("qdrant", {"quantization": "scalar"}, _qdrant(True, False), "qdrant_edge", "qdrant-edge-py"),
    "qdrant-payload": Build("qdrant", {}, _qdrant(False, True), "qdrant_edge", "qdrant-edge-py", with_records=True),
}


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise SystemExit(f"/proc/self/status has no {field}: this benchmark needs Linux")


def _work(name: str, side: str, embeddings_file: Path) -> dict[str, float]:
    """One build, in this process."""
    from lookalike.indexes.params import complete
    from lookalike.indexes.port import BuildInput
    from lookalike.indexes.registry import backend

    chosen = BUILDS[name]
    import_module(chosen.module)
    ours = backend(chosen.backend)
    embeddings_ND = np.load(embeddings_file, mmap_mode="r")
    ids_N16 = _ids(len(embeddings_ND))
    records = partial(_records, ids_N16) if chosen.with_records else None
    with tempfile.TemporaryDirectory(dir=embeddings_file.parent) as folder:
        before_bytes = _status_bytes("VmRSS")
        started = time.perf_counter()
        if side == "ours":
            params = complete(ours.capabilities.build_params, chosen.params)
            ours.build(BuildInput(embeddings_ND, ids_N16, records), Path(folder), params)
        else:
            chosen.library(embeddings_ND, Path(folder))
        seconds = time.perf_counter() - started
        index_bytes = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        peak_bytes = _status_bytes("VmHWM") - before_bytes
    return {"seconds": seconds, "peak_bytes": peak_bytes, "index_bytes": index_bytes}


def _in_a_process(name: str, side: str, embeddings_file: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--work", name, side, str(embeddings_file)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


@dataclass(frozen=True)
class Result:
    """One configuration's figures; seconds are the least of the repeats, bytes the most."""

    name: str
    seconds: float
    library_seconds: float
    ratio: float
    peak_bytes: int
    library_peak_bytes: int
    index_bytes: int
    allowed_bytes: int
    reached: bool


def _measure(name: str, embeddings_file: Path, repeats: int) -> Result:
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "library": []}
    for number in range(repeats):
        for side in ("ours", "library") if number % 2 == 0 else ("library", "ours"):
            runs[side].append(_in_a_process(name, side, embeddings_file))
    seconds = min(run["seconds"] for run in runs["ours"])
    library_seconds = min(run["seconds"] for run in runs["library"])
    peak_bytes = int(max(run["peak_bytes"] for run in runs["ours"]))
    index_bytes = int(runs["ours"][-1]["index_bytes"])
    allowed_bytes = embeddings_file.stat().st_size + index_bytes + MAX_EXTRA_BYTES
    return Result(
        name=name,
        seconds=round(seconds, 3),
        library_seconds=round(library_seconds, 3),
        ratio=round(seconds / library_seconds, 3),
        peak_bytes=peak_bytes,
        library_peak_bytes=int(max(run["peak_bytes"] for run in runs["library"])),
        index_bytes=index_bytes,
        allowed_bytes=allowed_bytes,
        reached=seconds <= MAX_RATIO * library_seconds + GRACE_S and peak_bytes <= allowed_bytes,
    )


def _write_embeddings(file: Path, num_embeddings: int, dimension: int) -> None:
    """Clustered embeddings of length 1, block by block."""
    random = np.random.default_rng(SEED)
    centres = random.standard_normal((1000, dimension), dtype=np.float32)
    written = np.lib.format.open_memmap(file, "w+", np.float32, (num_embeddings, dimension))
    for start in range(0, num_embeddings, 10_000):
        num = min(10_000, num_embeddings - start)
        block = centres[random.integers(0, 1000, num)] + random.standard_normal((num, dimension), dtype=np.float32)
        written[start : start + num] = block / np.linalg.norm(block, axis=1, keepdims=True)
    written.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=BUILDS, default=list(BUILDS))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--work", nargs=3, metavar=("NAME", "SIDE", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        name, side, file = arguments.work
        print(json.dumps(_work(name, side, Path(file))))
        return 0
    results = []
    with tempfile.TemporaryDirectory() as folder:
        embeddings_file = Path(folder) / "embeddings.npy"
        _write_embeddings(embeddings_file, arguments.num, arguments.dim)
        for name in arguments.only:
            result = _measure(name, embeddings_file, arguments.repeats)
            results.append(result)
            print(
                f"{name:14} {result.seconds:7.2f} s, library {result.library_seconds:7.2f} s, x{result.ratio:.2f}; "
                f"peak {result.peak_bytes / 1e6:6.0f} MB of {result.allowed_bytes / 1e6:6.0f}; "
                f"index {result.index_bytes / 1e6:6.0f} MB  {'' if result.reached else 'MISSED'}",
                file=sys.stderr,
            )
    report = {
        "benchmark": "build_indexes",
        "num_embeddings": arguments.num,
        "dimension": arguments.dim,
        "repeats": arguments.repeats,
        "machine": {
            "platform": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            **{build.package: version(build.package) for build in BUILDS.values()},
        },
        "results": [asdict(result) for result in results],
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    return 0 if all(result.reached for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

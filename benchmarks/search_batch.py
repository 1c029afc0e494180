"""A batch of searches with the same options, as one call of the index, against the same searches one by one.

    python -m benchmarks.search_batch --num 20000 --dim 512 --rounds 7

Both are what the HTTP endpoints call, in process, over a drawn gallery. The two take turns; figures are medians. The
exit status is 1 when a batch through the exact backend is not at least 2 times as fast.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine, synthetic_gallery
from lookalike.pipeline.search import search
from lookalike.pipeline.search_batch import Asked, search_many
from lookalike.pipeline.workspace import Workspace
from lookalike.types.search import SearchRequest, SearchResponse

BATCH = 256
TARGET = 2.0
BACKENDS = ("exact", "faiss", "annoy", "qdrant")


def measure(at: Workspace, backend: str, embeddings: list[list[float]], rounds: int) -> dict[str, object]:
    """Milliseconds of one batch either way, and the median of the rounds' ratios."""
    served = at.serving.gallery(synthetic_gallery.GALLERY)
    requests = [SearchRequest(embedding=one, backend=backend) for one in embeddings]
    asked = [Asked(request) for request in requests]

    def one_by_one() -> list[SearchResponse]:
        return [search(served, request, at.query) for request in requests]

    def together() -> list[object]:
        return list(search_many(served, asked, at.query))

    found = zip(one_by_one(), together(), strict=True)
    assert all(one.hits == other.hits for one, other in found if isinstance(other, SearchResponse))
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        started = time.perf_counter()
        one_by_one()
        between = time.perf_counter()
        together()
        times.append((between - started, time.perf_counter() - between))
    return {
        "backend": backend,
        "one_by_one_ms": round(statistics.median(alone for alone, _ in times) * 1000, 1),
        "batch_ms": round(statistics.median(batch for _, batch in times) * 1000, 1),
        "ratio": round(statistics.median(alone / batch for alone, batch in times), 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        synthetic_gallery.make(Path(folder), given.num, given.dim, BACKENDS)
        at = synthetic_gallery.workspace(Path(folder))
        queries_QD = next(synthetic_gallery.draw(BATCH, given.dim, seed=1))
        embeddings = [[float(value) for value in row] for row in queries_QD]
        results = [measure(at, backend, embeddings, given.rounds) for backend in BACKENDS]
        at.close()
    about = {"num": given.num, "dim": given.dim, "batch": BATCH, "machine": machine.describe("numpy", "faiss-cpu")}
    print(json.dumps({**about, "results": results}, indent=2))
    return 0 if float(str(results[0]["ratio"])) >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())

"""How much memory embedding needs for a gallery that does not fit in it.

Galleries of drawn records (``--num`` and a tenth of that), each record with the same tiny PNG behind it, are
embedded in processes of their own with an embedder that costs nothing: what is left is what the pipeline holds.
The whole set of embeddings would be ``num * dim * 4`` bytes.

Prints peak resident memory, and by how much it grows for each further image (the aim: at most 300 bytes; the
arrays that grow with the gallery hold 144).

    python -m benchmarks.embed_memory [--num 100000] [--dim 512] [--out FILE]
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import describe, table
from benchmarks.synthetic_gallery import GALLERY, records
from lookalike.catalog.embedding_sets import EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.embedding.runtime import Runtime
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import Ledger
from lookalike.pipeline.embed import embed
from lookalike.storage.local import LocalStore
from lookalike.types.models import ModelManifest, ResizePolicy

MAX_BYTES_AN_IMAGE = 300


class OnePicture(LocalStore):
    """A store in which every image is the same picture."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        file = io.BytesIO()
        Image.new("RGB", (4, 4), (10, 200, 30)).save(file, "PNG")
        self._picture = file.getvalue()

    def get(self, key: str) -> bytes:
        return self._picture if "/images/" in key else super().get(key)


class Counting:
    """The number of the image so far, as an embedding: different for each, and nothing to compute."""

    def __init__(self, dimension: int) -> None:
        self.manifest = ModelManifest(
            name="counting", dimension=dimension, input_size=4, resize_policy=ResizePolicy.SQUASH, digest="c0"
        )
        self.batch_size = 128
        self.runtime = Runtime(precision="float32", device="cpu", batch_size=128, threads=1)
        self._seen = 0

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings_ND = np.zeros((len(images_NHWC), self.manifest.dimension), np.float32)
        self._seen += len(images_NHWC)
        embeddings_ND[:, self._seen % self.manifest.dimension] = 1
        return embeddings_ND

    def close(self) -> None: ...


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def embed_once(num: int, dim: int) -> dict[str, float]:
    """In this process: peak memory after the gallery was written, after embedding it, and after a second run."""
    with tempfile.TemporaryDirectory() as folder:
        store = OnePicture(Path(folder))
        galleries, sets, ledger = Galleries(store), EmbeddingSets(store), Ledger(store)
        galleries.create(GALLERY)
        galleries.replace(galleries.version(GALLERY), records(num))
        before = peak_mb()
        started = time.perf_counter()
        reports = [
            embed(store, galleries, sets, ledger, GALLERY, Counting(dim), limits=ImageLimits()) for _ in range(2)
        ]
        assert [report.embedded for report in reports] == [num, 0]
        return {"before_mb": before, "peak_mb": peak_mb(), "seconds": time.perf_counter() - started}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(json.dumps(embed_once(given.only, given.dim)))
        return 0
    runs = {}
    for num in (given.num // 10, given.num):
        command = [sys.executable, "-m", "benchmarks.embed_memory", "--only", str(num), "--dim", str(given.dim)]
        runs[num] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    small, large = runs[given.num // 10], runs[given.num]
    growth = (large["peak_mb"] - small["peak_mb"]) * 2**20 / (given.num - given.num // 10)
    result = {
        "benchmark": "embed_memory",
        "dimension": given.dim,
        "peak_mb": {num: round(run["peak_mb"], 1) for num, run in runs.items()},
        "before_mb": {num: round(run["before_mb"], 1) for num, run in runs.items()},
        "seconds": {num: round(run["seconds"], 1) for num, run in runs.items()},
        "embeddings_mb": round(given.num * given.dim * 4 / 2**20, 1),
        "bytes_an_image": round(growth, 1),
        "targets": {"bytes_an_image": MAX_BYTES_AN_IMAGE},
        "machine": describe("numpy", "pydantic"),
    }
    rows = [
        *((f"peak with {num} images, MB", round(run["peak_mb"], 1), "") for num, run in runs.items()),
        ("all embeddings at once would be, MB", result["embeddings_mb"], ""),
        ("bytes for each further image", result["bytes_an_image"], f"<= {MAX_BYTES_AN_IMAGE}"),
    ]
    print(table(rows))
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if growth <= MAX_BYTES_AN_IMAGE else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a second embedder worker is worth, on work that is decoding: large JPEGs under a model that costs nothing.

Each worker has one decoding thread and one of the model, so that one cannot use two cores. The same images, ingested
as a new gallery each time, are embedded by one worker and by two, alternately; a job is timed from its start to its
end as the queue notes them, after every worker has done some work. It needs two cores that nothing else uses.

Prints the median ratio one worker / two workers (the aim: at least 1.8) as a table and JSON; the exit status is 1
below it.

    python -m benchmarks.queue_workers [--num 240] [--side 3000] [--repeats 3] [--out FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import describe, table
from benchmarks.queue_cluster import QueueCluster, queue_cluster
from lookalike.pipeline.models import import_model

MIN_RATIO = 1.8
MODEL = "pixels16"
PART_IMAGES = 8
ONE_THREAD = {
    "LOOKALIKE_EMBEDDER__THREADS": "1",
    "LOOKALIKE_EMBEDDER__DECODE_THREADS": "1",
    "LOOKALIKE_QUEUE__PART_IMAGES": str(PART_IMAGES),
    "OMP_NUM_THREADS": "1",
}


def draw(folder: Path, number: int, side: int) -> Path:
    """``number`` JPEGs of ``side`` x two thirds of it, each other bytes; the picture behind them is one."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).resize((side, side * 2 // 3), Image.BICUBIC)
    pixels = np.asarray(coarse, np.int16) + rng.normal(0, 6, (side * 2 // 3, side, 1)).astype(np.int16)
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    folder.mkdir()
    for index in range(number):
        pixels[:16, :16] = rng.integers(0, 256, 3)
        Image.fromarray(pixels).save(folder / f"{index:05}.jpg", quality=90)
    return folder


def run(at: QueueCluster, images: Path, name: str, few: Path) -> float:
    """Seconds to embed ``images`` as the gallery ``name``, after every worker had a part of ``few``."""
    for gallery, source in ((f"{name}-few", few), (name, images)):
        at.ingest(gallery, source)
        took_s = at.embed(gallery, MODEL)
        at.forget(gallery)
    return took_s


def measure(folder: Path, *, num: int, side: int, repeats: int) -> dict[str, Any]:
    images = draw(folder / "images", num, side)
    few = draw(folder / "few", 4 * PART_IMAGES, 64)
    one_s, two_s = [], []
    with queue_cluster(folder, ONE_THREAD) as at:
        import_model(at.workspace, f"baseline:{MODEL}")
        at.start("embedder")
        for repeat in range(repeats):
            one_s.append(run(at, images, f"one-{repeat}", few))
            second = at.start("embedder")
            two_s.append(run(at, images, f"two-{repeat}", few))
            second.stop()
    ratios = [one / two for one, two in zip(one_s, two_s, strict=True)]
    return {
        "benchmark": "queue_workers",
        "num_images": num,
        "pixels": [side, side * 2 // 3],
        "mean_file_bytes": round(statistics.mean(path.stat().st_size for path in images.iterdir())),
        "part_images": PART_IMAGES,
        "one_worker_s": [round(took, 3) for took in one_s],
        "two_workers_s": [round(took, 3) for took in two_s],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio": round(statistics.median(ratios), 3),
        "targets": {"ratio": MIN_RATIO},
        "machine": describe("celery", "redis", "simplejpeg", "torch"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=240)
    parser.add_argument("--side", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), num=given.num, side=given.side, repeats=given.repeats)
    rows = [
        ("one worker, s", result["one_worker_s"], ""),
        ("two workers, s", result["two_workers_s"], ""),
        ("one / two", result["ratio"], f">= {MIN_RATIO}"),
    ]
    print(table(rows))
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["ratio"] >= MIN_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

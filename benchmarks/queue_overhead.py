"""What the queue costs for each image, against the same pipeline in one process.

The same drawn 640 x 427 JPEGs, ingested as a new gallery each time, are embedded under a real model in this process
(``embed_gallery``, the model opened before) and by a job with one embedder worker (which has embedded before), in
turns, with the same settings. A job is timed from its start to its end as the queue notes them: planning, messages,
the worker's looks and the end of the job are in it, the start of the worker is not. While one works the other waits.

Prints the median ratio queue / in process (the aim: at most 1.05) and the milliseconds it adds for each image, as a
table and JSON; the exit status is 1 above it.

    python -m benchmarks.queue_overhead [--num 3000] [--model house] [--repeats 5] [--out FILE]
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.embed_folder import generate
from benchmarks.machine import describe, table
from benchmarks.queue_cluster import QueueCluster, queue_cluster
from lookalike.pipeline.index_gallery import embed_gallery
from lookalike.pipeline.models import import_model

MAX_RATIO = 1.05
NUM_FEW = 64  # embedded on both sides before anything is timed


def in_process(at: QueueCluster, gallery: str, model: str) -> float:
    """Seconds that embedding takes here."""
    started = time.perf_counter()
    embed_gallery(at.workspace, gallery, model)
    return time.perf_counter() - started


def queued(at: QueueCluster, gallery: str, model: str) -> float:
    """Seconds that the job takes."""
    return at.embed(gallery, model)


def measure(folder: Path, *, num: int, model: str, repeats: int) -> dict[str, Any]:
    images, few = folder / "images", folder / "few"
    for source, number in ((images, num), (few, NUM_FEW)):
        source.mkdir()
        generate(source, number)
    seconds: dict[str, list[float]] = {"in_process": [], "queued": []}
    with queue_cluster(folder) as at:
        name = str(import_model(at.workspace, "house" if model == "house" else f"torchvision:{model}").ref)
        at.start("embedder")
        for side in (in_process, queued):
            at.ingest(f"few-{side.__name__}", few)
            side(at, f"few-{side.__name__}", name)
        for repeat in range(repeats):
            for side in (in_process, queued) if repeat % 2 == 0 else (queued, in_process):
                gallery = f"{side.__name__}-{repeat}"
                at.ingest(gallery, images)
                seconds[side.__name__].append(side(at, gallery, name))
                at.forget(gallery)
    pairs = list(zip(seconds["queued"], seconds["in_process"], strict=True))
    return {
        "benchmark": "queue_overhead",
        "model": name,
        "num_images": num,
        "seconds": {side: [round(took, 3) for took in runs] for side, runs in seconds.items()},
        "ratios": [round(queue / alone, 3) for queue, alone in pairs],
        "ratio": round(statistics.median(queue / alone for queue, alone in pairs), 3),
        "ms_an_image": round(statistics.median(queue - alone for queue, alone in pairs) / num * 1000, 3),
        "targets": {"ratio": MAX_RATIO},
        "machine": describe("celery", "redis", "torch"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=3000)
    parser.add_argument("--model", default="house", help="house, or the name of one of torchvision's")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), num=given.num, model=given.model, repeats=given.repeats)
    rows = [
        *((f"{side}, s", runs, "") for side, runs in result["seconds"].items()),
        ("queued / in process", result["ratio"], f"<= {MAX_RATIO}"),
        ("the queue adds for each image, ms", result["ms_an_image"], ""),
    ]
    print(table(rows))
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if result["ratio"] <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

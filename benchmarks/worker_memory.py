"""Whether an embedder worker's memory stays flat over 20,000 images.

Links to a few hundred drawn JPEGs of many sizes, ingested as one gallery, are embedded by one worker in one job. The
worker's resident memory is read after each part. What it grows by from the 2,000th image on (a straight line through
the samples, least squares) is compared with what it was then.

Prints the growth (the aim: less than 10 %) and bytes an image as a table and JSON; the exit status is 1 above it.
With ``--out FILE.json`` a plot of all samples lies beside it as ``FILE.png``.

    python -m benchmarks.worker_memory [--num 20000] [--model house] [--part-images 256] [--out FILE]
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.machine import describe, table
from benchmarks.queue_cluster import queue_cluster
from lookalike.jobs.port import Job
from lookalike.pipeline.models import import_model

MAX_GROWTH = 0.10
WARM_SHARE = 0.1  # of the images, after which memory is to be flat: 2,000 of 20,000
NUM_PICTURES = 300
SIDES = (64, 1600)

Samples = list[tuple[int, float]]  # images done, resident MB


def draw(folder: Path, number: int) -> Path:
    """``number`` links to pictures whose sides are anything within ``SIDES``."""
    rng = np.random.default_rng(0)
    pictures = folder.with_name("pictures")
    pictures.mkdir()
    folder.mkdir()
    for index in range(min(number, NUM_PICTURES)):
        width, height = (int(side) for side in rng.integers(*SIDES, 2))
        coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8))
        coarse.resize((width, height), Image.BICUBIC).save(pictures / f"{index}.jpg", quality=90)
    for index in range(number):
        os.link(pictures / f"{index % NUM_PICTURES}.jpg", folder / f"{index:06}.jpg")
    return folder


def measure(folder: Path, *, num: int, model: str, part_images: int) -> tuple[dict[str, Any], Samples]:
    samples: Samples = []
    with queue_cluster(folder, {"LOOKALIKE_QUEUE__PART_IMAGES": str(part_images)}) as at:
        source = model if model == "house" else f"torchvision:{model}"
        name = str(import_model(at.workspace, source).ref)
        at.ingest("many", draw(folder / "images", num))
        worker = at.start("embedder")
        samples.append((0, worker.rss_mb()))

        def sample(job: Job) -> None:
            if job.done > samples[-1][0]:
                samples.append((job.done, worker.rss_mb()))

        took_s = at.embed("many", name, sample)
    warm = [(done, rss) for done, rss in samples if done >= WARM_SHARE * num]
    if len(warm) < 3:
        raise SystemExit("too few parts for a line: give fewer --part-images")
    slope, start = np.polyfit(*np.array(warm).T, 1)
    at_warm = start + slope * warm[0][0]
    result = {
        "benchmark": "worker_memory",
        "model": name,
        "num_images": num,
        "part_images": part_images,
        "seconds": round(took_s, 1),
        "warm_from_images": warm[0][0],
        "rss_warm_mb": round(at_warm, 1),
        "rss_end_mb": round(warm[-1][1], 1),
        "rss_most_mb": round(max(rss for _, rss in samples), 1),
        "bytes_an_image": round(slope * 1e6, 1),
        "growth": round(slope * (num - warm[0][0]) / at_warm, 4),
        "samples": [[done, round(rss, 1)] for done, rss in samples],
        "targets": {"growth": MAX_GROWTH},
        "machine": describe("celery", "torch", "simplejpeg"),
    }
    return result, samples


def plot(samples: Samples, file: Path) -> None:
    """Resident memory over images, from zero, so that flat looks flat and growth like growth."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    axes.plot(*zip(*samples, strict=True), marker=".")
    axes.set(xlabel="images embedded", ylabel="resident memory of the worker, MB", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=20_000)
    parser.add_argument("--model", default="house", help="house, or the name of one of torchvision's")
    parser.add_argument("--part-images", type=int, default=256)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result, samples = measure(Path(folder), num=given.num, model=given.model, part_images=given.part_images)
    rows = [
        (f"resident after {result['warm_from_images']} images, MB", result["rss_warm_mb"], ""),
        ("at the end, MB", result["rss_end_mb"], ""),
        ("bytes for each further image", result["bytes_an_image"], ""),
        ("growth", result["growth"], f"<= {MAX_GROWTH}"),
    ]
    print(table(rows))
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
        plot(samples, given.out.with_suffix(".png"))
    return 0 if result["growth"] <= MAX_GROWTH else 1


if __name__ == "__main__":
    sys.exit(main())

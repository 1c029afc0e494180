"""What it costs to ingest and embed a gallery again in which nothing changed.

A folder of drawn 640 x 427 JPEGs (or ``--images``) is ingested and embedded with ResNet-18 (random weights: they
don't change the time), then again and again unchanged. Every run wires its ports anew, as a command does, and
opens the model; process start and imports are left out on both sides. Printed beside it: the same after one
image changed.

Prints the ratio repeated / first (the aim: at most 0.03) as a table and JSON; the exit status is 1 above it.

    python -m benchmarks.repeated_embed [--num 600] [--images FOLDER] [--repeats 5] [--out FILE]
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.embed_folder import SIZE, generate
from benchmarks.machine import describe, table
from benchmarks.synthetic_gallery import workspace
from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import export_program
from lookalike.embedding.torchvision_import import torchvision_features
from lookalike.galleries.folder import FolderSource
from lookalike.pipeline.index_gallery import embed_gallery
from lookalike.pipeline.ingest import ingest
from lookalike.types.models import ModelManifest, ResizePolicy

MAX_RATIO = 0.03
GALLERY, MODEL = "photos", "resnet18"


def add_model(folder: Path) -> None:
    torch.manual_seed(0)
    program, dimension = export_program(torchvision_features(MODEL), SIZE)
    manifest = ModelManifest(
        name=MODEL, dimension=dimension, input_size=SIZE, resize_policy=ResizePolicy.LETTERBOX, digest=""
    )
    at = workspace(folder)
    at.models.add(folder / "model.mar", write_archive(folder / "model.mar", program, manifest))
    at.close()


def run(folder: Path) -> tuple[float, float, int]:
    """Seconds of ingest and of embed, and how many images were embedded."""
    at = workspace(folder)
    try:
        started = time.perf_counter()
        ingest(at.store, at.galleries, at.ledger, GALLERY, FolderSource(folder / "images"), limits=at.limits)
        ingested = time.perf_counter()
        report = embed_gallery(at, GALLERY, MODEL)
        return ingested - started, time.perf_counter() - ingested, report.embedded
    finally:
        at.close()


def measure(folder: Path, images: Path | None, num: int, repeats: int) -> dict[str, object]:
    (folder / "images").mkdir()
    if images is None:
        generate(folder / "images", num)
    else:
        for number, path in enumerate(sorted(images.rglob("*.jpg"))[:num]):
            shutil.copyfile(path, folder / "images" / f"{number:05}.jpg")
    add_model(folder)
    ingest_s, embed_s, embedded = run(folder)
    first_s = ingest_s + embed_s
    again = [run(folder) for _ in range(repeats)]
    assert all(made == 0 for _, _, made in again), "an unchanged gallery was embedded"
    paths = sorted((folder / "images").iterdir())
    shutil.copyfile(paths[-1], folder / "images" / "one more.jpg")
    *one_more_s, made = run(folder)
    assert made == 1
    repeated_s = statistics.median(first + second for first, second, _ in again)
    return {
        "num_images": embedded,
        "first_s": {"ingest": round(ingest_s, 3), "embed": round(embed_s, 3)},
        "repeated_s": {
            "ingest": round(statistics.median(taken for taken, _, _ in again), 3),
            "embed": round(statistics.median(taken for _, taken, _ in again), 3),
        },
        "repeated_s_all": [round(first + second, 3) for first, second, _ in again],
        "one_image_added_s": round(sum(one_more_s), 3),
        "repeated_over_first": round(repeated_s / first_s, 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; drawn if not given")
    parser.add_argument("--num", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), given.images, given.num, given.repeats)
    result = {
        "benchmark": "repeated_embed",
        **measured,
        "targets": {"repeated_over_first": MAX_RATIO},
        "machine": describe("torch", "numpy", "pillow", "simplejpeg"),
    }
    rows = [
        ("images", measured["num_images"], ""),
        ("first, s", measured["first_s"], ""),
        ("repeated, s (median)", measured["repeated_s"], ""),
        ("with one image more, s", measured["one_image_added_s"], ""),
        ("repeated / first", measured["repeated_over_first"], f"<= {MAX_RATIO}"),
    ]
    print(table(rows))
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if float(str(measured["repeated_over_first"])) <= MAX_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())

"""The house model against the pretrained MobileNetV2, on photographs that it was not trained on, as one command.

    python -m benchmarks.house_model --data DATA --weights mobilenet_v2-imagenet.pth [--archive MAR] --output OUT

``DATA`` holds ``coco-asf`` (COCO photographs with ``labels.csv`` and ``taxonomy.json``) and ``caltech101-176`` (folders
of Caltech-101). Two galleries: the COCO photographs with one label, and the classes of Caltech-101 that the archive
says it was not trained on. Both models are embedded, indexed in all four backends and evaluated through the search of
the product, leave-one-out, every image a query: precision@4 and mAP@4 with 95 % bootstrap intervals, and of the
difference the paired interval. Then images/s of both models, in turn, on the same pixels. Exit status 1 when a target
is missed. Without arguments it says what it needs, and does nothing.
"""

import argparse
import csv
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import describe, table
from lookalike.bootstrap import wire
from lookalike.embedding.archive import read_program
from lookalike.embedding.house import house_archive
from lookalike.evaluation.bootstrap import intervals
from lookalike.evaluation.document import Result
from lookalike.galleries.csv_labels import CsvSource
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.port import GallerySource
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model, register_archive
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from lookalike.types.models import ModelManifest, ResizePolicy

BACKENDS = ("exact", "faiss", "annoy", "qdrant")
HALF = "0.5,0.5,0.5"  # MobileNetV2's weights take x / 127.5 - 1
K = 4
LEVELS = ("subcategory", "supercategory")
TARGETS = {"subcategory": 0.50, "supercategory": 0.85}
MAX_PARAMETERS, MAX_BYTES = 5_000_000, 8_000_000
REPEATS, TIMED_IMAGES = 5, 256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--archive", type=Path, help="default: the one that ships")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.data is None or options.weights is None:
        print("nothing measured: this needs --data and --weights, real photographs and MobileNetV2's weights")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LOOKALIKE_STORAGE__FOLDER"] = f"{folder}/store"
        os.environ["LOOKALIKE_STORAGE__CACHE"] = f"{folder}/cache"
        at = wire(load())
        try:
            found = measure(at, options.data, options.weights, options.archive or house_archive(), Path(folder))
        finally:
            at.close()
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return report(found)


def measure(at: Workspace, data: Path, weights: Path, archive: Path, scratch: Path) -> dict[str, Any]:
    """Both galleries under both models, sizes and speeds."""
    house = register_archive(at, archive)
    teacher = import_model(
        at, "torchvision:mobilenet_v2", weights=weights, resize_policy=ResizePolicy.SQUASH, mean=HALF, std=HALF
    )
    held_out = house.recipe["data"]["held_out_classes"]  # type: ignore[index]  # the manifest of our own trainer
    models = [house, teacher]
    return {
        "machine": describe("torch", "faiss-cpu", "annoy", "scikit-learn"),
        "house": {
            "model": str(house.ref),
            "digest": house.digest,
            "bytes": archive.stat().st_size,
            "parameters": num_parameters(archive),
            "metrics": house.metrics,
            "held_out_classes": held_out,
        },
        "teacher": str(teacher.ref),
        "galleries": [
            gallery(at, "coco-asf", single_label(data / "coco-asf", scratch), models),
            gallery(
                at, "caltech101 held-out classes", held_out_folders(data / "caltech101-176", held_out, scratch), models
            ),
        ],
        "speed": speed(at, models),
    }


def gallery(at: Workspace, title: str, source: GallerySource, models: list[ModelManifest]) -> dict[str, Any]:
    """One gallery under each model: the evaluation's rows, and the paired difference between the models."""
    name = title.replace(" ", "-")
    try:
        made = ingest(at.store, at.galleries, at.ledger, name, source, limits=at.limits)
    finally:
        source.close()
    for model in models:
        embed_gallery(at, name, str(model.ref))
        embedding_set = newest_set(at, name, str(model.ref))
        indexes = build_indexes(at, name, embedding_set, BACKENDS)
        promote_indexes(at, name, embedding_set, indexes, checks=Checks(at.min_parity))
    document = evaluate_gallery(at, name, k=K).document
    rows = [row for row in document.results if row.relevance == "single-label" and row.num_scored]
    print(f"{name}: {made.num_images} images evaluated", flush=True)
    return {
        "name": title,
        "num_images": made.num_images,
        "num_failed": made.failed,
        "rows": [said(row) for row in rows],
        "differences": differences(at, name, models),
    }


def said(row: Result) -> dict[str, object]:
    metrics = {name: value.model_dump() for name, value in row.metrics.items()}
    return {"model": row.model, "backend": row.backend, "level": row.level, "queries": row.num_scored, **metrics}


def differences(at: Workspace, name: str, models: list[ModelManifest]) -> dict[str, object]:
    """precision@4 of the first model minus that of the second, per query, from the stored embeddings alone."""
    version = at.galleries.version(name)
    labels = {bytes.fromhex(r.image_id.replace("-", "")): r.labels for r in at.galleries.records(version)}
    found = {}
    for level in LEVELS:
        values = []
        for model in models:
            matrix = at.artifacts.matrix(newest_set(at, name, str(model.ref)))
            names = np.array([getattr(labels[row.tobytes()], level) or "" for row in matrix.ids_N16])
            if not names.any():
                break
            precision_N = (names[neighbours(matrix.embeddings_ND)] == names[:, None]).mean(axis=1)
            values.append(in_order_of_ids(precision_N, matrix.ids_N16))
        else:
            found[level] = intervals((values[0] - values[1])[:, None])[0].model_dump()
    return found


def in_order_of_ids(values_N: NDArray[np.float64], ids_N16: NDArray[np.uint8]) -> NDArray[np.float64]:
    """So that pairs are of the same image: an embedding set is in the order in which its parts were finished."""
    ordered: NDArray[np.float64] = values_N[np.lexsort(ids_N16.T[::-1])]
    return ordered


def neighbours(embeddings_ND: NDArray[np.float32]) -> NDArray[np.int64]:
    """The first four of each row by cosine, the row itself left out, ties by row."""
    cosines_NN = embeddings_ND.astype(np.float64) @ embeddings_ND.T.astype(np.float64)
    np.fill_diagonal(cosines_NN, -np.inf)
    return np.argsort(-cosines_NN, axis=1, kind="stable")[:, :K].astype(np.int64)


def single_label(coco: Path, scratch: Path) -> CsvSource:
    """The rows with one label, as a table of their own."""
    target = scratch / "single.csv"
    with (coco / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["single_label"])
    taxonomy: dict[str, str] = json.loads((coco / "taxonomy.json").read_text(encoding="utf-8"))
    return CsvSource(target, coco / "images", taxonomy=taxonomy)


def held_out_folders(caltech: Path, names: list[str], scratch: Path) -> FolderSource:
    """The folders of these classes, copied: links that lead out of a source are refused."""
    target = scratch / "held_out"
    for name in names:
        (target / name).mkdir(parents=True)
        for path in (caltech / name).iterdir():
            (target / name / path.name).write_bytes(path.read_bytes())
    return FolderSource(target)


def num_parameters(archive: Path) -> int:
    """Weights and buffers of the program, all that it computes with."""
    program, _ = read_program(archive)
    return sum(tensor.numel() for tensor in torch.export.load(io.BytesIO(program)).state_dict.values())


def speed(at: Workspace, models: list[ModelManifest]) -> dict[str, object]:
    """Images/s of each model alone, in turn, best of some: random pixels of its own input size."""
    rng = np.random.default_rng(0)
    embedders = {str(model.ref): at.embedder(str(model.ref)) for model in models}
    pixels = {
        str(model.ref): rng.integers(0, 256, (TIMED_IMAGES, model.input_size, model.input_size, 3), dtype=np.uint8)
        for model in models
    }
    best = dict.fromkeys(embedders, 0.0)
    for _ in range(REPEATS):
        for name, embedder in embedders.items():
            started = time.perf_counter()
            embedder.embed(pixels[name])
            best[name] = max(best[name], TIMED_IMAGES / (time.perf_counter() - started))
    precisions = {name: embedder.runtime.precision for name, embedder in embedders.items()}
    return {"images_per_s": best, "precision": precisions}


def report(found: dict[str, Any]) -> int:
    """Prints what was measured beside the targets, and the card's table as Markdown; 1 where a target is missed."""
    house, teacher = found["house"], found["teacher"]
    rows = [row for one in found["galleries"] if one["name"] == "coco-asf" for row in one["rows"]]
    own = {row["level"]: row for row in rows if row["backend"] == "exact" and row["model"] == house["model"]}
    checked = [
        ("parameters", house["parameters"], f"<= {MAX_PARAMETERS}", house["parameters"] <= MAX_PARAMETERS),
        ("archive bytes", house["bytes"], f"<= {MAX_BYTES}", house["bytes"] <= MAX_BYTES),
    ]
    for level, target in TARGETS.items():
        mean = own[level][f"precision@{K}"]["mean"]
        checked.append((f"coco-asf {level} precision@{K}", round(mean, 4), f">= {target}", mean >= target))
    for name, rate in found["speed"]["images_per_s"].items():
        checked.append((f"{name} images/s, {found['speed']['precision'][name]}", round(rate), "", True))
    print(table([line[:3] for line in checked]))
    print(f"\n| photographs | model | level | precision@{K} | mAP@{K} | {' | '.join(BACKENDS[1:])} | queries |")
    print("|---" * (6 + len(BACKENDS[1:])) + "|---|")
    for one in found["galleries"]:
        for model, name in ((house["model"], "house"), (teacher, "MobileNetV2")):
            print_rows(one, model, name)
    for one in found["galleries"]:
        for level, value in one["differences"].items():
            print(f"{one['name']}, {level}: house minus MobileNetV2 {interval(value, '+.3f')}")
    return int(not all(line[3] for line in checked))


def print_rows(one: dict[str, Any], model: str, name: str) -> None:
    """A line for each level: exact search in full, the other backends' precision."""
    for level in LEVELS:
        rows = {row["backend"]: row for row in one["rows"] if row["model"] == model and row["level"] == level}
        if rows:
            exact = rows["exact"]
            others = " | ".join(f"{rows[backend][f'precision@{K}']['mean']:.3f}" for backend in BACKENDS[1:])
            figures = f"{interval(exact[f'precision@{K}'])} | {interval(exact[f'mAP@{K}'])} | {others}"
            print(f"| {one['name']} | {name} | {level} | {figures} | {exact['queries']} |")


def interval(value: dict[str, float], form: str = ".3f") -> str:
    return f"{value['mean']:{form}} ({value['low']:{form}} to {value['high']:{form}})"


if __name__ == "__main__":
    sys.exit(main())

"""The whole straight path on real photographs, as one command: from folders and weights to tables.

    python -m benchmarks.real_photographs --data DATA --weights mobilenet_v2-imagenet.pth --work WORK --output OUT.md

``DATA`` holds ``coco-asf`` (COCO photographs with ``labels.csv``) and ``caltech101-176`` (folders of Caltech-101).
Three galleries are ingested, embedded and indexed in four backends, and evaluated with every image as a query:

* ``coco``: every photograph; models MobileNetV2 (letterbox and squash) and both baselines;
* ``coco-single``: the photographs with one label alone, the same models;
* ``caltech``: MobileNetV2, squash.

Beside each figure of protocol ``standard`` stands leave-one-out precision@4 taken independently: one matrix product in
float64 over the same embeddings, and labels straight from the table. For ``coco-single`` the
embeddings are made independently as well: Pillow, float32 and plain torch. ``WORK`` keeps everything: run again,
what is done is reused, and then the seconds of its stages say nothing. Writes Markdown, and the same as
JSON beside it. The exit status is 1 when the two ways differ by more than 0.001. Without arguments it says what it
needs, and does nothing.
"""

import argparse
import csv
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.bootstrap import wire
from lookalike.errors import ModelNotFound
from lookalike.evaluation.document import EvaluationDocument, Result
from lookalike.galleries.csv_labels import CsvSource
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.port import GallerySource
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from lookalike.types.models import ModelRef, ResizePolicy

BACKENDS = ("exact", "faiss", "annoy", "qdrant")
POLICIES = (ResizePolicy.LETTERBOX, ResizePolicy.SQUASH)
HALF = "0.5,0.5,0.5"  # these weights take x / 127.5 - 1
SIZE, BATCH, K = 224, 32, 4
TOLERANCE = 0.001
LEVELS = ("subcategory", "supercategory")
# What the photographs' own README says of the photographs with one label: leave-one-out precision@4 by level.
PUBLISHED = {
    "pixels16": (0.17, 0.57),
    "mobilenet_v2-letterbox": (0.53, 0.87),
    "mobilenet_v2-squash": (0.57, 0.89),
}


@dataclass(frozen=True)
class Stage:
    """What one stage did, and its seconds."""

    gallery: str
    model: str
    stage: str
    images: int
    seconds: float


@dataclass(frozen=True)
class Check:
    """precision@4 through exact search, and taken independently over the same embeddings, by level."""

    gallery: str
    model: str
    evaluated: tuple[float, float]
    independent: tuple[float, float]
    without_crowd: tuple[float, float]
    crowd: "Crowd"


@dataclass(frozen=True)
class Crowd:
    """Of the first four hits of single-label queries: the share of photographs that have no single label.

    ``sharing`` is the share, of all first four, of such photographs that do show the query's label.
    """

    share: tuple[float, float]
    sharing: tuple[float, float]


@dataclass
class Findings:
    stages: list[Stage] = field(default_factory=list)
    documents: list[EvaluationDocument] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    by_pillow: dict[str, tuple[float, float]] = field(default_factory=dict)


def run(at: Workspace, data: Path, weights: Path, work: Path) -> Findings:
    """Everything, in order."""
    found = Findings()
    mobile = [_mobilenet(at, weights, policy) for policy in POLICIES]
    baselines = [_baseline(at, name) for name in ("pixels16", "color_edges")]
    coco = data / "coco-asf"
    galleries: list[tuple[str, GallerySource, list[str]]] = [
        ("coco", CsvSource(coco / "labels.csv", coco / "images"), [*mobile, *baselines]),
        ("coco-single", _single_label(coco, work), [*mobile, *baselines]),
        ("caltech", FolderSource(data / "caltech101-176"), mobile[1:]),
    ]
    for gallery, source, models in galleries:
        _make(at, gallery, source, models, found)
        for protocol in ("standard", "paper"):
            print(f"{gallery}: evaluating, protocol {protocol}", flush=True)
            found.documents.append(evaluate_gallery(at, gallery, protocol=protocol, k=K, reuse=True).document)
        for model in models:
            found.checks.append(_check(at, gallery, model, found.documents[-2]))
    for policy in POLICIES:
        print(f"coco-single: embedding by Pillow, float32 and plain torch, {policy}", flush=True)
        found.by_pillow[f"mobilenet_v2-{policy}"] = _by_pillow(coco, weights, policy)
    return found


def _mobilenet(at: Workspace, weights: Path, policy: ResizePolicy) -> str:
    name = f"mobilenet_v2-{policy}"
    try:
        at.models.get(ModelRef.parse(name))
    except ModelNotFound:
        import_model(
            at, "torchvision:mobilenet_v2", weights=weights, resize_policy=policy, name=name, mean=HALF, std=HALF
        )
    return name


def _baseline(at: Workspace, name: str) -> str:
    try:
        at.models.get(ModelRef.parse(name))
    except ModelNotFound:
        import_model(at, f"baseline:{name}")
    return name


def _single_label(coco: Path, work: Path) -> CsvSource:
    """The rows with one label, as a table of their own."""
    table = work / "single.csv"
    with (coco / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row for row in rows if row["single_label"])
    return CsvSource(table, coco / "images", taxonomy=_taxonomy(coco))


def _taxonomy(coco: Path) -> dict[str, str]:
    taxonomy: dict[str, str] = json.loads((coco / "taxonomy.json").read_text(encoding="utf-8"))
    return taxonomy


def _make(at: Workspace, gallery: str, source: GallerySource, models: list[str], found: Findings) -> None:
    started = time.perf_counter()
    try:
        made = ingest(at.store, at.galleries, at.ledger, gallery, source, limits=at.limits)
    finally:
        source.close()
    found.stages.append(Stage(gallery, "", "ingest", made.num_images, time.perf_counter() - started))
    for model in models:
        started = time.perf_counter()
        embedded = embed_gallery(at, gallery, model)
        found.stages.append(
            Stage(gallery, model, "embed", embedded.embedded + embedded.reused, time.perf_counter() - started)
        )
        embedding_set = newest_set(at, gallery, model)
        started = time.perf_counter()
        indexes = build_indexes(at, gallery, embedding_set, BACKENDS)
        found.stages.append(
            Stage(
                gallery, model, "build four indexes", embedded.embedded + embedded.reused, time.perf_counter() - started
            )
        )
        promote_indexes(at, gallery, embedding_set, indexes, checks=Checks(at.min_parity))
        print(f"{gallery}: {made.num_images} images, {embedded.failed} failed under {model}, live", flush=True)


def _check(at: Workspace, gallery: str, model: str, document: EvaluationDocument) -> Check:
    embedding_set = newest_set(at, gallery, model)
    matrix = at.artifacts.matrix(embedding_set)
    version = at.galleries.version(gallery)
    labels = {
        bytes.fromhex(record.image_id.replace("-", "")): record.labels for record in at.galleries.records(version)
    }
    rows = [labels[row.tobytes()] for row in matrix.ids_N16]
    embeddings = np.asarray(matrix.embeddings_ND, np.float64)
    one = np.array([row.subcategory is not None for row in rows])
    first_QK = _leave_one_out(embeddings)[one]
    first_alone_QK = _leave_one_out(embeddings[one])
    evaluated: list[float] = []
    everyone: list[float] = []
    alone: list[float] = []
    share: list[float] = []
    sharing: list[float] = []
    for level in LEVELS:
        if not any(getattr(row, level) for row in rows):
            evaluated.append(float("nan"))
            for values in (everyone, alone, share, sharing):
                values.append(float("nan"))
            continue
        evaluated.append(_mean(document, embedding_set.model, "exact", level, "single-label", f"precision@{K}"))
        names = np.array([getattr(row, level) or "" for row in rows])
        everyone.append(float((names[first_QK] == names[one][:, None]).mean()))
        alone.append(float((names[one][first_alone_QK] == names[one][:, None]).mean()))
        share.append(float((~one[first_QK]).mean()))
        every = "subcategories" if level == "subcategory" else "supercategories"
        shown = [
            [not one[hit] and name in getattr(rows[hit], every) for hit in hits]
            for name, hits in zip(names[one], first_QK, strict=True)
        ]
        sharing.append(float(np.mean(shown)))
    return Check(gallery, model, _pair(evaluated), _pair(everyone), _pair(alone), Crowd(_pair(share), _pair(sharing)))


def _leave_one_out(embeddings_ND: NDArray[np.float64]) -> NDArray[np.int64]:
    """The first four of each row by cosine, the row itself left out, ties by row."""
    unit_ND = embeddings_ND / np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    first = []
    for start in range(0, len(unit_ND), 1024):
        similarities = unit_ND[start : start + 1024] @ unit_ND.T
        similarities[np.arange(len(similarities)), np.arange(start, start + len(similarities))] = -np.inf
        first.append(np.argsort(-similarities, axis=1, kind="stable")[:, :K])
    return np.concatenate(first)


def _pair(values: list[float]) -> tuple[float, float]:
    return values[0], values[1]


def _by_pillow(coco: Path, weights: Path, policy: ResizePolicy) -> tuple[float, float]:
    """precision@4 by level with nothing of ours between file and figure."""
    import torch

    from lookalike.embedding.torchvision_import import torchvision_features

    model = torchvision_features("mobilenet_v2", state=torch.load(weights, weights_only=True)).eval()
    with (coco / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["single_label"]]
    embeddings = []
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            pixels = np.stack([_opened(coco / "images" / row["file"], policy) for row in rows[start : start + BATCH]])
            embeddings.append(model(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1).numpy())
    first = _leave_one_out(np.concatenate(embeddings).astype(np.float64))
    taxonomy = _taxonomy(coco)
    subs = np.array([row["single_label"] for row in rows])
    supers = np.array([taxonomy[sub] for sub in subs])
    return _pair([float((names[first] == names[:, None]).mean()) for names in (subs, supers)])


def _opened(path: Path, policy: ResizePolicy) -> NDArray[np.uint8]:
    with Image.open(path) as file:
        image = file.convert("RGB")
    if policy is ResizePolicy.SQUASH:
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    scale = SIZE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    canvas = Image.new("RGB", (SIZE, SIZE))
    canvas.paste(image.resize((width, height), Image.Resampling.BILINEAR), ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.asarray(canvas)


def _mean(document: EvaluationDocument, model: str, backend: str, level: str, relevance: str, metric: str) -> float:
    for result in document.results:
        if (result.model, result.backend, result.level, result.relevance) == (model, backend, level, relevance):
            return result.metrics[metric].mean or 0.0
    raise LookupError(f"{model} {backend} {level} {relevance} was not evaluated")


def markdown(found: Findings) -> str:
    """All tables."""
    lines: list[str] = []
    for document in found.documents:
        lines += [
            f"### Gallery `{document.gallery}`, protocol `{document.protocol}`, k = {document.k}",
            "",
            f"{document.num_queries} queries against {document.num_images} images.",
            "",
            *_results(document),
            "",
        ]
    lines += ["### The same, taken independently", "", *_checks(found), "", "### Stages", "", *_stages(found.stages)]
    return "\n".join(lines) + "\n"


def _results(document: EvaluationDocument) -> Iterator[str]:
    shown = [result for result in document.results if result.num_scored]
    metrics = list(shown[0].metrics)
    measured = ["queries", "knn recall", "p50 ms", "p99 ms", "build s", "MB"]
    yield from _table_head(["model", "backend", "level", "relevance", *metrics, *measured])
    for result in shown:
        cells = [result.model, result.backend, result.level.removesuffix("category"), result.relevance]
        cells += [f"{result.metrics[metric].mean:.3f}" for metric in metrics]
        yield _line([*cells, *_measured(result)])


def _measured(result: Result) -> list[str]:
    latency = result.latency_ms
    return [
        str(result.num_scored),
        f"{result.knn_recall:.4f}",
        f"{latency['p50']:.2f}",
        f"{latency['p99']:.2f}",
        f"{result.build_s:.2f}",
        f"{result.index_bytes / 1e6:.1f}",
    ]


def _checks(found: Findings) -> Iterator[str]:
    columns = ["evaluated", "independent", "single-label photographs alone", "share of others in the first 4"]
    yield from _table_head(["gallery", "model", *columns, "of them with the label", "Pillow, float32", "published"])
    for check in found.checks:
        alone = check.gallery == "coco-single"
        by_pillow = found.by_pillow.get(check.model) if alone else None
        published = PUBLISHED.get(check.model) if alone else None
        yield _line(
            [
                check.gallery,
                check.model,
                _both(check.evaluated),
                _both(check.independent),
                _both(check.without_crowd),
                _both(check.crowd.share),
                _both(check.crowd.sharing),
                _both(by_pillow),
                _both(published, 2),
            ]
        )


def _both(values: tuple[float, float] | None, digits: int = 3) -> str:
    if values is None:
        return ""
    return " / ".join("–" if np.isnan(value) else f"{value:.{digits}f}" for value in values)


def _stages(stages: list[Stage]) -> Iterator[str]:
    yield from _table_head(["gallery", "model", "stage", "images", "seconds"])
    for stage in stages:
        yield _line([stage.gallery, stage.model, stage.stage, str(stage.images), f"{stage.seconds:.1f}"])


def _table_head(columns: list[str]) -> Iterator[str]:
    yield _line(columns)
    yield _line(["---"] * len(columns))


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(found: Findings) -> Mapping[str, object]:
    """The same, with intervals and latencies, and what it was measured on."""
    return {
        "benchmark": "real_photographs",
        "evaluations": [document.model_dump(mode="json") for document in found.documents],
        "checks": [asdict(check) for check in found.checks],
        "by_pillow": found.by_pillow,
        "stages": [asdict(stage) for stage in found.stages],
        "machine": {
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder with coco-asf and caltech101-176")
    parser.add_argument("--weights", type=Path, help="a state dict of torchvision's mobilenet_v2")
    parser.add_argument("--work", type=Path, help="a folder for the store and the cache")
    parser.add_argument("--output", type=Path, help="the Markdown file; the JSON goes beside it")
    args = parser.parse_args()
    if len(sys.argv) == 1:
        print("nothing measured: this needs photographs and weights, named with --data and --weights")
        return 0
    missing = [f"--{name}" for name, value in vars(args).items() if value is None]
    if missing:
        parser.error(f"missing: {', '.join(missing)}")
    args.work.mkdir(parents=True, exist_ok=True)
    environment = {
        "LOOKALIKE_STORAGE__FOLDER": str(args.work / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(args.work / "cache"),
    }
    at = wire(load(environment, args.work / "none.toml"))
    try:
        found = run(at, args.data, args.weights, args.work)
    finally:
        at.close()
    args.output.write_text(markdown(found), encoding="utf-8")
    args.output.with_suffix(".json").write_text(json.dumps(as_json(found), indent=2) + "\n", encoding="utf-8")
    print("\n".join(_checks(found)))
    worst = max(
        abs(ours - theirs)
        for check in found.checks
        for ours, theirs in zip(check.evaluated, check.independent, strict=True)
        if not np.isnan(ours)
    )
    print(f"evaluated and independent figures differ by at most {worst:.5f} (allowed: {TOLERANCE})")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())

"""An evaluation against a loop over the queries, which must find the same.

    python -m benchmarks.evaluation --images 10000 --queries 1000 --dim 512 --output evaluation.json

The gallery is synthetic: 30 subcategories in 3 supercategories, one image in eight with two of them. The loop does
what one would write first: for each query it counts R, searches through the same function as deep as the largest R,
and once more for the first k hits, and takes every metric in plain Python from the labels of the hits, at both
levels and under both notions of relevance; then it resamples for the intervals. Ours is the whole
``evaluate_gallery``, knn recall and the timed single searches included. They go in turns; the ratio is the median of
the rounds, the loop's time being scaled from the queries that it was given.
The exit status is 1 when a target is missed: at least 10 times the loop's speed, and equal means to 1e-9.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lookalike.bootstrap import wire
from lookalike.catalog.embedding_sets import EmbeddingSet, Part, SetPart, pack_items, part_id
from lookalike.pipeline.evaluate import evaluate_gallery
from lookalike.pipeline.ground import ground_of, sample
from lookalike.pipeline.index_gallery import build_indexes, promote_indexes
from lookalike.pipeline.measure import MAX_TIMED, WARM_UP
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.search import nearest
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from lookalike.types.ids import image_id
from lookalike.types.images import ImageRecord, Labels

GALLERY, MODEL, DIGEST = "synthetic", "synthetic@1", "0" * 64
NUM_SUBS, NUM_SUPERS = 30, 3
NUM_RESAMPLES = 1000
MIN_RATIO = 10.0
TOLERANCE = 1e-9
KINDS = [(level, of) for level in ("subcategory", "supercategory") for of in ("single-label", "multi-label")]
Key = tuple[str, str, str]  # level, relevance, metric


@dataclass(frozen=True)
class Round:
    """Seconds for all queries; the loop's are scaled up from those it was given."""

    ours_s: float
    loop_s: float


def make_gallery(at: Workspace, num_images: int, dimension: int) -> None:
    """Images with labels, and embeddings that resemble those of the same label."""
    rng = np.random.default_rng(0)
    subs = rng.integers(0, NUM_SUBS, num_images)
    others = np.where(rng.random(num_images) < 1 / 8, rng.integers(0, NUM_SUBS, num_images), subs)
    centres = rng.standard_normal((NUM_SUBS, dimension), dtype=np.float32)
    rows = centres[subs] + 3 * rng.standard_normal((num_images, dimension), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    records = [
        _record(f"{number:08d}.jpg", sorted({int(one), int(other)}))
        for number, (one, other) in enumerate(zip(subs, others, strict=True))
    ]
    base = at.galleries.version(at.galleries.create(GALLERY).name)
    version = at.galleries.replace(base, records)
    items = pack_items(records)
    parts = []
    for start in range(0, num_images, 1024):
        part = Part(rows[start : start + 1024], items[start : start + 1024])
        name = part_id(DIGEST, part.items_N48, 0)
        at.sets.write_part(GALLERY, DIGEST, name, part)
        parts.append(SetPart(part_id=name, num_rows=len(part.items_N48)))
    made = EmbeddingSet(
        gallery=GALLERY,
        version_id=version.version_id,
        model=MODEL,
        model_digest=DIGEST,
        dimension=dimension,
        parts=tuple(parts),
    )
    at.sets.finish(made)
    promote_indexes(at, GALLERY, made, build_indexes(at, GALLERY, made, ["exact"]), checks=Checks(0.99))


def _record(key: str, labels: Sequence[int]) -> ImageRecord:
    subs = tuple(f"sub{label:02d}" for label in labels)
    supers = tuple(sorted({f"super{label % NUM_SUPERS}" for label in labels}))
    one = len(labels) == 1
    return ImageRecord(
        image_id=image_id(GALLERY, key),
        key=key,
        sha256=f"{int(key[:8]):064x}",
        size_bytes=1,
        width=1,
        height=1,
        format="JPEG",
        labels=Labels(
            subcategory=subs[0] if one else None,
            supercategory=supers[0] if one else None,
            subcategories=subs,
            supercategories=supers,
        ),
    )


def loop(at: Workspace, num_queries: int, num_looped: int, k: int) -> tuple[dict[Key, list[float]], float]:
    """Each metric of the first ``num_looped`` of the sampled queries, and the seconds that all of them would take."""
    served = at.serving.refresh(GALLERY)
    _, index = served.index(None, "exact")
    queries = sample(served.table.items()[:, :16], num_queries, 0)
    ground = ground_of(at, served, index, queries)
    records = {key: record.labels for key, record in served.table.records()}
    labels = [records[key.tobytes()] for key in index.living.ids_N16]
    found: dict[Key, list[float]] = {}
    started = time.perf_counter()
    for query in range(num_looped):
        row = int(ground.rows_Q[query])
        own_id = ground.ids_Q16[query : query + 1]
        embedding = ground.queries_QD[query : query + 1]
        counts = {
            kind: sum(_relevant(labels, row, other, *kind) for other in range(len(labels)) if other != row)
            for kind in KINDS
        }
        hits = nearest(served, index, embedding, k, exclude_ids_Q16=own_id).rows_QK[0].tolist()
        depth = max(1, *counts.values())
        deep = nearest(served, index, embedding, depth, exclude_ids_Q16=own_id).rows_QK[0].tolist()
        for kind, num_relevant in counts.items():
            if num_relevant:
                ranked = [_relevant(labels, row, hit, *kind) for hit in hits]
                first = [_relevant(labels, row, hit, *kind) for hit in deep[:num_relevant]]
                for name, value in _metrics(ranked, num_relevant, k).items():
                    found.setdefault((*kind, name), []).append(value)
                found.setdefault((*kind, "R-precision"), []).append(sum(first) / num_relevant)
    took_s = (time.perf_counter() - started) * num_queries / num_looped
    started = time.perf_counter()
    rng = np.random.default_rng(0)
    for values in found.values():
        as_many = np.resize(values, len(values) * num_queries // num_looped)
        for _ in range(NUM_RESAMPLES):
            rng.choice(as_many, as_many.size).mean()
    return found, took_s + time.perf_counter() - started


def _relevant(labels: list[Labels], query: int, other: int, level: str, relevance: str) -> bool:
    if relevance == "single-label":
        wanted = getattr(labels[query], level)
        return wanted is not None and wanted == getattr(labels[other], level)
    every = "subcategories" if level == "subcategory" else "supercategories"
    return not set(getattr(labels[query], every)).isdisjoint(getattr(labels[other], every))


def _metrics(ranked: list[bool], num_relevant: int, k: int) -> dict[str, float]:
    found, precisions, gain = 0, 0.0, 0.0
    for rank, is_relevant in enumerate(ranked, start=1):
        if is_relevant:
            found += 1
            precisions += found / rank
            gain += 1 / math.log2(rank + 1)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, num_relevant) + 1))
    return {
        f"precision@{k}": found / k,
        f"recall@{k}": found / num_relevant,
        f"mAP@{k}": precisions / num_relevant,
        f"nDCG@{k}": gain / ideal,
        f"hit rate@{k}": float(found > 0),
    }


def ours(at: Workspace, num_queries: int, k: int) -> tuple[dict[Key, float], float]:
    """The means of an evaluation, and the seconds it took."""
    started = time.perf_counter()
    document = evaluate_gallery(at, GALLERY, num_queries=num_queries, k=k).document
    took_s = time.perf_counter() - started
    means = {
        (result.level, result.relevance, name): value.mean or 0.0
        for result in document.results
        for name, value in result.metrics.items()
    }
    return means, took_s


def _largest_difference(means: dict[Key, float], values: dict[Key, list[float]]) -> float:
    assert means.keys() == values.keys()
    return max(abs(means[key] - statistics.fmean(values[key])) for key in means)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--looped", type=int, default=100, help="queries of the loop in each round but the first")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
        at = wire(load(environment, Path(folder) / "none.toml"))
        make_gallery(at, args.images, args.dim)
        report = measure(at, args)
        at.close()
    if args.output:
        args.output.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if report["reached"] else 1


def measure(at: Workspace, args: argparse.Namespace) -> dict[str, object]:
    """All rounds, printed as they come."""
    values, _ = loop(at, args.queries, args.queries, args.k)
    means, _ = ours(at, args.queries, args.k)
    difference = _largest_difference(means, values)
    print(f"{len(means)} means of {args.queries} queries differ by at most {difference:.1e}", flush=True)
    rounds = []
    for number in range(args.repeats):
        _, ours_s = ours(at, args.queries, args.k)
        rounds.append(Round(ours_s, loop(at, args.queries, args.looped, args.k)[1]))
        print(
            f"round {number + 1}: {ours_s:.2f} s for {args.queries} queries against {args.images} images "
            f"({MAX_TIMED + WARM_UP} timed searches included), the loop {rounds[-1].loop_s:.1f} s",
            flush=True,
        )
    ratio = statistics.median(one.loop_s / one.ours_s for one in rounds)
    print(f"{ratio:.1f} times the loop's speed (target: {MIN_RATIO:.0f})")
    return {
        "benchmark": "evaluation",
        "num_images": args.images,
        "num_queries": args.queries,
        "dimension": args.dim,
        "k": args.k,
        "rounds": [asdict(one) for one in rounds],
        "ratio": ratio,
        "largest_difference": difference,
        "targets": {"min_ratio": MIN_RATIO, "tolerance": TOLERANCE},
        "reached": ratio >= MIN_RATIO and difference <= TOLERANCE,
        "machine": {
            "platform": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }


if __name__ == "__main__":
    sys.exit(main())

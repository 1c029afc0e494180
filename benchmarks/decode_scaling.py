"""What scaling JPEGs while decoding saves, and what it changes.

For each resize policy, with and without scaling, through the very function that embedding uses:

* time of decoding and resizing to 224, on drawn photographs-like JPEGs of several sizes, alternating;
* the mean and largest difference of the pixels that the model gets, in grey levels;
* with ``--table`` and ``--weights``, retrieval quality: precision@4 by cosine, leave-one-out, over the photographs
  that have one label, with the 95 % bootstrap interval of the difference (scaled minus whole, by query). Scaling is
  right when every interval contains 0 or the differences are below what anybody sees.

Photographs of 320 pixels are too small to be scaled for a model that takes 224. So the quality is measured twice: on
the photographs as they are, for a model input small enough that scaling sets in (this has true detail), and on
photographs enlarged and stored again as JPEGs, for 224 (the usual input, but less detail than real large files).

    python -m benchmarks.decode_scaling [--table labels.csv --images FOLDER --weights mobilenet_v2.pth]
"""

import argparse
import io
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.evaluation.bootstrap import intervals
from lookalike.images.decode import decode_image
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.images.resize import resize_image
from lookalike.types.models import ResizePolicy

LIMITS = ImageLimits()
SIZE = 224
# Width and height of the drawn files: COCO's, a small camera's, a telephone's, and a panorama.
SHAPES = ((640, 427), (1280, 960), (3000, 2000), (4000, 700))
BATCH = 64
Prepared = Callable[[bytes, int, ResizePolicy], NDArray[np.uint8]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="a table of labelled photographs (labels.csv)")
    parser.add_argument("--images", type=Path, help="their folder; by default images beside the table")
    parser.add_argument("--model", default="mobilenet_v2", help="a classifier of torchvision")
    parser.add_argument("--weights", type=Path, help="its state dict")
    parser.add_argument("--num-photos", type=int, help="only so many of the photographs")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    result: dict[str, object] = {
        "benchmark": "decode_scaling",
        "time": [timed(shape, policy, arguments.repeats) for shape in SHAPES for policy in ResizePolicy],
    }
    if arguments.table and arguments.weights:
        result["quality"] = quality(arguments)
    result["machine"] = {
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def scaled(data: bytes, size: int, policy: ResizePolicy) -> NDArray[np.uint8]:
    return prepare(data, size=size, policy=policy, limits=LIMITS)


def whole(data: bytes, size: int, policy: ResizePolicy) -> NDArray[np.uint8]:
    image, _ = decode_image(data, LIMITS)
    return np.array(resize_image(image, size, policy))


def timed(shape: tuple[int, int], policy: ResizePolicy, repeats: int) -> dict[str, object]:
    files = [drawn(*shape, seed) for seed in range(max(2, 4_000_000 // (shape[0] * shape[1])))]
    seconds: dict[str, list[float]] = {"scaled": [], "whole": []}
    for turn in range(repeats + 1):  # the first warms up
        for name, work in (("scaled", scaled), ("whole", whole)):
            start = time.perf_counter()
            for data in files:
                work(data, SIZE, policy)
            if turn:
                seconds[name].append((time.perf_counter() - start) / len(files))
    ratios = [a / b for a, b in zip(seconds["scaled"], seconds["whole"], strict=True)]
    return {
        "pixels": f"{shape[0]}x{shape[1]}",
        "policy": policy.value,
        "scaled_ms": round(statistics.median(seconds["scaled"]) * 1e3, 2),
        "whole_ms": round(statistics.median(seconds["whole"]) * 1e3, 2),
        "scaled_over_whole": round(statistics.median(ratios), 3),
        **differences(files, SIZE, policy),
    }


def differences(files: Sequence[bytes], size: int, policy: ResizePolicy) -> dict[str, object]:
    pairs = [(scaled(data, size, policy), whole(data, size, policy)) for data in files]
    off = [np.abs(left.astype(np.int16) - right) for left, right in pairs]
    return {
        "mean_difference": round(float(np.mean([part.mean() for part in off])), 3),
        "largest_difference": int(max(part.max() for part in off)),
        "changed": sum(bool(part.any()) for part in off),
        "num_images": len(files),
    }


def drawn(width: int, height: int, seed: int) -> bytes:
    """Smooth shapes with a little grain: a file of a photograph's bytes a pixel."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = random.normal(0, 6, (height, width, 1))
    pixels = np.clip(np.asarray(smooth, np.float32) + grain, 0, 255).astype(np.uint8)
    return as_jpeg(Image.fromarray(pixels))


def as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def quality(arguments: argparse.Namespace) -> list[dict[str, object]]:
    from lookalike.galleries.csv_labels import CsvSource
    from lookalike.galleries.port import SourceImage

    source = CsvSource(arguments.table, arguments.images or arguments.table.with_name("images"))
    photos = [
        (source.read(image), image.labels.subcategory, str(image.labels.supercategory))
        for image in source.images()
        if isinstance(image, SourceImage) and image.labels.subcategory is not None
    ][: arguments.num_photos]
    source.close()
    stored = [data for data, _, _ in photos]
    labels = {
        "subcategory": np.array([sub for _, sub, _ in photos]),
        "supercategory": np.array([over for _, _, over in photos]),
    }
    embed = embedder(arguments.model, arguments.weights)
    settings = [
        ("as stored", stored, 112, ResizePolicy.LETTERBOX),
        *(("as stored", stored, 72, policy) for policy in (ResizePolicy.SQUASH, ResizePolicy.CENTER_CROP)),
        ("enlarged to 640", enlarged(stored, 640), SIZE, ResizePolicy.LETTERBOX),
    ]
    large = enlarged(stored, 1000)
    settings += [("enlarged to 1000", large, SIZE, policy) for policy in ResizePolicy]
    return [compared(name, files, size, policy, labels, embed) for name, files, size, policy in settings]


def enlarged(files: Sequence[bytes], longer: int) -> list[bytes]:
    made = []
    for data in files:
        image, (width, height) = decode_image(data, LIMITS)
        scale = longer / max(width, height)
        made.append(as_jpeg(image.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)))
    return made


def compared(
    name: str,
    files: Sequence[bytes],
    size: int,
    policy: ResizePolicy,
    labels: dict[str, NDArray[np.str_]],
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> dict[str, object]:
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    embeddings = {}
    for way, work in (("scaled", scaled), ("whole", whole)):
        embeddings[way] = embedded(files, size, policy, work, embed)
        found[way] = {level: precision_at_4(embeddings[way], of) for level, of in labels.items()}
    result: dict[str, object] = {
        "photos": name,
        "input": size,
        "policy": policy.value,
        **differences(files[::10], size, policy),
        "median_cosine": round(float(np.median((embeddings["scaled"] * embeddings["whole"]).sum(axis=1))), 5),
    }
    for level in labels:
        off_Q = found["scaled"][level] - found["whole"][level]
        (interval,) = intervals(off_Q[:, None])
        result[level] = {
            "scaled": round(float(found["scaled"][level].mean()), 4),
            "whole": round(float(found["whole"][level].mean()), 4),
            "difference": [round(value or 0.0, 4) for value in (interval.low, interval.mean, interval.high)],
        }
    return result


def embedded(
    files: Sequence[bytes],
    size: int,
    policy: ResizePolicy,
    work: Prepared,
    embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
) -> NDArray[np.float32]:
    parts = [
        embed(np.stack([work(data, size, policy) for data in files[first : first + BATCH]]))
        for first in range(0, len(files), BATCH)
    ]
    embeddings_ND = np.concatenate(parts)
    return embeddings_ND / np.linalg.norm(embeddings_ND, axis=1, keepdims=True)


def precision_at_4(embeddings_ND: NDArray[np.float32], labels_N: NDArray[np.str_]) -> NDArray[np.float64]:
    similarity_NN = embeddings_ND @ embeddings_ND.T
    np.fill_diagonal(similarity_NN, -2)
    nearest_N4 = np.argsort(-similarity_NN, axis=1, kind="stable")[:, :4]
    return np.asarray((labels_N[nearest_N4] == labels_N[:, None]).mean(axis=1))


def embedder(model: str, weights: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    import torch

    from lookalike.embedding.torchvision_import import torchvision_features

    state = torch.load(weights, weights_only=True)
    features = torchvision_features(model, state=state).eval().to(memory_format=torch.channels_last)

    def embed(images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        images_NCHW = torch.from_numpy(images_NHWC).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.inference_mode():
            return np.asarray(features(images_NCHW.contiguous(memory_format=torch.channels_last)).float())

    return embed


if __name__ == "__main__":
    main()

"""How busy a folder of JPEGs keeps the model.

Three ways through the same images, alternating, so that whatever else the machine does hits all of them:

* ``ours``: the files are read, decoded, resized, embedded, and the embeddings written to a ``.npy``;
* ``bare``: the model alone on images that lie ready in memory, at its best setting, found first among bfloat16
  with channels_last at several batch sizes, in plain torch and in the library's embedder (no ``torch.compile``);
* ``plain``: the loop of most tutorials: open, resize and embed one image after the other in float32.

Prints the medians of ours / bare (the aim: 0.85) and ours / plain (the aim: 2.5) as JSON. Weights are random:
they don't change the time.

    python -m benchmarks.embed_folder [--images FOLDER] [--model resnet18] [--repeats 7]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import describe
from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import IMAGENET_MEAN, IMAGENET_STD, export_program
from lookalike.embedding.stream import Embedded, embed_stream
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchvision_import import torchvision_features
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.types.models import ModelManifest, ResizePolicy

SIZE = 224


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; generated if not given")
    parser.add_argument("--num-images", type=int, default=320)
    parser.add_argument("--num-plain", type=int, default=32, help="images for the slow plain loop")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments, Path(folder))
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, object]:
    paths = sorted(arguments.images.glob("**/*.jpg")) if arguments.images else generate(folder, arguments.num_images)
    paths = paths[: arguments.num_images]
    torch.manual_seed(0)
    features = torchvision_features(arguments.model).eval().requires_grad_(False)
    embedder = open_embedder(features, arguments.model, folder)
    plain_model = torchvision_features(arguments.model).eval().requires_grad_(False)
    ready_NHWC = np.stack(
        [prepare(path.read_bytes(), size=SIZE, policy=ResizePolicy.LETTERBOX, limits=ImageLimits()) for path in paths]
    )

    bare_settings: dict[str, Callable[[], float]] = {
        f"embedder, batch {batch}": partial(bare_embedder, embedder, ready_NHWC, batch)
        for batch in (embedder.batch_size, 4 * embedder.batch_size)
    }
    fast_model = features.to(memory_format=torch.channels_last)
    for batch in (8, 16, 32, 64):
        bare_settings[f"torch, batch {batch}"] = partial(bare_torch, fast_model, ready_NHWC, batch)
    trials = {name: [] for name in bare_settings}
    for _ in range(3):  # the first round also warms up
        for name, trial in bare_settings.items():
            trials[name].append(trial())
    best = max(trials, key=lambda name: max(trials[name][1:]))

    ours_rate, bare_rate, plain_rate, over_bare, over_plain = [], [], [], [], []
    for _ in range(arguments.repeats):
        before = bare_settings[best]()
        ours = through_folder(embedder, paths, folder / "embeddings.npy")
        after = bare_settings[best]()
        plain = plain_loop(plain_model, paths[: arguments.num_plain])
        ours_rate.append(ours)
        bare_rate.append((before + after) / 2)
        plain_rate.append(plain)
        over_bare.append(ours / bare_rate[-1])
        over_plain.append(ours / plain)
    embedder.close()
    return {
        "benchmark": "embed_folder",
        "model": arguments.model,
        "num_images": len(paths),
        "mean_file_bytes": round(statistics.mean(path.stat().st_size for path in paths)),
        "bare_setting": best,
        "bare_settings_images_per_s": {name: round(max(rates[1:]), 1) for name, rates in trials.items()},
        "images_per_s": {
            "ours": round(statistics.median(ours_rate), 1),
            "bare": round(statistics.median(bare_rate), 1),
            "plain": round(statistics.median(plain_rate), 1),
        },
        "ours_over_bare": round(statistics.median(over_bare), 3),
        "ours_over_bare_all": [round(ratio, 3) for ratio in over_bare],
        "ours_over_plain": round(statistics.median(over_plain), 2),
        "ours_over_plain_all": [round(ratio, 2) for ratio in over_plain],
        "targets": {"ours_over_bare": 0.85, "ours_over_plain": 2.5},
        "precision": embedder.precision,
        "machine": describe("torch", "numpy", "pillow", "simplejpeg"),
    }


def open_embedder(features: torch.nn.Module, name: str, folder: Path) -> TorchEmbedder:
    program, dimension = export_program(features, SIZE)
    manifest = ModelManifest(
        name=name, dimension=dimension, input_size=SIZE, resize_policy=ResizePolicy.LETTERBOX, digest=""
    )
    write_archive(folder / "model.mar", program, manifest)
    return TorchEmbedder(folder / "model.mar")


def through_folder(embedder: TorchEmbedder, paths: list[Path], target: Path) -> float:
    start = time.perf_counter()
    parts = []
    for outcome in embed_stream(paths, Path.read_bytes, embedder):
        assert isinstance(outcome, Embedded), outcome
        parts.append(outcome.embeddings_ND)
    np.save(target, np.concatenate(parts))
    return len(paths) / (time.perf_counter() - start)


def bare_embedder(embedder: TorchEmbedder, ready_NHWC: NDArray[np.uint8], batch: int) -> float:
    start = time.perf_counter()
    for first in range(0, len(ready_NHWC), batch):
        embedder.embed(ready_NHWC[first : first + batch])
    return len(ready_NHWC) / (time.perf_counter() - start)


def bare_torch(model: torch.nn.Module, ready_NHWC: NDArray[np.uint8], batch: int) -> float:
    images_NCHW = torch.from_numpy(ready_NHWC).permute(0, 3, 1, 2)
    batches = [(part / 255 - 0.45).contiguous(memory_format=torch.channels_last) for part in images_NCHW.split(batch)]
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    start = time.perf_counter()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for part in batches:
            model(part)
    return len(ready_NHWC) / (time.perf_counter() - start)


def plain_loop(model: torch.nn.Module, paths: list[Path]) -> float:
    mean, std = np.float32(IMAGENET_MEAN), np.float32(IMAGENET_STD)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    embeddings = []
    start = time.perf_counter()
    with torch.no_grad():
        for path in paths:
            image = Image.open(path).convert("RGB").resize((SIZE, SIZE))
            pixels = (np.asarray(image, np.float32) / 255 - mean) / std
            embeddings.append(model(torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous())[0].numpy())
    return len(embeddings) / (time.perf_counter() - start)


def generate(folder: Path, count: int) -> list[Path]:
    """Smooth noise with a little grain at 640 x 427: files of a photograph's size and decoding time."""
    random = np.random.default_rng(0)
    paths = []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (27, 40, 3), np.uint8)).resize((640, 427), Image.BICUBIC)
        grain = random.normal(0, 6, (427, 640, 1))
        pixels = np.clip(np.asarray(coarse, np.float32) + grain, 0, 255).astype(np.uint8)
        paths.append(folder / f"{number:05}.jpg")
        Image.fromarray(pixels).save(paths[-1], quality=90)
    return paths


if __name__ == "__main__":
    main()

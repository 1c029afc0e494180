"""Writes the demo gallery to disk: JPEG files beside a COCO annotation file, complete or not at all."""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lookalike.errors import InvalidRequest
from lookalike.galleries.demo.annotations import DrawnImage, DrawnObject, write_annotations
from lookalike.galleries.demo.compose import compose

DRAWING_VERSION = 1
"""Part of the folder's name; to be raised when any picture would come out different."""

MAX_IMAGES = 100_000
_CHUNK = 16
_STALE_AFTER_S = 3600.0


@dataclass(frozen=True)
class DemoGallery:
    """Where a generated gallery is: an annotation file and the folder of its images, as with COCO itself."""

    annotations: Path
    images: Path
    num_images: int


def generate(
    root: Path,
    *,
    num_images: int = 960,
    seed: int = 2021,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> DemoGallery:
    """Draws the gallery of ``seed`` into a folder of its own below ``root``, or finds it there.

    Picture i (with the same Pillow and NumPy) has the same bytes whatever ``num_images`` and ``workers`` are;
    every 30 consecutive ones show each category once as their most frequent object. The folder is named after
    seed, number and version of the drawings, so that galleries never mix, and appears when all of it is
    written. A second call returns at once.

    Args:
        root: created when it does not exist.
        num_images: 1 to 100,000.
        workers: processes that draw; by default one for each core, and 1 below 2,000 images. 1 draws in this
            process; with more, as with every process pool, a calling script needs its ``__main__`` guard.
        progress: called with (images drawn, num_images), rising, in this process.

    Raises:
        InvalidRequest: a number is out of range.
    """
    if not 1 <= num_images <= MAX_IMAGES:
        raise InvalidRequest(f"num_images must be 1 to {MAX_IMAGES}, not {num_images}", num_images=num_images)
    if workers is not None and workers < 1:
        raise InvalidRequest(f"workers must be at least 1, not {workers}", workers=workers)
    name = f"demo-v{DRAWING_VERSION}-seed{seed}-{num_images}"
    folder = root / name
    gallery = DemoGallery(folder / "annotations" / "instances_demo.json", folder / "images", num_images)
    if folder.is_dir():
        return gallery
    with _hidden_folder(root, name) as hidden:
        _draw_all(hidden, num_images, seed, workers or _default_workers(num_images), progress)
        _publish(hidden, folder)
    return gallery


def _draw_all(
    folder: Path, num_images: int, seed: int, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    images, annotations = folder / "images", folder / "annotations"
    images.mkdir()
    annotations.mkdir()
    chunks = [range(start, min(start + _CHUNK, num_images)) for start in range(0, num_images, _CHUNK)]
    drawn: list[DrawnImage] = []
    draw = partial(_draw_chunk, str(images), seed)
    # Closed, so that no process still draws into a folder that is being removed.
    with closing(_map(draw, chunks, workers)) as results:
        for finished in results:
            drawn += finished
            if progress is not None:
                progress(len(drawn), num_images)
    write_annotations(annotations / "instances_demo.json", drawn, seed=seed)


def _map(
    draw: Callable[[range], list[DrawnImage]], chunks: list[range], workers: int
) -> Generator[list[DrawnImage], None, None]:
    if workers == 1:
        yield from map(draw, chunks)
        return
    # Not forked: the calling process may have started threads, of torch or OpenMP, that a fork would break.
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(draw, chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_chunk(images: str, seed: int, numbers: range) -> list[DrawnImage]:
    return [_draw_one(Path(images), seed, number) for number in numbers]


def _draw_one(images: Path, seed: int, number: int) -> DrawnImage:
    picture = compose(seed, number)
    file_name = f"{number + 1:012d}.jpg"
    picture.image.save(images / file_name, quality=picture.jpeg_quality)
    width, height = picture.image.size
    objects = tuple(DrawnObject(one.category.category_id, one.box, one.area) for one in picture.objects)
    return DrawnImage(number + 1, file_name, width, height, objects)


def _default_workers(num_images: int) -> int:
    # Below this, starting processes and importing the caller's main module again gains next to nothing.
    return 1 if num_images < 2000 else os.cpu_count() or 1


@contextmanager
def _hidden_folder(root: Path, name: str) -> Iterator[Path]:
    """A temporary folder beside the final one, gone afterwards whatever happened."""
    root.mkdir(parents=True, exist_ok=True)
    for old in root.glob(f".{name}-*"):  # of processes that were killed
        if time.time() - old.stat().st_mtime > _STALE_AFTER_S:
            shutil.rmtree(old, ignore_errors=True)
    hidden = Path(tempfile.mkdtemp(dir=root, prefix=f".{name}-"))
    try:
        yield hidden
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _publish(hidden: Path, folder: Path) -> None:
    hidden.chmod(0o755)  # temporary folders are their owner's alone
    try:
        hidden.rename(folder)
    except OSError:
        # Another process drew the same gallery meanwhile: its pictures are these.
        if not folder.is_dir():
            raise

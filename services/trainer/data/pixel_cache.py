"""Decoded pixels on the disk: a folder per set of images, complete or not there.

Shape suffixes: N images, S side of the square, C channels.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.cores import available_cores
from lookalike.errors import DamagedArtifact, ErrorKind, LookalikeError
from lookalike.galleries.port import GallerySource, SourceImage
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.pipeline.ordered import map_ordered
from lookalike.types.models import ResizePolicy
from services.trainer.data.scratch import scratch

_PIXELS, _LIST = "pixels.npy", "images.json"
_PREPARED_BY = ("pillow", "simplejpeg")  # decode and resize: another version may give other pixels


@dataclass(frozen=True)
class LoadFailure:
    """An image that could not be read or decoded: its key, and the code and the message of the error."""

    key: str
    code: str
    reason: str


@dataclass(frozen=True)
class Pixels:
    """``images_NSSC`` uint8 are those of the wanted images at ``rows``, ascending; ``sha256s`` are of their bytes."""

    images_NSSC: NDArray[np.uint8]
    rows: tuple[int, ...]
    sha256s: tuple[str, ...]
    failures: tuple[LoadFailure, ...]


_Decoded: TypeAlias = tuple[str, NDArray[np.uint8]] | LoadFailure


@dataclass(frozen=True)
class PixelCache:
    """The squares of ``side`` pixels that were decoded into ``folder``, under the digest of what they were made from.

    ``workers`` None is one thread more than there are cores.
    """

    folder: Path
    side: int
    policy: ResizePolicy
    limits: ImageLimits
    workers: int | None = None

    def load(self, source: GallerySource, images: Sequence[SourceImage]) -> Pixels:
        """The pixels of ``images``, decoded unless they have been. Raises DamagedArtifact for a spoiled cache."""
        workers = self.workers or available_cores() + 1
        with ThreadPoolExecutor(workers, "decode") as pool:
            place = self.folder / self._digest(source, images, pool, workers)
            if not place.exists():
                self._make(place, source, images, pool, workers)
        return _opened(place, images, self.side)

    def _digest(
        self, source: GallerySource, images: Sequence[SourceImage], pool: ThreadPoolExecutor, workers: int
    ) -> str:
        """Names what goes into the pixels; images without a stamp are read for it, and only those."""

        def state(image: SourceImage) -> str:
            if image.stamp is not None:
                return f"stamp {image.stamp}"
            try:
                return hashlib.sha256(source.read(image)).hexdigest()
            except LookalikeError as error:
                if error.kind is ErrorKind.UNAVAILABLE:
                    raise
                return f"failed {error.code}"

        limits = [self.limits.max_bytes, self.limits.max_pixels]
        prepared_by = {name: version(name) for name in _PREPARED_BY}
        digest = hashlib.sha256(
            json.dumps([source.description, self.side, self.policy.value, limits, prepared_by]).encode()
        )
        for image, said in map_ordered(pool, state, images, window=4 * workers):
            digest.update(json.dumps([image.key, said]).encode() + b"\n")
        return digest.hexdigest()

    def _make(
        self,
        place: Path,
        source: GallerySource,
        images: Sequence[SourceImage],
        pool: ThreadPoolExecutor,
        workers: int,
    ) -> None:
        def decode(image: SourceImage) -> _Decoded:
            try:
                data = source.read(image)
                pixels_SSC = prepare(data, size=self.side, policy=self.policy, limits=self.limits)
            except LookalikeError as error:
                if error.kind is ErrorKind.UNAVAILABLE:
                    raise
                return LoadFailure(image.key, error.code, error.message)
            return hashlib.sha256(data).hexdigest(), pixels_SSC

        with scratch(self.folder) as partial:
            sha256s: list[str | None] = []
            failures: list[LoadFailure] = []
            with (partial / _PIXELS).open("wb") as file:
                # The header has room for a smaller number: numpy pads it so that its first axis may change in place.
                _write_header(file.write, len(images), self.side)
                for _, decoded in map_ordered(pool, decode, images, window=4 * workers):
                    if isinstance(decoded, LoadFailure):
                        failures.append(decoded)
                        sha256s.append(None)
                    else:
                        sha256s.append(decoded[0])
                        file.write(decoded[1].tobytes())
                file.seek(0)
                _write_header(file.write, len(images) - len(failures), self.side)
                file.flush()
                os.fsync(file.fileno())
            with (partial / _LIST).open("w", encoding="utf-8") as text:
                json.dump({"sha256s": sha256s, "failures": [vars(failure) for failure in failures]}, text)
                text.flush()
                os.fsync(text.fileno())
            try:
                partial.rename(place)
            except OSError:
                if not place.is_dir():  # unless another process was faster
                    raise


def _opened(place: Path, images: Sequence[SourceImage], side: int) -> Pixels:
    try:
        said = json.loads((place / _LIST).read_text(encoding="utf-8"))
        sha256s: list[str | None] = said["sha256s"]
        rows = tuple(row for row, sha256 in enumerate(sha256s) if sha256 is not None)
        if rows:
            images_NSSC = np.load(place / _PIXELS, mmap_mode="r", allow_pickle=False)
        else:  # nothing can be mapped of an empty file
            images_NSSC = np.zeros((0, side, side, 3), np.uint8)
        if len(sha256s) != len(images) or images_NSSC.shape != (len(rows), side, side, 3):
            raise ValueError(f"it holds {images_NSSC.shape} for {len(images)} images")
        failures = tuple(LoadFailure(**failure) for failure in said["failures"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedArtifact(f"the decoded images in {place} are damaged, remove them: {error}") from error
    return Pixels(images_NSSC, rows, tuple(sha256 for sha256 in sha256s if sha256 is not None), failures)


def _write_header(write: Callable[[bytes], object], num_images: int, side: int) -> None:
    header = io.BytesIO()
    shape = (num_images, side, side, 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    write(header.getvalue())

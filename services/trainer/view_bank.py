"""Views of the training photographs with what the teacher says of them, on disk.

One part per view of every photograph, made when it is first needed and kept: a run that goes on, and the next run
with the same teacher, data and views, find it there. A part is complete or not there; of several processes that need
it, one makes it and the others wait.

Shape suffixes: M photographs, S side of the photographs, V side of the student's input, K dimension of the targets.
"""

import fcntl
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lookalike.errors import DamagedArtifact
from services.trainer.config import TeacherConfig
from services.trainer.teacher import Teacher, fit_reduction
from services.trainer.views import draw_views
from services.trainer.whitening import Projection

_BATCH = 64


@dataclass(frozen=True)
class Part:
    """One view of each photograph: uint8 ``[M, V, V, 3]`` and float16 ``[M, K]`` or ``[M, K, H, W]``, memory-mapped."""

    pixels_MVVC: NDArray[np.uint8]
    targets: NDArray[np.float16]


class ViewBank:
    """The parts below ``folder``, for one teacher (named by ``teacher_digest``), seed, configuration and photographs.

    ``data_digest`` names the photographs in their order. Raises DamagedArtifact for a part that is not of them.
    """

    def __init__(
        self,
        folder: Path,
        photographs_MSSC: NDArray[np.uint8],
        *,
        data_digest: str,
        teacher: Callable[[], Teacher],
        teacher_digest: str,
        config: TeacherConfig,
        side: int,
        seed: int,
    ) -> None:
        self._photographs = photographs_MSSC
        self._open_teacher = teacher
        self._teacher: Teacher | None = None
        self._config = config
        self._side = side
        self._seed = seed
        # What a part depends on; not on how many there are.
        said = config.model_dump(mode="json", exclude={"views_per_image", "model"})
        text = json.dumps([data_digest, teacher_digest, said, side, seed], sort_keys=True)
        self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:32]
        self._parts: dict[int, Part] = {}
        self._reduction: Projection | None = None

    def part(self, number: int, report: Callable[[int, int], None] = lambda done, total: None) -> Part:
        """Part ``number``, made if it is not there; ``report`` gets how many views of how many are done."""
        if number not in self._parts:
            folder = self._folder / f"part-{number:04d}"
            if not folder.is_dir():
                self._make(number, folder, report)
            self._parts[number] = self._opened(folder)
        return self._parts[number]

    def _opened(self, folder: Path) -> Part:
        try:
            part = Part(
                np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False),
                np.load(folder / "targets.npy", mmap_mode="r", allow_pickle=False),
            )
            if not len(part.pixels_MVVC) == len(part.targets) == len(self._photographs):
                raise ValueError(f"{len(part.pixels_MVVC)} views for {len(self._photographs)} photographs")
        except (OSError, EOFError, ValueError) as error:
            raise DamagedArtifact(f"the views in {folder} are damaged, remove them: {error}"[:400]) from error
        return part

    def _make(self, number: int, folder: Path, report: Callable[[int, int], None]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():  # unless another process was faster
                self._draw(number, folder, report)

    def _draw(self, number: int, folder: Path, report: Callable[[int, int], None]) -> None:
        teacher, reduction = self._ready()
        num_photographs = len(self._photographs)
        partial = folder.with_name(f".making-{folder.name}")
        shutil.rmtree(partial, ignore_errors=True)  # what a killed process left
        partial.mkdir()
        try:
            pixels = np.lib.format.open_memmap(
                partial / "pixels.npy", "w+", np.uint8, (num_photographs, self._side, self._side, 3)
            )
            targets = None
            for start in range(0, num_photographs, _BATCH):
                rows = np.arange(start, min(start + _BATCH, num_photographs))
                views = draw_views(
                    self._photographs, rows, teacher.input_size, self._config.views, (self._seed, number, start)
                )
                reduced = teacher.reduced(views.numpy(), reduction)
                if targets is None:
                    shape = (num_photographs, *reduced.shape[1:])
                    targets = np.lib.format.open_memmap(partial / "targets.npy", "w+", np.float16, shape)
                targets[rows] = reduced
                pixels[rows] = _smaller(views, self._side)
                report(int(rows[-1]) + 1, num_photographs)
            pixels.flush()
            if targets is not None:
                targets.flush()
            del pixels, targets
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _ready(self) -> tuple[Teacher, Projection]:
        if self._teacher is None:
            self._teacher = self._open_teacher()
        if self._reduction is None:
            self._reduction = self._fitted(self._teacher)
        return self._teacher, self._reduction

    def _fitted(self, teacher: Teacher) -> Projection:
        path = self._folder / "reduction.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as stored:
                return Projection(stored["mean_D"], stored["matrix_DK"])
        resized = _in_batches(self._photographs, teacher.input_size)
        reduction = fit_reduction(teacher, resized, self._config.dimension, self._config.whiten)
        partial = path.with_name(f".{uuid.uuid4().hex}.npz")
        np.savez(partial, mean_D=reduction.mean_D, matrix_DK=reduction.matrix_DK)
        partial.replace(path)
        return reduction


def _in_batches(photographs_MSSC: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """All photographs at the teacher's input size, uint8 ``[M, side, side, 3]``."""
    if photographs_MSSC.shape[1] == side:
        return photographs_MSSC
    resized = np.empty((len(photographs_MSSC), side, side, 3), np.uint8)
    for start in range(0, len(photographs_MSSC), _BATCH):
        resized[start : start + _BATCH] = _smaller(
            torch.from_numpy(photographs_MSSC[start : start + _BATCH].copy()), side
        )
    return resized


def _smaller(images_NHWC: torch.Tensor, side: int) -> NDArray[np.uint8]:
    """uint8 images at another size, by area where they shrink."""
    if images_NHWC.shape[1] == side:
        return np.asarray(images_NHWC.numpy())
    resized = functional.interpolate(
        images_NHWC.permute(0, 3, 1, 2).float(), (side, side), mode="bilinear", antialias=True, align_corners=False
    )
    return np.asarray(resized.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy())

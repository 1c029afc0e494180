"""What a step is trained on: batches by row, from labelled images or from a teacher's views of them.

Shape suffixes: B images of a batch, N training images, S side of the network's input.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from services.trainer.config import DataConfig
from services.trainer.data.augment import augment
from services.trainer.data.batches import epoch_rows
from services.trainer.objectives import Batch
from services.trainer.view_bank import ViewBank
from services.trainer.views import ViewConfig, draw_views

Rows = NDArray[np.int64]


class TrainingData(Protocol):
    """Batches that follow from the seed, the epoch and the step alone."""

    def epoch(self, epoch: int, batch_size: int) -> Sequence[Rows]:
        """The rows of every step of an epoch, over all ranks; may take long where views are to be made."""
        ...

    def batch(self, rows_B: Rows, epoch: int, step: int) -> Batch:
        """The images in these rows; the same for the same arguments."""
        ...


class LabelledData:
    """Training rows of labelled images, mirrored and cropped as the configuration says."""

    def __init__(
        self,
        images_NSSC: NDArray[np.uint8],
        codes_N: NDArray[np.int64],
        rows: Rows,
        config: DataConfig,
        seed: int,
    ) -> None:
        self._images, self._codes, self._rows, self._config, self._seed = images_NSSC, codes_N, rows, config, seed

    def epoch(self, epoch: int, batch_size: int) -> Sequence[Rows]:
        balance = "none" if self._config.balance == "loss" else self._config.balance
        return epoch_rows(
            self._rows,
            self._codes,
            batch_size=batch_size,
            seed=self._seed,
            epoch=epoch,
            balance=balance,
            images_per_class=self._config.images_per_class,
        )

    def batch(self, rows_B: Rows, epoch: int, step: int) -> Batch:
        images_BSSC = torch.from_numpy(np.ascontiguousarray(self._images[rows_B]))
        images_BSSC = augment(
            images_BSSC,
            rows_B,
            mirrored=self._config.mirrored,
            crop_area=self._config.crop_area,
            seed=self._seed,
            epoch=epoch,
            step=step,
        )
        return Batch(images_BSSC, torch.from_numpy(self._codes[rows_B]), torch.from_numpy(rows_B), None)


class TaughtData:
    """A teacher's views of photographs: epoch e trains on part e of the bank, from the first again after the last.

    A view and its map are mirrored together for half of the steps.
    """

    def __init__(
        self,
        bank: ViewBank,
        codes_N: NDArray[np.int64],
        *,
        num_parts: int,
        seed: int,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._bank, self._codes, self._num_parts, self._seed, self._report = bank, codes_N, num_parts, seed, report

    def epoch(self, epoch: int, batch_size: int) -> Sequence[Rows]:
        self._bank.part(epoch % self._num_parts, self._report)
        rows = np.arange(len(self._codes))
        return epoch_rows(rows, self._codes, batch_size=batch_size, seed=self._seed, epoch=epoch, balance="none")

    def batch(self, rows_B: Rows, epoch: int, step: int) -> Batch:
        part = self._bank.part(epoch % self._num_parts)
        images_BSSC = torch.from_numpy(part.pixels_MVVC[rows_B])
        targets = torch.from_numpy(part.targets[rows_B])
        if np.random.default_rng((self._seed, epoch, step)).random() < 0.5:
            images_BSSC = images_BSSC.flip(2)
            targets = targets.flip(3) if targets.ndim == 4 else targets
        return Batch(images_BSSC, torch.from_numpy(self._codes[rows_B]), torch.from_numpy(rows_B), targets)


class FreshViews:
    """Views of photographs that are drawn anew in every step, uint8; ``side`` gives their side in each epoch."""

    def __init__(
        self,
        photographs_NSSC: NDArray[np.uint8],
        codes_N: NDArray[np.int64],
        config: ViewConfig,
        seed: int,
        side: Callable[[int], int],
    ) -> None:
        self._photographs, self._codes, self._config, self._seed = photographs_NSSC, codes_N, config, seed
        self._side = side

    def epoch(self, epoch: int, batch_size: int) -> Sequence[Rows]:
        rows = np.arange(len(self._codes))
        return epoch_rows(rows, self._codes, batch_size=batch_size, seed=self._seed, epoch=epoch, balance="none")

    def batch(self, rows_B: Rows, epoch: int, step: int) -> Batch:
        seed = (self._seed, epoch, step, int(rows_B[0]))  # the ranks and parts of one step draw different views
        views_BSSC = draw_views(self._photographs, rows_B, self._side(epoch), self._config, seed)
        return Batch(views_BSSC, torch.from_numpy(self._codes[rows_B]), torch.from_numpy(rows_B), None)

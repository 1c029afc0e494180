"""The projection that an archive will hold: principal components of the training images' embeddings."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.config import TrainConfig
from services.trainer.dataset import Dataset
from services.trainer.run_folder import RunFolder
from services.trainer.whitening import Projection, fit_pca

_MAX_IMAGES = 20_000


def check_projection(config: TrainConfig, network: nn.Module, dataset: Dataset) -> None:
    """Raises InvalidRequest for one that could not be made of the trained network: better now than then."""
    wanted, dimension = config.export.projection, int(getattr(network, "dimension", 0))
    most = min(dimension, len(dataset.train_rows) - 1)
    if wanted is not None and wanted > most:
        raise InvalidRequest(
            f"export.projection is at most {most} here ({len(dataset.train_rows)} training images, embeddings of "
            f"dimension {dimension}), not {wanted}",
            projection=wanted,
        )


def fit_projection(
    config: TrainConfig, dataset: Dataset, embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
) -> Projection:
    """The principal components of what ``embed`` gives for the training images, or for a seeded sample of them."""
    assert config.export.projection is not None  # noqa: S101 for the type checker
    rows = dataset.train_rows
    if len(rows) > _MAX_IMAGES:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, _MAX_IMAGES, replace=False))
    return fit_pca(embed(dataset.images.images_NSSC[rows]), config.export.projection, whiten=config.export.whiten)


def write_projection(run: RunFolder, projection: Projection) -> None:
    """Keeps the projection that the archive will hold, complete or not at all."""
    partial = run.projection.with_name("partial.npz")
    np.savez(partial, mean_D=projection.mean_D, matrix_DK=projection.matrix_DK)
    partial.replace(run.projection)

"""Fewer dimensions, and more even ones: PCA with fractional whitening, to be part of a model archive.

Shape suffixes: N embeddings, D their dimension, K the dimension kept.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lookalike.errors import InvalidRequest

# Directions with less than this share of the first one's deviation are stretched no further: they are noise.
_MIN_SHARE = 1e-3
_MIN_LENGTH = 1e-12


@dataclass(frozen=True)
class Projection:
    """``(x / |x| - mean_D) @ matrix_DK``, both float32."""

    mean_D: NDArray[np.float32]
    matrix_DK: NDArray[np.float32]

    def __call__(self, embeddings_ND: NDArray[np.floating]) -> NDArray[np.float32]:
        """The projected embeddings, float32 ``[N, K]`` of length 1, computed in float64.

        Zero vectors stay zero before the mean is taken away, as they do in :func:`with_projection`.
        """
        projected_NK = (_unit(embeddings_ND.astype(np.float64)) - self.mean_D) @ self.matrix_DK.astype(np.float64)
        return _unit(projected_NK).astype(np.float32)


def fit_pca(embeddings_ND: NDArray[np.floating], dimension: int, *, whiten: float = 0.0) -> Projection:
    """The ``dimension`` principal components of the embeddings' directions, strongest first.

    Each component is divided by its standard deviation to the power ``whiten``: 0 is a rotation, 1 gives all
    components the variance 1 (Jégou and Chum, Negative evidences and co-occurrences in image retrieval: the
    benefit of PCA and whitening, ECCV 2012, section 3; the power is between their two cases). Rows are brought to
    length 1 first. Of the two signs of a component, the one that makes its largest entry positive is taken, so
    the same embeddings give the same projection.

    Raises InvalidRequest for a dimension that N or D does not allow, or ``whiten`` outside 0 to 1.
    """
    num_embeddings, full_dimension = embeddings_ND.shape
    if not 1 <= dimension <= min(num_embeddings - 1, full_dimension):
        raise InvalidRequest(
            f"{num_embeddings} embeddings of dimension {full_dimension} have no {dimension} principal components",
            dimension=dimension,
        )
    if not 0 <= whiten <= 1:
        raise InvalidRequest(f"whiten must be from 0 to 1, not {whiten}", whiten=whiten)
    unit_ND = _unit(embeddings_ND.astype(np.float64))
    if not np.isfinite(unit_ND).all():
        raise InvalidRequest("the embeddings hold NaN or infinity")
    mean_D = unit_ND.mean(axis=0)
    centred_ND = unit_ND - mean_D
    variances, vectors = np.linalg.eigh(centred_ND.T @ centred_ND / num_embeddings)
    deviations_K = np.sqrt(np.maximum(variances[::-1][:dimension], 0))
    matrix_DK = vectors[:, ::-1][:, :dimension]
    if deviations_K[0] < _MIN_LENGTH:
        raise InvalidRequest("all embeddings are alike: they have no principal components")
    largest_K = np.abs(matrix_DK).argmax(axis=0)
    matrix_DK = matrix_DK * np.sign(matrix_DK[largest_K, np.arange(dimension)])
    matrix_DK = matrix_DK / np.maximum(deviations_K, _MIN_SHARE * deviations_K[0]) ** whiten
    return Projection(mean_D.astype(np.float32), matrix_DK.astype(np.float32))


def with_projection(features: nn.Module, projection: Projection) -> nn.Module:
    """``features``, flattened, then projected as :class:`Projection` does, but not brought to length 1 again.

    Its matrix is the weight of a linear layer, so an archive with half weights holds it as float16.
    """
    return _Projected(features, projection)


class _Projected(nn.Module):
    mean_D: torch.Tensor

    def __init__(self, features: nn.Module, projection: Projection) -> None:
        super().__init__()
        full_dimension, dimension = projection.matrix_DK.shape
        self.features = features
        self.register_buffer("mean_D", torch.from_numpy(projection.mean_D.copy()))
        self.matrix = nn.Linear(full_dimension, dimension, bias=False)
        with torch.no_grad():
            self.matrix.weight.copy_(torch.from_numpy(projection.matrix_DK.T.copy()))

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        features_ND = self.features(images_NCHW).flatten(1).to(torch.float32)
        unit_ND = nn.functional.normalize(features_ND, dim=1, eps=_MIN_LENGTH)
        # The mean first: its product with the matrix can be larger than what is left, and would round it away.
        projected_NK: torch.Tensor = self.matrix(unit_ND - self.mean_D)
        return projected_NK


def _unit(embeddings_ND: NDArray[np.float64]) -> NDArray[np.float64]:
    unit_ND: NDArray[np.float64] = embeddings_ND / np.maximum(
        np.linalg.norm(embeddings_ND, axis=1, keepdims=True), _MIN_LENGTH
    )
    return unit_ND

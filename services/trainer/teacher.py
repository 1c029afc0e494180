"""A model archive as the teacher: its embeddings, reduced to what a student learns.

Shape suffixes: N images, S side of the teacher's input, D dimension of its archive's embedding, C channels of its
map, H and W the map's height and width, P = H x W places, K reduced dimension.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.port import Embedder
from lookalike.errors import InvalidRequest
from services.trainer.whitening import Projection, fit_pca


class Teacher:
    """An archive, read as one embedding per image or, with ``map_channels``, as a map per image.

    Raises InvalidRequest where the archive's embedding is no square map with so many channels.
    """

    def __init__(self, embedder: Embedder, map_channels: int | None) -> None:
        self._embedder = embedder
        self._channels = map_channels
        dimension = embedder.manifest.dimension
        num_places = 1 if map_channels is None else dimension // map_channels
        self._side = math.isqrt(num_places)
        if map_channels is not None and map_channels * self._side**2 != dimension:
            raise InvalidRequest(
                f"the embedding of {embedder.manifest.name} has dimension {dimension}, which is no square map with "
                f"{map_channels} channels: import the teacher --flattened, or leave teacher.map_channels out",
                dimension=dimension,
                map_channels=map_channels,
            )

    @property
    def input_size(self) -> int:
        return self._embedder.manifest.input_size

    @property
    def map_side(self) -> int | None:
        """H = W of its map; None for one that gives embeddings."""
        return None if self._channels is None else self._side

    def embeddings(self, images_NSSC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """float32 ``[N, C]`` or ``[N, D]`` of length 1: what the principal components are fitted on."""
        places_NPC = self._places(images_NSSC)
        return np.asarray(places_NPC.mean(axis=1))

    def reduced(self, images_NSSC: NDArray[np.uint8], projection: Projection) -> NDArray[np.float32]:
        """float32 ``[N, K]``, or maps ``[N, K, H, W]`` whose mean over the places is that."""
        places_NPC = self._places(images_NSSC)
        reduced_NPK = (places_NPC - projection.mean_D) @ projection.matrix_DK
        if self._channels is None:
            return np.asarray(reduced_NPK[:, 0], np.float32)
        num_images, _, dimension = reduced_NPK.shape
        maps_NKHW = reduced_NPK.transpose(0, 2, 1).reshape(num_images, dimension, self._side, self._side)
        return np.asarray(maps_NKHW, np.float32)

    def _places(self, images_NSSC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``[N, P, C]``, scaled so that the mean over the places has length 1."""
        embeddings_ND = self._embedder.embed(images_NSSC)
        if self._channels is None:
            return embeddings_ND[:, None]
        places_NPC = embeddings_ND.reshape(len(embeddings_ND), self._channels, self._side**2).transpose(0, 2, 1)
        length_N1 = np.linalg.norm(places_NPC.mean(axis=1), axis=1, keepdims=True)
        return np.asarray(places_NPC / np.maximum(length_N1, 1e-12)[:, None], np.float32)


def fit_reduction(teacher: Teacher, images_NSSC: NDArray[np.uint8], dimension: int, whiten: float) -> Projection:
    """The principal components of the teacher's embeddings of ``images_NSSC``. Raises InvalidRequest for too few."""
    embeddings_ND = np.concatenate(
        [teacher.embeddings(images_NSSC[i : i + 256]) for i in range(0, len(images_NSSC), 256)]
    )
    return fit_pca(embeddings_ND, dimension, whiten=whiten)

"""The embedder: uint8 images in, L2-normalised float32 embeddings out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.runtime import Runtime
from lookalike.types.models import ModelManifest


class Embedder(Protocol):
    """One loaded model.

    Safe to call from several threads (calls may wait for each other). For one setting (batch size, precision,
    threads) the same batch gives the same embeddings.
    """

    @property
    def manifest(self) -> ModelManifest: ...

    @property
    def batch_size(self) -> int:
        """The number of images per call at which this embedder is fastest; others work too."""
        ...

    @property
    def runtime(self) -> Runtime:
        """How it computes, which is kept beside the embeddings and is not part of what they are called."""
        ...

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 ``[N, S, S, 3]`` RGB, prepared by the manifest's resize policy -> float32 ``[N, D]``.

        S is ``manifest.input_size``, D is ``manifest.dimension``; N may be 0. Every row has length 1 within
        1e-3. Raises InvalidRequest for another shape or dtype, DependencyUnavailable when a remote embedder
        does not answer.
        """
        ...

    def close(self) -> None: ...

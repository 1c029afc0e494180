"""An embedder under the name and version that the catalog gave its model."""

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.port import Embedder
from lookalike.types.models import ModelManifest


class NamedEmbedder:
    """``inner`` with the catalog's manifest, which has the version that an archive cannot know."""

    def __init__(self, inner: Embedder, manifest: ModelManifest) -> None:
        self._inner = inner
        self._manifest = manifest

    @property
    def manifest(self) -> ModelManifest:
        return self._manifest

    @property
    def batch_size(self) -> int:
        return self._inner.batch_size

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._inner.embed(images_NHWC)

    def close(self) -> None:
        self._inner.close()

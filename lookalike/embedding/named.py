"""Embedders as the catalog knows their models: under its name and version, and before they are opened."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.port import Embedder
from lookalike.embedding.runtime import Runtime
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

    @property
    def runtime(self) -> Runtime:
        return self._inner.runtime

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._inner.embed(images_NHWC)

    def close(self) -> None:
        self._inner.close()


class DeferredEmbedder:
    """The embedder of ``manifest``, opened at the first question that the manifest cannot answer.

    A run that finds everything embedded then opens no model. Closing it is left to whoever ``open_embedder``
    belongs to, and so are its errors: they come from the first use.
    """

    def __init__(self, manifest: ModelManifest, open_embedder: Callable[[], Embedder]) -> None:
        self._manifest = manifest
        self._open = open_embedder

    @property
    def manifest(self) -> ModelManifest:
        return self._manifest

    @property
    def batch_size(self) -> int:
        return self._opened.batch_size

    @property
    def runtime(self) -> Runtime:
        return self._opened.runtime

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._opened.embed(images_NHWC)

    def close(self) -> None:
        """Nothing is held open by this one."""

    @cached_property
    def _opened(self) -> Embedder:
        return self._open()

"""The query images of many searches: each fetched and decoded once, and embedded once for each model."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.port import Embedder
from lookalike.errors import LookalikeError
from lookalike.images.prepare import prepare
from lookalike.pipeline.search import QueryParts
from lookalike.types.ids import sha256_hex

THREADS = 8  # that fetch and decode, and how many images are in memory at a time

T = TypeVar("T")
Maybe: TypeAlias = T | LookalikeError
Source: TypeAlias = bytes | str  # an upload, or a URL


class QueryImages:
    """Embeddings by model and source. ``took_ms`` is what all of it took together: prepare (with fetch) and embed."""

    def __init__(self, parts: QueryParts) -> None:
        self._parts = parts
        self._digests: dict[Source, str] = {}
        self._embeddings: dict[tuple[str, Source], Maybe[NDArray[np.float32]]] = {}
        self.took_ms: dict[str, float] = {}

    def load(self, wanted: Iterable[tuple[str, Source]]) -> None:
        """Prepares every (model, source) pair; what fails is raised by :meth:`embedding`."""
        models: dict[Source, list[str]] = {}
        for model, source in dict.fromkeys(wanted):
            models.setdefault(source, []).append(model)
        if not models:
            return
        names = sorted({name for of_source in models.values() for name in of_source})
        embedders = {name: attempt(lambda name=name: self._parts.embedder(name)) for name in names}  # type: ignore[misc]
        with ThreadPoolExecutor(THREADS, "query") as executor:
            for sources in _chunks(list(models), THREADS):
                started = time.perf_counter()
                prepared = executor.map(lambda source: self._prepare(source, models[source], embedders), sources)
                pixels = dict(zip(sources, prepared, strict=True))
                self._add("prepare", started)
                started = time.perf_counter()
                for name in names:
                    self._embed(name, embedders[name], {s: made[name] for s, made in pixels.items() if name in made})
                self._add("embed", started)

    def embedding(self, model: str, source: Source) -> NDArray[np.float32]:
        """``[1, D]``. Raises what fetching, decoding or embedding raised."""
        found = self._embeddings[model, source]
        if isinstance(found, LookalikeError):
            raise found
        return found

    def sha256(self, source: Source) -> str:
        """Of the bytes of a source that has an embedding."""
        return self._digests[source]

    def _prepare(
        self, source: Source, models: Sequence[str], embedders: dict[str, Maybe[Embedder]]
    ) -> dict[str, Maybe[NDArray[np.uint8]]]:
        data = source if isinstance(source, bytes) else attempt(lambda: self._parts.fetch(source))
        if isinstance(data, LookalikeError):
            return dict.fromkeys(models, data)
        self._digests[source] = sha256_hex(data)
        made: dict[str, Maybe[NDArray[np.uint8]]] = {}
        for model in models:
            embedder = embedders[model]
            made[model] = (
                embedder if isinstance(embedder, LookalikeError) else attempt(lambda: self._pixels(data, embedder))  # noqa: B023 -- called at once
            )
        return made

    def _pixels(self, data: bytes, embedder: Embedder) -> NDArray[np.uint8]:
        manifest = embedder.manifest
        return prepare(data, size=manifest.input_size, policy=manifest.resize_policy, limits=self._parts.limits)

    def _embed(self, model: str, embedder: Maybe[Embedder], prepared: dict[Source, Maybe[NDArray[np.uint8]]]) -> None:
        ready = {source: made for source, made in prepared.items() if not isinstance(made, LookalikeError)}
        for source, made in prepared.items():
            if isinstance(made, LookalikeError):
                self._embeddings[model, source] = made
        if not ready or isinstance(embedder, LookalikeError):
            return
        embeddings = attempt(lambda: embedder.embed(np.stack(list(ready.values()))))
        for row, source in enumerate(ready):
            self._embeddings[model, source] = (
                embeddings if isinstance(embeddings, LookalikeError) else embeddings[row : row + 1]
            )

    def _add(self, stage: str, started: float) -> None:
        self.took_ms[stage] = round(self.took_ms.get(stage, 0.0) + (time.perf_counter() - started) * 1000, 3)


def attempt(function: Callable[[], T]) -> Maybe[T]:
    """The function's value, or the expected error that it raised."""
    try:
        return function()
    except LookalikeError as error:
        return error


def _chunks(items: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))

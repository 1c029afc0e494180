"""The backends by name. Each module is imported when it is first asked for, its library when it is first needed."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from lookalike.errors import BackendNotFound, MissingExtra
from lookalike.indexes.port import Backend

_CLASSES = {
    "exact": ("lookalike.indexes.exact", "ExactBackend", "sklearn"),
    "faiss": ("lookalike.indexes.faiss_backend", "FaissBackend", "faiss"),
    "annoy": ("lookalike.indexes.annoy_backend", "AnnoyBackend", "annoy"),
    "qdrant": ("lookalike.indexes.qdrant_edge", "QdrantEdgeBackend", "qdrant_edge"),
}
BACKEND_NAMES = tuple(_CLASSES)


class _Backends(Mapping[str, Backend]):
    """All backends; a value's module is imported when it is read."""

    def __getitem__(self, name: str) -> Backend:
        return backend(name)

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES


def backends() -> Mapping[str, Backend]:
    """Every backend by name, in the order in which they are shown. Reading one raises as :func:`backend`."""
    return _Backends()


@cache
def backend(name: str) -> Backend:
    """The backend called ``name``. Raises BackendNotFound, or MissingExtra when its library is not installed."""
    if name not in _CLASSES:
        raise BackendNotFound(f"no backend {name!r}; there are {', '.join(_CLASSES)}", backend=name)
    module_name, class_name, library = _CLASSES[name]
    if find_spec(library) is None:  # without importing it
        raise MissingExtra(library, name)
    return cast(Backend, getattr(import_module(module_name), class_name)())

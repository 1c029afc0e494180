"""Backends are found by name and import their library only when they are used."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import BackendNotFound, MissingExtra
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput
from lookalike.indexes.registry import backend, backends


def test_the_four_are_there_under_their_names() -> None:
    assert list(backends()) == ["exact", "faiss", "annoy", "qdrant"]
    assert len(backends()) == 4
    assert "exact" in backends()
    assert backends()["exact"] is backend("exact")
    assert backend("annoy").name == "annoy"


def test_another_name_is_refused_and_the_known_are_listed() -> None:
    with pytest.raises(BackendNotFound, match="exact, faiss, annoy, qdrant"):
        backend("milvus")
    with pytest.raises(BackendNotFound):
        backends()["milvus"]


def test_declared_capabilities_need_no_library() -> None:
    code = (
        "import sys; from lookalike.indexes.registry import backend;"
        "print([bool(backend(name).capabilities.metrics) for name in ('exact', 'faiss', 'annoy')],"
        "sorted({'sklearn', 'faiss', 'annoy', 'torch', 'qdrant_edge'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[True, True, True] []"


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("exact", "sklearn", "exact"), ("faiss", "faiss", "faiss"), ("annoy", "annoy", "annoy")],
)
def test_a_missing_library_is_named_when_it_is_needed(
    name: str, module: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    source = BuildInput(np.ones((1, 1), np.float32), np.zeros((1, 16), np.uint8))
    with pytest.raises(MissingExtra, match=rf"lookalike\[{extra}\]"):
        backend(name).build(source, tmp_path, complete(backend(name).capabilities.build_params, {}))
    assert not list(tmp_path.iterdir())


def test_a_backend_without_its_library_is_refused_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "annoy", None)
    backend.cache_clear()
    with pytest.raises(MissingExtra, match=r"lookalike\[annoy\]"):
        backend("annoy")
    assert backend("faiss").name == "faiss"

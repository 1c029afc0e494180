"""Copies of embedding sets and indexes: what is written, and how long it stays."""

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets, Part, SetPart, part_id
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.local_artifacts import LocalArtifacts, describe_files
from lookalike.embedding.runtime import Runtime
from lookalike.errors import DamagedArtifact, DiskFull
from lookalike.storage.local import LocalStore

DIGEST = "ab" * 32
RUNTIME = Runtime(precision="float32", device="cpu", batch_size=4, threads=1)


class Stored:
    """Sets of 10 embeddings, and their indexes, in a store below ``folder``, with a cache beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder / "store")
        self.sets = EmbeddingSets(self.store)

    def artifacts(self, max_bytes: int | None = None) -> LocalArtifacts:
        return LocalArtifacts(self.folder / "cache", self.store, self.sets, max_bytes=max_bytes)

    def add_set(self, seed: int) -> tuple[EmbeddingSet, Part]:
        rng = np.random.default_rng(seed)
        part = Part(
            rng.standard_normal((12, 8)).astype(np.float32), rng.integers(0, 255, (12, 48), np.uint8, endpoint=True)
        )
        name = part_id(DIGEST, part.items_N48, 0)
        self.sets.write_part("g", DIGEST, name, part, made_with=(RUNTIME,))
        used = SetPart(part_id=name, num_rows=12, excluded_rows=(0, 5))
        made = EmbeddingSet(
            gallery="g", version_id=f"v{seed}", model="m@1", model_digest=DIGEST, dimension=8, parts=(used,)
        )
        kept = np.delete(np.arange(12), [0, 5])
        return made, Part(part.embeddings_ND[kept], part.items_N48[kept])

    def add_index(self, of: EmbeddingSet, content: bytes) -> IndexManifest:
        index_id = f"exact-{of.set_id[:24]}"
        built = self.folder / "built" / index_id
        built.mkdir(parents=True)
        (built / "file").write_bytes(content)
        self.store.put_file(f"{keys.index_folder('g', index_id)}file", built / "file")
        files = describe_files(built)
        return IndexManifest(
            index_id=index_id,
            gallery="g",
            set_id=of.set_id,
            version_id=of.version_id,
            model=of.model,
            backend="exact",
            build_params={},
            dimension=8,
            num_embeddings=10,
            files=files,
            size_bytes=len(content),
            build_s=0.0,
            built_at="2026-01-01T00:00:00+00:00",
        )

    def cached(self, kind: str) -> set[str]:
        folder = self.folder / "cache" / kind
        return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path)


def test_a_matrix_has_the_rows_that_its_set_keeps(stored: Stored) -> None:
    of, expected = stored.add_set(1)
    for _ in range(2):  # written, then found
        matrix = stored.artifacts().matrix(of)
        assert np.array_equal(matrix.embeddings_ND, expected.embeddings_ND)
        assert np.array_equal(matrix.items_N48, expected.items_N48)
        assert (matrix.embeddings_ND.dtype, matrix.embeddings_ND.flags.writeable) == (np.float32, False)


def test_a_set_stays_while_any_view_of_its_embeddings_does(stored: Stored) -> None:
    artifacts = stored.artifacts(max_bytes=1)
    (first, expected), (second, _) = stored.add_set(1), stored.add_set(2)
    view = artifacts.matrix(first).embeddings_ND[3:]
    artifacts.matrix(second)
    assert first.set_id in stored.cached("sets")
    assert np.array_equal(view, expected.embeddings_ND[3:])
    del view
    gc.collect()
    third, _ = stored.add_set(3)
    artifacts.matrix(third)
    assert first.set_id not in stored.cached("sets")


def test_an_index_stays_while_the_embeddings_of_its_set_are_mapped(stored: Stored) -> None:
    artifacts = stored.artifacts(max_bytes=1)
    (first, _), (second, _), (third, _) = (stored.add_set(seed) for seed in (1, 2, 3))
    index, other = stored.add_index(first, b"x" * 100), stored.add_index(second, b"y" * 100)
    matrix = artifacts.matrix(first)
    assert (artifacts.index_folder(index) / "file").read_bytes() == b"x" * 100
    held = artifacts.index_folder(other)  # without its set: as long as the folder is held
    artifacts.matrix(third)
    assert stored.cached("indexes") == {index.index_id, other.index_id}
    del held
    gc.collect()
    artifacts.matrix(third)  # found: nothing has to go
    artifacts.matrix(stored.add_set(4)[0])
    assert stored.cached("indexes") == {index.index_id}
    del matrix
    gc.collect()
    artifacts.matrix(stored.add_set(5)[0])
    assert stored.cached("indexes") == set()


def test_an_index_whose_bytes_are_others_is_not_kept(stored: Stored) -> None:
    of, _ = stored.add_set(1)
    index = stored.add_index(of, b"right")
    stored.store.put(f"{keys.index_folder('g', index.index_id)}file", b"wrong")
    with pytest.raises(DamagedArtifact):
        stored.artifacts().index_folder(index)
    assert stored.cached("indexes") == set()
    assert stored.cached("scratch") == set()


def test_a_full_disk_while_fetching_removes_what_is_not_in_use_and_goes_on(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = stored.artifacts()
    (first, _), (second, _) = stored.add_set(1), stored.add_set(2)
    artifacts.matrix(first)
    gc.collect()
    index = stored.add_index(second, b"x")
    fetch = stored.store.fetch_file

    def fetch_onto_a_full_disk(key: str, path: Path) -> None:
        if stored.cached("sets"):
            path.write_bytes(b"ha")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fetch(key, path)

    monkeypatch.setattr(stored.store, "fetch_file", fetch_onto_a_full_disk)
    assert (artifacts.index_folder(index) / "file").read_bytes() == b"x"
    assert stored.cached("sets") == set()
    held = artifacts.matrix(first)
    other = stored.add_index(first, b"y")
    with pytest.raises(DiskFull):
        artifacts.index_folder(other)
    assert stored.cached("scratch") == set()
    assert held.embeddings_ND.shape == (10, 8)

"""The embedded engine's artifact: small, never written to, open in two processes at once, leaving nothing behind."""

import hashlib
import multiprocessing
import tempfile
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.errors import DamagedArtifact
from lookalike.indexes.params import complete
from lookalike.indexes.port import BuildInput
from lookalike.indexes.qdrant_edge import QdrantEdgeBackend
from lookalike.types.filters import parse_filter
from lookalike.types.ids import IdArray, image_id, pack_ids
from lookalike.types.images import ImageRecord

NUM, DIMENSION = 3000, 64


def rows() -> tuple[NDArray[np.float32], IdArray]:
    embeddings_ND = np.random.default_rng(0).standard_normal((NUM, DIMENSION), np.float32)
    embeddings_ND /= np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    return embeddings_ND, pack_ids(image_id("g", str(row)) for row in range(NUM))


def record(row: int) -> ImageRecord:
    return ImageRecord(
        image_id=image_id("g", str(row)),
        key=str(row),
        sha256="0" * 64,
        size_bytes=1,
        width=1,
        height=1,
        format="png",
        metadata={"row": row},
    )


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("artifact")
    backend = QdrantEdgeBackend()
    source = BuildInput(*rows(), lambda: (record(row) for row in range(NUM)))
    backend.build(source, directory, complete(backend.capabilities.build_params, {}))
    return directory


def digests(directory: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


def answers(directory: Path, barrier: Barrier | None = None) -> list[list[int]]:
    """Opens the artifact, and searches it while whoever else waits at the barrier has it open, too."""
    embeddings_ND, ids_N16 = rows()
    index = QdrantEdgeBackend().open(directory, embeddings_ND, ids_N16)
    if barrier is not None:
        barrier.wait(60)
    condition = parse_filter({"field": "metadata.row", "range": {"lt": 1500}})
    found = [index.search(embeddings_ND[:20], 10, native_filter=said).rows_QK.tolist() for said in (None, condition)]
    if barrier is not None:
        barrier.wait(60)
    index.close()
    return [row for part in found for row in part]


def test_it_is_little_more_than_the_embeddings(artifact: Path) -> None:
    """The engine's own folder is 130 MB."""
    size_bytes = sum(path.stat().st_size for path in artifact.rglob("*") if path.is_file())
    assert size_bytes < NUM * DIMENSION * 4 + 3_000_000


def test_two_processes_have_it_open_at_once_and_it_stays_as_it_is(artifact: Path) -> None:
    before = digests(artifact)
    alone = answers(artifact)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(2) as pool:
        barrier = manager.Barrier(2)
        together = pool.starmap(answers, [(artifact, barrier)] * 2, chunksize=1)
    assert together == [alone, alone]
    assert digests(artifact) == before


def test_nothing_is_left_behind_even_while_it_is_open(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    embeddings_ND, ids_N16 = rows()
    index = QdrantEdgeBackend().open(artifact, embeddings_ND, ids_N16)
    assert not list(tmp_path.iterdir())
    assert index.search(embeddings_ND[:1], 1).rows_QK[0, 0] == 0
    index.close()


def test_a_file_of_the_shard_that_is_damaged_inside_the_archive_is_refused(artifact: Path, tmp_path: Path) -> None:
    for path in artifact.rglob("*"):
        if path.is_file():
            target = tmp_path / path.relative_to(artifact)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    archive = tmp_path / "small.zip"
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(content)
    embeddings_ND, ids_N16 = rows()
    with pytest.raises(DamagedArtifact):
        QdrantEdgeBackend().open(tmp_path, embeddings_ND, ids_N16)

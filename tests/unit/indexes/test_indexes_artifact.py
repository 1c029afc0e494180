"""What an artifact's description refuses."""

from pathlib import Path

import pytest

from lookalike.errors import DamagedArtifact
from lookalike.indexes.artifact import FILE_NAME, read_artifact, write_artifact


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "data.bin").write_bytes(b"12345")
    write_artifact(tmp_path, "faiss", (7, 3), {"kind": "Flat", "m": 4, "x": 1.5, "y": True}, ("data.bin",))
    return tmp_path


def test_it_reads_as_it_was_written(directory: Path) -> None:
    artifact = read_artifact(directory, "faiss", (7, 3))
    assert artifact.built == {"kind": "Flat", "m": 4, "x": 1.5, "y": True}
    assert type(artifact.built["y"]) is bool
    assert artifact.files == {"data.bin": 5}


@pytest.mark.parametrize(("backend", "shape"), [("annoy", (7, 3)), ("faiss", (8, 3)), ("faiss", (7, 4))])
def test_another_s_is_refused(directory: Path, backend: str, shape: tuple[int, int]) -> None:
    with pytest.raises(DamagedArtifact):
        read_artifact(directory, backend, shape)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe", b"[1]"])
def test_a_description_that_cannot_be_read_is_refused(directory: Path, content: bytes | None) -> None:
    if content is None:
        (directory / FILE_NAME).unlink()
    else:
        (directory / FILE_NAME).write_bytes(content)
    with pytest.raises(DamagedArtifact):
        read_artifact(directory, "faiss", (7, 3))


def test_a_file_of_another_size_or_none_is_refused(directory: Path) -> None:
    (directory / "data.bin").write_bytes(b"1234")
    with pytest.raises(DamagedArtifact, match="size"):
        read_artifact(directory, "faiss", (7, 3))
    (directory / "data.bin").unlink()
    with pytest.raises(DamagedArtifact):
        read_artifact(directory, "faiss", (7, 3))

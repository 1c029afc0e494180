"""The small JSON file beside what a library wrote: what was built, from how much, in files of which sizes."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lookalike.errors import DamagedArtifact
from lookalike.indexes.port import ParamValue

FILE_NAME = "artifact.json"


class Artifact(BaseModel):
    """Description of one index artifact. ``built`` is what the backend chose, ``files`` sizes in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = Field(default=1, ge=1, le=1)
    backend: str
    num_embeddings: int = Field(ge=0)
    dimension: int = Field(ge=1)
    built: dict[str, ParamValue]
    files: dict[str, int] = Field(default_factory=dict)


def write_artifact(
    directory: Path, backend: str, shape: tuple[int, int], built: dict[str, ParamValue], files: tuple[str, ...] = ()
) -> None:
    """Describes the ``files`` already in ``directory``. Written last: without it nothing can be opened."""
    sizes = {name: (directory / name).stat().st_size for name in files}
    num_embeddings, dimension = shape
    artifact = Artifact(backend=backend, num_embeddings=num_embeddings, dimension=dimension, built=built, files=sizes)
    (directory / FILE_NAME).write_text(artifact.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_artifact(directory: Path, backend: str, shape: tuple[int, int]) -> Artifact:
    """The description in ``directory``.

    Raises DamagedArtifact when it is missing or malformed, is another backend's, describes embeddings of
    another ``shape`` (N, D), or when a file is missing or has another size. The bytes of large files are not
    read: their digest is checked where artifacts are fetched.
    """
    try:
        artifact = Artifact.model_validate_json((directory / FILE_NAME).read_bytes())
        sizes = {name: (directory / name).stat().st_size for name in artifact.files}
    except (OSError, ValidationError) as error:
        raise DamagedArtifact(f"no whole {backend} index in {directory.name!r}", reason=str(error)[:500]) from error
    if artifact.backend != backend:
        raise DamagedArtifact(f"an index of {artifact.backend}, not of {backend}", backend=artifact.backend)
    if sizes != artifact.files:
        raise DamagedArtifact("a file of the index has another size than when it was built", files=sizes)
    if (artifact.num_embeddings, artifact.dimension) != tuple(shape):
        raise DamagedArtifact(
            f"built from {artifact.num_embeddings} x {artifact.dimension}, not {shape[0]} x {shape[1]} embeddings",
            built_from=[artifact.num_embeddings, artifact.dimension],
            given=list(shape),
        )
    return artifact

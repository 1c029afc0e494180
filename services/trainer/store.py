"""Between a run and the store: what a run takes from a workspace, and its archive put there."""

import shutil
from functools import partial
from pathlib import Path
from typing import Literal, cast

from lookalike.embedding.archive import read_manifest
from lookalike.embedding.port import Embedder
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import InvalidRequest
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelManifest, ModelRef
from services.trainer.best import archive_of
from services.trainer.run_folder import RunFolder
from services.trainer.training import Surroundings


def surroundings(workspace: Workspace) -> Surroundings:
    """What a run takes from a workspace."""
    return Surroundings(
        cache=workspace.artifacts.file("trainer", "cache"),
        limits=workspace.limits,
        fetch=workspace.fetch,
        open_teacher=partial(open_teacher, workspace),
    )


def open_teacher(workspace: Workspace, model: str, precision: str) -> Embedder:
    """An archive by its file (``….mar``) or a model of the store by its name. Raises ModelNotFound, InvalidArchive."""
    chosen = cast(Literal["auto", "float32", "bfloat16"], precision)
    if model.endswith(".mar"):
        if not Path(model).is_file():
            raise InvalidRequest(f"there is no teacher at {model!r}", path=model)
        return TorchEmbedder(Path(model), precision=chosen)
    if not model:
        raise InvalidRequest("a distillation needs a teacher: --set teacher.model=NAME, or =FILE.mar")
    manifest = workspace.models.get(ModelRef.parse(model))
    with workspace.artifacts.temporary() as folder:
        archive = folder / "teacher.mar"
        workspace.models.fetch_archive(manifest, archive)
        return TorchEmbedder(archive, precision=chosen)


def export_run(workspace: Workspace, run: Path, file: Path | None, name: str | None = None) -> ModelManifest:
    """Makes the archive of a finished run, verifies it, and puts it into the store; ``file`` gets a copy of it.

    Raises as :func:`services.trainer.best.archive_of`.
    """
    with workspace.artifacts.temporary() as folder:
        archive = folder / "model.mar"
        archive_of(RunFolder(run), archive, name=name)
        manifest = workspace.models.add(archive, read_manifest(archive))
        if file is not None:
            partial_file = file.with_name(f".{file.name}.partial")
            shutil.copyfile(archive, partial_file)
            partial_file.replace(file)
    return manifest

"""What the command line calls: a training, and the archive of a run put into the store."""

import os
import shutil
import time
from collections.abc import Sequence
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
from services.trainer.config import TrainConfig
from services.trainer.recipes import recipe, with_overrides
from services.trainer.run_folder import RunFolder
from services.trainer.training import Outcome, Surroundings, train


def train_recipe(
    workspace: Workspace,
    name: str,
    *,
    data: str,
    images: Path | None,
    overrides: Sequence[str],
    run: Path | None,
    runs: Path,
    resume: bool,
    as_json: bool,
) -> Outcome:
    """Trains recipe ``name`` on ``data``; ``run`` is its folder, else a new one in ``runs``.

    With ``resume`` the run's own configuration is taken, and it is refused to change it. Raises as
    :func:`services.trainer.training.train`.
    """
    if resume:
        if run is None:
            raise InvalidRequest("--resume needs the run's folder: --run FOLDER")
        if overrides:
            raise InvalidRequest("--resume goes on with the configuration that the run began with: leave --set out")
        config = RunFolder(run).read_config()
        if config.recipe != name:
            raise InvalidRequest(f"{run} is a run of {config.recipe}, not of {name}")
    else:
        config = _configured(name, data, images, overrides)
    folder = run or runs / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return train(config, folder, surroundings(workspace), resume=resume, as_json=as_json)


def is_first_rank() -> bool:
    """Whether this process is the one that reports and exports; ``torchrun`` starts others beside it."""
    return os.environ.get("RANK", "0") == "0"


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


def _configured(name: str, data: str, images: Path | None, overrides: Sequence[str]) -> TrainConfig:
    config = recipe(name, overrides)
    if not data and not config.data.source:
        raise InvalidRequest("name the images: --data FOLDER, a COCO annotation file or a table")
    values = config.model_dump(mode="json")
    values["data"]["source"] = str(Path(data).expanduser().resolve()) if data else config.data.source
    if images is not None:
        values["data"]["images_root"] = str(images.expanduser().resolve())
    return with_overrides(TrainConfig.model_validate(values), ())

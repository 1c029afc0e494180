"""What the command line calls: a training, and the archive of a run put into the store."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from lookalike.errors import InvalidRequest
from lookalike.pipeline.progress import Report
from lookalike.pipeline.workspace import Workspace
from services.trainer.config import TrainConfig
from services.trainer.outcome import Outcome
from services.trainer.overrides import with_overrides
from services.trainer.recipes import STUDY, recipe
from services.trainer.run_folder import RunFolder, digest_of
from services.trainer.store import export_run, surroundings
from services.trainer.study.orchestrate import run_study
from services.trainer.study.result import PublishedFigure, StudyResult
from services.trainer.study_models import (
    StudyData,
    configured,
    made_model,
    measured_config,
    measured_source,
    stored_model,
)
from services.trainer.training import train

__all__ = ["export_run", "is_first_rank", "study_recipes", "train_recipe"]


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
    finish: bool,
    as_json: bool,
) -> Outcome:
    """Trains recipe ``name`` on ``data``; ``run`` is its folder, else a new one in ``runs``.

    With ``resume`` the run's own configuration is taken, in which only what does not decide about the weights can be
    changed; ``finish`` makes the model of the best epoch so far. Raises as :func:`services.trainer.training.train`.
    """
    if finish and not resume:
        raise InvalidRequest("--finish makes the model of a run that was stopped: --resume --run FOLDER --finish")
    if resume:
        if run is None:
            raise InvalidRequest("--resume needs the run's folder: --run FOLDER")
        config = RunFolder(run).read_config()
        if config.recipe != name:
            raise InvalidRequest(f"{run} is a run of {config.recipe}, not of {name}")
        for option, given, began_with in (
            ("--data", _absolute(data), config.data.source),
            ("--images", "" if images is None else _absolute(str(images)), str(config.data.images_root)),
        ):
            if given and given != began_with:
                raise InvalidRequest(f"{run} began with {option} {began_with}, not {given}: leave it out")
        config = _changed(config, overrides)
    else:
        config = _configured(name, data, images, overrides)
    folder = run or runs / f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    return train(config, folder, surroundings(workspace), resume=resume, finish_now=finish, as_json=as_json)


def _changed(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """The configuration of a run that goes on, with overrides; :func:`train` keeps it."""
    changed = with_overrides(config, overrides)
    if digest_of(changed) != digest_of(config):
        raise InvalidRequest(
            "--resume goes on with the configuration that the run began with: --set changes only what does not decide "
            "about its weights there, as export.projection"
        )
    return changed


def is_first_rank() -> bool:
    """Whether this process is the one that reports and exports; ``torchrun`` starts others beside it."""
    return os.environ.get("RANK", "0") == "0"


def _configured(name: str, data: str, images: Path | None, overrides: Sequence[str]) -> TrainConfig:
    config = recipe(name, overrides)
    if not data and not config.data.source:
        raise InvalidRequest("name the images: --data FOLDER, a COCO annotation file or a table")
    values = config.model_dump(mode="json")
    # Absolute, so that a run is resumed from any folder.
    values["data"]["source"] = _absolute(data or config.data.source)
    if images is not None:
        values["data"]["images_root"] = _absolute(str(images))
    if config.teacher is not None and config.teacher.model.endswith(".mar"):
        values["teacher"]["model"] = _absolute(config.teacher.model)
    if config.architecture.name == "pretrained" and config.architecture.weights is not None:
        values["architecture"]["weights"] = _absolute(str(config.architecture.weights))
    return TrainConfig.model_validate(values)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().resolve()) if path else ""


def study_recipes(
    workspace: Workspace,
    data: StudyData,
    *,
    recipes: Sequence[str],
    also: Sequence[str],
    overrides: Sequence[str],
    published: Path | None,
    folder: Path,
    say: Callable[[str], None],
    report: Report,
    as_json: bool,
) -> StudyResult:
    """Trains or imports every recipe, measures all of them and the models ``also``, and writes table and report.

    Runs are kept in ``folder``: the same call goes on where it was stopped. Overrides as in
    :func:`services.trainer.study_models.configured`. Raises as :func:`services.trainer.study.orchestrate.run_study`.
    """
    figures = [] if published is None else _published(published)
    configs = [configured(name, data, overrides) for name in recipes or [made.__name__ for made in STUDY]]
    models = [
        made_model(workspace, config, folder / "runs" / config.recipe, say, as_json=as_json) for config in configs
    ]
    models += [stored_model(workspace, name) for name in also]
    source = measured_source(workspace, measured_config(configs))
    try:
        return run_study(
            workspace,
            source,
            models=models,
            folder=folder,
            seed=data.seed,
            title=f"The study's models on {Path(data.source).name}",
            published=figures,
            report=report,
        )
    finally:
        source.close()


def _published(path: Path) -> list[PublishedFigure]:
    try:
        return TypeAdapter(list[PublishedFigure]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidRequest(f"{path} is no list of published figures: {error}"[:400], path=str(path)) from error

"""The models of a study: each recipe trained or imported on one part of a data set, for the other part to measure.

Shape suffixes: N images, S their side, D dimension.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lookalike.errors import DependencyUnavailable, InvalidRequest, LookalikeError, MissingExtra, TrainingDiverged
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.pipeline.workspace import Workspace
from services.trainer.best import load_best, network_of
from services.trainer.config import TrainConfig
from services.trainer.data.paired import open_training_source
from services.trainer.dataset import load_dataset
from services.trainer.overrides import with_overrides
from services.trainer.recipes import RECIPES, recipe
from services.trainer.run_folder import RunFolder
from services.trainer.store import export_run, surroundings
from services.trainer.study.models import Origin, RawFeatures, StudyModel
from services.trainer.training import train
from services.trainer.validation import embedding_part

_BATCH = 64
_ONLY_TRAINED = ("schedule.", "optimiser.", "batch_size")


@dataclass(frozen=True)
class StudyData:
    """The one data set of a study: ``size`` images of ``source`` at most, ``val_share`` of them measured and not
    trained on; ``split`` as in :class:`services.trainer.config.DataConfig`.
    """

    source: str
    images_root: Path | None
    size: int | None
    val_share: float
    split: str
    seed: int


class MeasuredImages:
    """The images of ``source`` with these keys. Closing it closes ``source``."""

    def __init__(self, source: GallerySource, keys: frozenset[str]) -> None:
        self._source, self._keys = source, keys

    @property
    def description(self) -> str:
        return f"{self._source.description}, {len(self._keys)} images that nothing was trained on"

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for image in self._source.images():
            if image.key in self._keys:
                yield image

    def read(self, image: SourceImage) -> bytes:
        return self._source.read(image)

    def close(self) -> None:
        self._source.close()


def configured(name: str, data: StudyData, overrides: Sequence[str]) -> TrainConfig:
    """Recipe ``name`` on the training part of ``data``, changed by ``key=value``, or ``NAME:key=value``.

    What is about training (``schedule``, ``optimiser``) leaves recipes alone that import a model.
    """
    config = with_overrides(
        recipe(name),
        [
            f"data.source={data.source}",
            *([] if data.images_root is None else [f"data.images_root={data.images_root}"]),
            *([] if data.size is None else [f"data.max_images={data.size}"]),
            f"data.val_share={data.val_share}",
            f"data.split={data.split}",
            f"seed={data.seed}",
        ],
    )
    return with_overrides(config, _for_recipe(config, overrides))


def _for_recipe(config: TrainConfig, overrides: Sequence[str]) -> list[str]:
    chosen = []
    for override in overrides:
        key, equals, value = override.partition("=")
        owner, colon, own_key = key.rpartition(":")
        if colon and owner not in RECIPES:
            raise InvalidRequest(f"--set {override!r:.100} is for {owner!r:.50}, which is no recipe", recipe=owner)
        is_untrained = config.objective is None and own_key.startswith(_ONLY_TRAINED)
        if owner in ("", config.recipe) and not is_untrained:
            chosen.append(f"{own_key}{equals}{value}")
    return chosen


def measured_source(workspace: Workspace, config: TrainConfig) -> MeasuredImages:
    """The validation part of a configuration's data, as a gallery's source: the same images for every recipe."""
    dataset = load_dataset(
        config,
        cache=surroundings(workspace).cache / "images",
        limits=workspace.limits,
        fetch=workspace.fetch,
    )
    source = open_training_source(
        config.data.source,
        images_root=config.data.images_root,
        fetcher=workspace.fetch,
        max_bytes=workspace.limits.max_bytes,
    )
    return MeasuredImages(source, frozenset(dataset.images.keys[row] for row in dataset.val_rows))


def made_model(
    workspace: Workspace, config: TrainConfig, run: Path, say: Callable[[str], None], *, as_json: bool = False
) -> StudyModel:
    """The model of ``config``, trained in ``run`` or taken from there where it has been; or why it could not be had.

    What cannot be had is said, and ends nothing: weights that cannot be downloaded, a loss that is not finite.
    """
    folder = RunFolder(run)
    try:
        if not folder.manifest.is_file() or folder.read_config() != config:
            say(f"{config.recipe}: {'training' if config.schedule.epochs else 'importing'}")
            is_same = folder.config.is_file() and folder.read_config() == config
            if folder.config.is_file() and not is_same:
                raise InvalidRequest(f"{run} holds a run with another configuration: choose another --folder")
            train(config, run, surroundings(workspace), resume=is_same, as_json=as_json)
        manifest = export_run(workspace, run, None)
    except (DependencyUnavailable, MissingExtra, TrainingDiverged) as error:
        say(f"{config.recipe} could not be had: {error.message}")
        return StudyModel(config.recipe, Origin.UNAVAILABLE, None, said=error.message)
    is_trained = config.schedule.epochs > 0
    made = folder.read_manifest()
    said = f"{config.schedule.epochs} epochs, best {_from_one(made['best_epoch'])}" if is_trained else "imported"
    curve = run / "loss.png"
    return StudyModel(
        config.recipe,
        Origin.TRAINED if is_trained else Origin.PRETRAINED,
        str(manifest.ref),
        said=f"{said}, input {config.input_size}",
        loss_curve=curve if curve.is_file() else None,
        raw=raw_features(run),
    )


def raw_features(run: Path) -> RawFeatures:
    """The trained network's embeddings before they get length 1: what its study compared by Euclidean distance."""
    folder = RunFolder(run)
    config = folder.read_config()
    _, states = load_best(folder, config)
    network = embedding_part(network_of(states, config))
    return lambda images_NSSC: _features(network, config, images_NSSC)


def stored_model(workspace: Workspace, name: str) -> StudyModel:
    """A model of the store beside the recipes. One that is not there is named, with the reason."""
    try:
        manifest = workspace.models.get(name)
    except LookalikeError as error:
        return StudyModel(name, Origin.UNAVAILABLE, None, said=error.message)
    return StudyModel(name, Origin.PRETRAINED, str(manifest.ref), said=manifest.description)


def measured_config(configs: Sequence[TrainConfig]) -> TrainConfig:
    """The configuration by which the measured images are chosen: labelled ones only, at a small size."""
    if not configs:
        raise InvalidRequest("a study needs a recipe or more")
    config = configs[0]
    data = {**config.model_dump(), "recipe": "resnet18"}
    labelled = recipe("resnet18").model_dump()
    return TrainConfig.model_validate(
        {**labelled, "data": {**data["data"], "balance": "none"}, "seed": config.seed, "input_size": config.input_size}
    )


def _features(network: nn.Module, config: TrainConfig, images_NSSC: NDArray[np.uint8]) -> NDArray[np.float32]:
    mean, std = torch.tensor(config.mean).view(1, 3, 1, 1), torch.tensor(config.std).view(1, 3, 1, 1)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images_NSSC), _BATCH):
            pixels_NCHW = torch.from_numpy(np.array(images_NSSC[start : start + _BATCH])).permute(0, 3, 1, 2) / 255
            parts.append(network((pixels_NCHW - mean) / std).flatten(1).float().numpy())
    return np.concatenate(parts)


def _from_one(epoch: object) -> object:
    return epoch + 1 if isinstance(epoch, int) else epoch

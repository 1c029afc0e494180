"""The network of a run's best epoch, and the model archive that is made of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from lookalike.errors import InvalidRequest
from lookalike.types.models import ModelManifest
from services.trainer import checkpoint
from services.trainer.architectures import build
from services.trainer.checkpoint import Position
from services.trainer.config import TrainConfig
from services.trainer.export import Trained, export_trained
from services.trainer.run_folder import RunFolder, digest_of
from services.trainer.validation import embedding_part
from services.trainer.whitening import Projection

_NETWORK = "network."


def load_best(run: RunFolder, config: TrainConfig) -> tuple[Position, Mapping[str, Any]]:
    """The best epoch's checkpoint. Raises InvalidRequest where no epoch has ended yet."""
    if not run.best.is_file():
        raise InvalidRequest(f"{run.path} has no finished epoch yet", path=str(run.path))
    return checkpoint.load(run.best, digest_of(config))


def network_of(states: Mapping[str, Any], config: TrainConfig) -> nn.Module:
    """The network with a checkpoint's weights, in evaluation mode."""
    network = build(config.architecture, config.input_size, with_weights=False)
    weights = {name: value for name, value in states["step"].items() if name.startswith(_NETWORK)}
    network.load_state_dict({name.removeprefix(_NETWORK): value for name, value in weights.items()})
    return network.eval()


def archive_of(run: RunFolder, target: Path, *, name: str | None = None) -> ModelManifest:
    """Writes the verified model archive of the run's best epoch to ``target`` and returns its manifest.

    ``name`` is that of the model; None for the configuration's. Raises InvalidRequest for a folder without a finished
    run, InvalidArchive for a program that does not give the network's embeddings.
    """
    config, made = run.read_config(), run.read_manifest()
    _, states = load_best(run, config)
    network = network_of(states, config)
    data = cast(dict[str, Any], made["data"])
    trained = Trained(
        network=embedding_part(network),
        input_size=config.input_size,
        resize_policy=config.data.resize_policy,
        name=name or config.name,
        mean=config.mean,
        std=config.std,
        description=config.export.description or f"trained by the recipe {config.recipe}",
        recipe=_said(config, made, data),
        training_data=config.export.training_data or f"{data['num_train']} images, digest {data['digest'][:16]}",
        metrics={key: round(float(value), 6) for key, value in cast(dict[str, float], made["metrics"]).items()},
        licence=config.export.licence,
        batching=config.export.batching,
    )
    projection = None
    if config.export.projection is not None:
        with np.load(run.projection, allow_pickle=False) as stored:
            projection = Projection(stored["mean_D"], stored["matrix_DK"])
    return export_trained(trained, target, half=config.export.half, projection=projection)


def _said(config: TrainConfig, made: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, object]:
    """What an archive says of how it was made. Paths of the machine that trained it stay there."""
    said = config.model_dump(mode="json", exclude={"data": {"source", "images_root"}, "export": True, "threads": True})
    if said.get("teacher"):
        said["teacher"]["model"] = Path(said["teacher"]["model"]).name
    if said["architecture"].get("weights"):
        said["architecture"]["weights"] = Path(said["architecture"]["weights"]).name
    kept = ("digest", "num_images", "num_train", "num_val", "num_held_out", "held_out_classes")
    return {
        "source": f"trainer:{config.recipe}",
        "config": said,
        "config_digest": made["config_digest"],
        "data": {key: data[key] for key in kept},
        "best_epoch": made["best_epoch"],
        "collapsed": made["collapsed"],
        "seed": config.seed,
        "training_s": made["training_s"],
        "hardware": made["hardware"],
        "versions": made["versions"],
    }

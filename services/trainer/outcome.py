"""How a run ended, and the manifest that says what made its model."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from lookalike import __version__
from services.trainer import devices
from services.trainer.checkpoint import Position
from services.trainer.config import TrainConfig
from services.trainer.dataset import Dataset
from services.trainer.run_folder import RunFolder, digest_of
from services.trainer.validation import has_collapsed


@dataclass(frozen=True)
class Outcome:
    """How a run ended; ``metrics`` are the best epoch's."""

    folder: Path
    epochs: int
    best_epoch: int | None
    metrics: dict[str, float]
    seconds: float
    collapsed: bool
    num_train: int
    num_val: int
    num_failed: int


def outcome_of(run: RunFolder, dataset: Dataset, best: Position, last: Position) -> Outcome:
    return Outcome(
        folder=run.path,
        epochs=last.epoch,
        best_epoch=best.best_epoch,
        metrics=best.metrics,
        seconds=last.seconds,
        collapsed="mean_cosine" in best.metrics and has_collapsed(best.metrics),
        num_train=len(dataset.train_rows),
        num_val=len(dataset.val_rows),
        num_failed=len(dataset.images.failures),
    )


def finish(
    run: RunFolder,
    config: TrainConfig,
    fabric: Fabric,
    dataset: Dataset,
    best: Position,
    last: Position,
    seconds: float,
) -> Outcome:
    """Writes the manifest: everything that made the model."""
    outcome = outcome_of(run, dataset, best, last)
    run.write_manifest(
        {
            "recipe": config.recipe,
            "config": config.model_dump(mode="json"),
            "config_digest": digest_of(config),
            "data": {
                "digest": dataset.images.digest,
                "num_images": dataset.images.num_images,
                "num_train": outcome.num_train,
                "num_val": outcome.num_val,
                "num_held_out": len(dataset.held_out_rows),
                "held_out_classes": list(dataset.held_out_names),
                "classes": list(dataset.names),
                "failures": [vars(failure) for failure in dataset.images.failures],
            },
            "seed": config.seed,
            "epochs": outcome.epochs,
            "best_epoch": outcome.best_epoch,
            "metrics": outcome.metrics,
            "last_metrics": last.metrics,
            "collapsed": outcome.collapsed,
            "versions": {"lookalike": __version__, "numpy": np.__version__, "torch": torch.__version__},
            "hardware": devices.describe(fabric),
            "training_s": round(last.seconds, 1),
            "this_process_s": round(seconds, 1),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    return outcome

"""A run's folder: its configuration, checkpoints, events, pictures and manifest."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import InvalidRequest
from services.trainer import checkpoint
from services.trainer.config import TrainConfig
from services.trainer.older import digested, renewed


@dataclass(frozen=True)
class RunFolder:
    """The names in it. Raises nothing until something is read."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def last(self) -> Path:
        return self.checkpoints / checkpoint.LAST

    @property
    def best(self) -> Path:
        return self.checkpoints / checkpoint.BEST

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def projection(self) -> Path:
        return self.path / "projection.npz"

    def begin(self, config: TrainConfig) -> None:
        """Makes the folder for a new run. Raises InvalidRequest where there is a run already."""
        if self.config.exists():
            raise InvalidRequest(
                f"{self.path} holds a run already: --resume goes on with it, or choose another --run",
                path=str(self.path),
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_config(config)

    def write_config(self, config: TrainConfig) -> None:
        """Writes ``config.json``, complete or not at all."""
        partial = self.config.with_suffix(".partial")
        partial.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(self.config)

    def read_config(self) -> TrainConfig:
        """The configuration with which the run began. Raises InvalidRequest for a folder without a run."""
        try:
            values = json.loads(self.config.read_bytes())
            return TrainConfig.model_validate(renewed(values) if isinstance(values, dict) else values)
        except FileNotFoundError:
            raise InvalidRequest(
                f"{self.path} is no training run: it has no config.json", path=str(self.path)
            ) from None
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{self.config} is no configuration: {error}"[:400], path=str(self.config)) from error

    def read_manifest(self) -> dict[str, object]:
        """``manifest.json``. Raises InvalidRequest where the run has not ended."""
        try:
            value = json.loads(self.manifest.read_bytes())
        except FileNotFoundError:
            raise InvalidRequest(
                f"{self.path} is no finished run: train --resume --run {self.path} goes on with it", path=str(self.path)
            ) from None
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"{self.manifest} cannot be read: {error}", path=str(self.manifest)) from error
        if not isinstance(value, dict):
            raise InvalidRequest(f"{self.manifest} is no manifest", path=str(self.manifest))
        return value

    def write_manifest(self, value: dict[str, object]) -> None:
        """Writes ``manifest.json``, complete or not at all."""
        partial = self.manifest.with_suffix(".partial")
        partial.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        partial.replace(self.manifest)


def digest_of(config: TrainConfig) -> str:
    """SHA-256 of what decides about the weights; where and how fast a run computes is left out."""
    return hashlib.sha256(json.dumps(digested(config), sort_keys=True).encode()).hexdigest()

"""Checkpoints: everything that a run needs to go on as if it had never stopped.

Random choices follow from the seed and the step's number, so no generator's state is kept: the weights, the
optimiser's moments and where the run was are all.
"""

import math
import os
import pickle
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lookalike.errors import InvalidRequest

LAST, BEST = "last.pt", "best.pt"
# Whatever torch raises for bytes that are no file of its own, or hold more than tensors and plain values.
_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)


@dataclass
class Position:
    """Where a run is: ``step`` steps of epoch ``epoch`` are done (both from 0), ``losses`` are their sums."""

    epoch: int = 0
    step: int = 0
    global_step: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    best_epoch: int | None = None
    best_value: float = -math.inf
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def save(folder: Path, name: str, position: Position, states: dict[str, Any], config_digest: str) -> None:
    """Writes ``folder/name``, complete or not at all, also when the machine stops."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{uuid.uuid4().hex}"
    try:
        with partial.open("wb") as file:
            torch.save({"position": vars(position), "states": states, "config": config_digest}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, config_digest: str | None = None) -> tuple[Position, dict[str, Any]]:
    """The position and states in ``path``: tensors and plain values only, nothing that runs code.

    Raises InvalidRequest for a damaged file and, with a ``config_digest``, for a run of another configuration.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        position, states, found = Position(**content["position"]), content["states"], content["config"]
    except _DAMAGED as error:
        raise InvalidRequest(f"{path.name} is no checkpoint of the trainer: {error}"[:300], path=str(path)) from error
    if config_digest is not None and found != config_digest:
        raise InvalidRequest(
            f"{path.name} belongs to a run with another configuration: --resume goes on with the one it began with",
            path=str(path),
        )
    return position, states


def remove_partial(folder: Path) -> None:
    """Removes what a killed run left half written."""
    for name in (LAST, BEST):
        for path in folder.glob(f".{name}.*"):
            path.unlink(missing_ok=True)

"""What a training run reports, as values."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True)
class StepEvent:
    """One optimiser step: step ``step`` (from 1) of ``num_steps`` in epoch ``epoch`` (from 0, as in checkpoints).

    ``global_step`` counts steps of the whole run, this one included.
    """

    name: ClassVar[str] = "step"
    epoch: int
    step: int
    num_steps: int
    global_step: int
    losses: Mapping[str, float]
    images_per_s: float
    lr: float


@dataclass(frozen=True)
class EpochEvent:
    """The end of epoch ``epoch`` (from 0), its validation included."""

    name: ClassVar[str] = "epoch"
    epoch: int
    num_epochs: int
    global_step: int
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class ViewsEvent:
    """``done`` of ``total`` views have been drawn and embedded by a teacher: something to wait for, no result."""

    name: ClassVar[str] = "views"
    done: int
    total: int
    global_step: int


@dataclass(frozen=True)
class MessageEvent:
    """A sentence for people."""

    name: ClassVar[str] = "message"
    text: str
    global_step: int


Event = StepEvent | EpochEvent | ViewsEvent | MessageEvent


class Sink(Protocol):
    """Somewhere that events go."""

    def write(self, event: Event) -> None: ...

    def close(self) -> None: ...


def as_json(event: Event) -> dict[str, object]:
    """``event`` as JSON values, its kind under ``event``. NaN and infinity, which JSON lacks, become None."""
    return {"event": event.name, **{key: _finite(value) for key, value in asdict(event).items()}}


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

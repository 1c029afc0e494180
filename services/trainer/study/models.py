"""What the study is given of each model: how it came to be, where it is, what was drawn while it was trained.

Shape suffixes: N images, S their side, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest

RawFeatures: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""uint8 ``[N, S, S, 3]`` as the model's manifest prepares images -> float32 ``[N, D]``, not normalised."""


@dataclass(frozen=True)
class RawEmbeddings:
    """Embeddings before they were given length 1, float32 ``[N, D]``, of the images with these ``keys``."""

    keys: tuple[str, ...]
    embeddings_ND: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.embeddings_ND.ndim != 2 or len(self.keys) != len(self.embeddings_ND):
            raise InvalidRequest(f"{len(self.keys)} keys for raw embeddings of shape {self.embeddings_ND.shape}")
        if not np.isfinite(self.embeddings_ND).all():
            raise InvalidRequest("raw embeddings have NaN or infinity")


class Origin(StrEnum):
    """How a model came to be."""

    TRAINED = "trained"
    PRETRAINED = "pretrained"
    BUILT_IN = "built in"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True)
class StudyModel:
    """One model of the study.

    ``ref`` names it in the workspace's store (``name`` or ``name@version``), None where it could not be had;
    ``said`` is how it was made, or why it could not be had and what to do. ``loss_curve`` is a PNG; without one,
    ``events`` (JSON lines with ``step`` and ``loss``) is drawn. ``raw`` gives its embeddings before normalisation,
    for the images of the gallery: an archive gives normalised ones only. Raises InvalidRequest where ``ref`` and
    ``origin`` contradict each other, or nothing is said of a model that could not be had.
    """

    name: str
    origin: Origin
    ref: str | None
    said: str = ""
    loss_curve: Path | None = None
    events: Path | None = None
    raw: RawEmbeddings | RawFeatures | None = None

    def __post_init__(self) -> None:
        if (self.ref is None) != (self.origin is Origin.UNAVAILABLE):
            raise InvalidRequest(
                f"{self.name}: a model is in the store or unavailable, not {self.origin} at {self.ref}"
            )
        if self.ref is None and not self.said:
            raise InvalidRequest(f"{self.name}: say why it could not be had, and what to do")

"""How a stage tells how far it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Progress:
    """``total`` is None while it isn't known; ``failed`` counts images that went to the ledger so far."""

    stage: str
    done: int
    total: int | None = None
    failed: int = 0


Report: TypeAlias = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Tells nobody."""

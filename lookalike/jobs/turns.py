"""Who is at what: hints between processes, which may all be lost.

Nothing here is the truth. Lost turns cost a unit that is done twice at once, with the same result; lost marks cost a
message that is sent twice.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol


class Turns(Protocol):
    """Marks, turns and counts by name. Raises DependencyUnavailable when whoever keeps them does not answer."""

    def take(self, name: str, *, seconds: float) -> str | None:
        """A token, where nobody has this turn now; it ends after ``seconds`` unless it is kept. Else None."""
        ...

    def keep(self, name: str, token: str, *, seconds: float) -> bool:
        """Another ``seconds`` from now. False where somebody else has taken it meanwhile; a lost one is restored."""
        ...

    def give(self, name: str, token: str) -> None:
        """Ends the turn, if it is still ours."""
        ...

    def mark(self, name: str, *, seconds: float) -> bool:
        """Whether ``name`` was unmarked; it is marked now, for so long."""
        ...

    def extend(self, name: str, *, seconds: float) -> None:
        """A mark that is still there stays for ``seconds`` from now."""
        ...

    def unmark(self, name: str) -> None: ...

    def known(self, names: Iterable[str]) -> set[str]:
        """Those of ``names`` that are marked, or somebody's turn."""
        ...

    def count(self, name: str, *, seconds: float) -> int:
        """How often this was called for ``name``, this time included; forgotten after so long without a call."""
        ...

    def depths(self) -> Mapping[str, int]:
        """Messages that wait, by queue."""
        ...

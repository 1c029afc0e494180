"""How long what nothing refers to is kept."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
    """What was live can be rolled back to for ``keep_s`` seconds, at most the last ``keep_former`` states.

    Garbage is kept as long, from when it was written, so that what a program has just made is not taken from it.
    """

    keep_s: float = 7 * 24 * 3600
    keep_former: int = 5

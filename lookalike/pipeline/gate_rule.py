"""When a candidate may take the place of what is live."""

from dataclasses import dataclass, replace

from lookalike.errors import InvalidRequest
from lookalike.evaluation.labels import Level


@dataclass(frozen=True)
class GateRule:
    """precision@k, at ``level``, may be at most ``max_drop`` below that of what is live.

    Measured on ``num_queries`` images that ``seed`` draws, each excluded from its own hits; an image is relevant
    when it shares a label with the query.
    """

    level: Level = Level.SUBCATEGORY
    k: int = 10
    max_drop: float = 0.02
    num_queries: int = 1000
    seed: int = 0


def chosen_rule(
    usual: GateRule,
    *,
    enabled: bool,
    level: Level | None = None,
    k: int | None = None,
    max_drop: float | None = None,
    num_queries: int | None = None,
) -> GateRule | None:
    """``usual`` with what was asked for in its place; None without a gate. Raises InvalidRequest for both at once."""
    asked = {"level": level, "k": k, "max_drop": max_drop, "num_queries": num_queries}
    given = {name: value for name, value in asked.items() if value is not None}
    if given and not enabled:
        raise InvalidRequest("options of the gate were given, but it is switched off", options=sorted(given))
    return replace(usual, **given) if enabled else None  # type: ignore[arg-type]

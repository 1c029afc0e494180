"""docker-compose.yml as Compose reads it: with its anchors merged and its variables at their defaults."""

import re
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "docker-compose.yml"
# They have a process of Lookalike in them; the others are servers beside it.
OURS = {
    "gateway",
    "embedder",
    "indexer",
    "torchserve",
    "torchserve-gpu",
    "trainer",
    "trainer-gpu",
    "setup",
    "cli",
    "try",
}


def compose() -> dict[str, Any]:
    """The document. ``${NAME:-default}`` has become ``default``, ``$$`` a dollar sign."""
    document = _with_defaults(yaml.safe_load(FILE.read_text(encoding="utf-8")))
    assert isinstance(document, dict)
    return document


def _with_defaults(value: object) -> object:
    if isinstance(value, dict):
        return {key: _with_defaults(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_defaults(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", value).replace("$$", "$")
    return value


def services() -> dict[str, dict[str, Any]]:
    """Its services by name."""
    return dict(compose()["services"])


def secret_names(service: dict[str, Any]) -> list[str]:
    """Where a service finds its secrets, below /run/secrets."""
    given = service.get("secrets", [])
    return [one if isinstance(one, str) else one.get("target", one["source"]) for one in given]

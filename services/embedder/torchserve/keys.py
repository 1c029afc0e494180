"""The keys that TorchServe makes when it starts. They never leave this machine's private folder and this process."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from lookalike.errors import DependencyUnavailable


@dataclass(frozen=True)
class Keys:
    """What the inference and the management API ask for."""

    inference: str = field(repr=False)
    management: str = field(repr=False)


def read_keys(file: Path) -> Keys:
    """Raises DependencyUnavailable while TorchServe has not written it whole."""
    try:
        said = json.loads(file.read_text())
        return Keys(inference=said["inference"]["key"], management=said["management"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DependencyUnavailable("TorchServe has not made its keys yet", dependency="torchserve") from None

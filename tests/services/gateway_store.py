"""A small gallery of real files, and the workspace over a folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from lookalike.bootstrap import wire
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings, load

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
MAX_BODY_BYTES = 5_000_000
BACKENDS = ("exact", "faiss", "annoy", "qdrant")


def draw(folder: Path, per_color: int = 8, seed: int = 0) -> None:
    """Noisy pictures in ``folder/warm|cold/<color>/``, each colour like itself and unlike the others."""
    rng = np.random.default_rng(seed)
    for name, color in COLORS.items():
        below = folder / ("warm" if name == "red" else "cold") / name
        below.mkdir(parents=True, exist_ok=True)
        for number in range(per_color):
            noise = rng.normal(0, 25, (48, 64, 3)) + np.array(color)
            Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(below / f"{number}.png")


def settings_of(folder: Path, **more: str) -> Settings:
    """Settings of a store in ``folder``."""
    environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
    return load({**environment, **more}, folder / "none.toml")


def at(folder: Path) -> Workspace:
    """The ports over a store in ``folder``."""
    return wire(settings_of(folder))

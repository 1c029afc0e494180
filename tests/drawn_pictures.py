"""Small pictures that are like each other by colour, for tests that need files."""

from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def draw_pictures(folder: Path, per_color: int = 8, seed: int = 0) -> Path:
    """Noisy pictures in ``folder/warm|cold/<color>/<number>.png``; returns ``folder``."""
    rng = np.random.default_rng(seed)
    for name, color in COLORS.items():
        below = folder / ("warm" if name == "red" else "cold") / name
        below.mkdir(parents=True, exist_ok=True)
        for number in range(per_color):
            noise = rng.normal(0, 25, (48, 64, 3)) + np.array(color)
            Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(below / f"{number}.png")
    return folder

"""Limits on an image, checked before anything is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageLimits:
    """Bytes of the file and pixels (width times height) of the image, both inclusive."""

    max_bytes: int = 50 * 2**20
    max_pixels: int = 100_000_000

"""Limits on an image, checked before anything is decoded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageLimits:
    """Bytes of the file and pixels (width times height) of the image, both inclusive.

    Pixels count as the file's header states them, whatever their depth; of an animation only the canvas counts.
    Pillow's own limit of 178,956,970 pixels holds for every setting.
    """

    max_bytes: int = 50 * 2**20
    max_pixels: int = 100_000_000

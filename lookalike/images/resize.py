"""Any shape -> a square, by one of the three policies."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.types.models import ResizePolicy

_RESAMPLING = Image.Resampling.BILINEAR  # Pillow's is antialiased: its support grows with the reduction


def resize(image_HWC: NDArray[np.uint8], size: int, policy: ResizePolicy) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]`` -> uint8 ``[size, size, 3]``. Letterbox centres the image on black."""
    return np.asarray(resize_image(Image.fromarray(image_HWC), size, policy))


def resize_image(image: Image.Image, size: int, policy: ResizePolicy) -> Image.Image:
    """:func:`resize` for Pillow images in mode RGB."""
    width, height = image.size
    match policy:
        case ResizePolicy.SQUASH:
            return image.resize((size, size), _RESAMPLING)
        case ResizePolicy.CENTER_CROP:
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            return image.resize((size, size), _RESAMPLING, box=(left, top, left + side, top + side))
        case ResizePolicy.LETTERBOX:
            scale = size / max(width, height)
            inner = (max(1, round(width * scale)), max(1, round(height * scale)))
            scaled = image.resize(inner, _RESAMPLING)
            square = Image.new("RGB", (size, size))
            square.paste(scaled, ((size - inner[0]) // 2, (size - inner[1]) // 2))
            return square

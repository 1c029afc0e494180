"""Any shape -> a square, by one of the three policies."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.types.models import ResizePolicy

_RESAMPLING = Image.Resampling.BILINEAR  # Pillow's is antialiased: its support grows with the reduction


def resize(image_HWC: NDArray[np.uint8], size: int, policy: ResizePolicy) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]`` -> uint8 ``[size, size, 3]``.

    Letterbox centres the image on black and keeps at least one pixel of its shorter side. Centre crop gives what
    resizing the whole and cropping then would: its outermost pixels average over the crop's edge.
    """
    return np.asarray(resize_image(Image.fromarray(image_HWC), size, policy))


def resize_image(
    image: Image.Image, size: int, policy: ResizePolicy, *, unscaled: tuple[int, int] | None = None
) -> Image.Image:
    """:func:`resize` for Pillow images in mode RGB.

    ``unscaled`` are width and height before :func:`lookalike.images.decode.decode_image` scaled the image by some
    eighths: they decide on the letterbox, so that scaling while decoding moves no border.
    """
    full_width, full_height = unscaled or image.size
    width, height = _extent(image.size, (full_width, full_height))
    match policy:
        case ResizePolicy.SQUASH:
            return image.resize((size, size), _RESAMPLING, box=(0, 0, width, height))
        case ResizePolicy.CENTER_CROP:
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            return image.resize((size, size), _RESAMPLING, box=(left, top, left + side, top + side))
        case ResizePolicy.LETTERBOX:
            scale = size / max(full_width, full_height)
            inner = (max(1, round(full_width * scale)), max(1, round(full_height * scale)))
            scaled = image.resize(inner, _RESAMPLING, box=(0, 0, width, height))
            square = Image.new("RGB", (size, size))
            square.paste(scaled, ((size - inner[0]) // 2, (size - inner[1]) // 2))
            return square


def _extent(scaled: tuple[int, int], full: tuple[int, int]) -> tuple[float, float]:
    """How much of ``scaled`` is picture: libjpeg-turbo rounds a scaled side up, and the last pixel is in part void."""
    if scaled == full:
        return scaled
    eighths = max(scaled) * 8 // max(full)
    return full[0] * eighths / 8, full[1] * eighths / 8

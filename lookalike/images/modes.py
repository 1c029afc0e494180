"""Whatever pixels a file holds -> 8-bit RGB."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_ROWS = 256  # so many rows at a time go through float64
_GREY_OF_16_BITS = np.round(np.arange(1 << 16) / 257.0).astype(np.uint8)


def to_rgb(image: Image.Image) -> Image.Image:
    """``image``, loaded, in mode RGB. Alpha is laid over white.

    Greys of more than 8 bits keep their range: integers that of 0 to 65,535 (others are clipped to it), floats
    that of 0 to 1 when all are in it, else their own from the least to the greatest finite value.
    """
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values_HW: NDArray[np.generic]) -> NDArray[np.uint8]:
    greys_HW = np.empty(values_HW.shape, np.uint8)
    is_float = np.issubdtype(values_HW.dtype, np.floating)
    low, high = _range(values_HW) if is_float else (0.0, 0.0)
    for first in range(0, len(values_HW), _ROWS):
        rows = values_HW[first : first + _ROWS]
        if is_float:
            numbers = np.nan_to_num(rows.astype(np.float64), nan=low, posinf=high, neginf=low)
            greys_HW[first : first + _ROWS] = np.round((numbers - low) * (255.0 / (high - low)))
        else:
            greys_HW[first : first + _ROWS] = _GREY_OF_16_BITS[np.clip(rows.astype(np.int64), 0, 65535)]
    return greys_HW


def _range(values_HW: NDArray[np.generic]) -> tuple[float, float]:
    blocks = (values_HW[first : first + _ROWS] for first in range(0, len(values_HW), _ROWS))
    extremes = [
        (float(finite.min()), float(finite.max()))
        for finite in (block[np.isfinite(block.astype(np.float64))] for block in blocks)
        if finite.size
    ]
    low, high = min((low for low, _ in extremes), default=0.0), max((high for _, high in extremes), default=0.0)
    if low >= 0.0 and high <= 1.0:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1.0)

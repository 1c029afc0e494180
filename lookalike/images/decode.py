"""Bytes -> uint8 ``[H, W, 3]`` RGB, upright.

JPEG goes through libjpeg-turbo with DCT scaling; every other format, and JPEGs with other than one or three
components, through Pillow. Alpha is laid over white. A file that ends early is refused, never half grey.
"""

import io
import warnings

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import InvalidImage
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import exif_orientation, open_image

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A decoded side is at least this many times the wanted one, so that the resampling still averages.
_OVERSAMPLING = 1.5


def decode(data: bytes, limits: ImageLimits, *, at_least: int | None = None) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]``, C-contiguous, EXIF orientation applied.

    With ``at_least`` the longer side may come smaller than stored, but at least 1.5 times that many pixels
    unless the image has fewer. Raises as :func:`lookalike.images.probe.probe`, and InvalidImage when the pixels
    are damaged or missing.
    """
    return np.ascontiguousarray(np.asarray(decode_image(data, limits, at_least=at_least)))


def decode_image(data: bytes, limits: ImageLimits, *, at_least: int | None = None) -> Image.Image:
    """:func:`decode` as a Pillow image in mode RGB."""
    with open_image(data, limits) as lazy:
        orientation = exif_orientation(lazy)
        if lazy.format in ("JPEG", "MPO") and lazy.mode in ("RGB", "L"):
            image = _jpeg(data, lazy.size, at_least)
        else:
            image = _by_pillow(lazy)
    transpose = _TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)


def _jpeg(data: bytes, size: tuple[int, int], at_least: int | None) -> Image.Image:
    wanted = 0 if at_least is None else int(at_least * _OVERSAMPLING)
    width, height = size
    # The longer side decides; libjpeg-turbo picks the smallest scale that keeps both minima.
    minima = (0, 0) if not wanted else ((0, wanted) if width >= height else (wanted, 0))
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "RGB", fastdct=False, fastupsample=False, min_height=minima[0], min_width=minima[1], strict=True
        )
    except ValueError as error:
        if "premature" in str(error).lower() or "not enough" in str(error).lower():
            raise InvalidImage(f"the JPEG is cut off: {error}") from error
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as lazy:
            return _by_pillow(lazy)
    return Image.fromarray(pixels)


def _by_pillow(lazy: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lazy.load()
            return _to_rgb(lazy)
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError, MemoryError) as error:
        raise InvalidImage(f"the image is damaged or cut off: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, with_alpha).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """16-bit greys by their range of 0 to 65,535; floats in [0, 1] by that, others by their own range."""
    numbers = np.nan_to_num(values.astype(np.float64))
    if not np.issubdtype(values.dtype, np.floating):
        scaled = numbers / 257.0
    elif numbers.size and numbers.min() >= 0 and numbers.max() <= 1:
        scaled = numbers * 255.0
    else:
        low, high = numbers.min(initial=0), numbers.max(initial=0)
        scaled = (numbers - low) * (255.0 / (high - low)) if high > low else np.zeros_like(numbers)
    return np.clip(np.round(scaled), 0, 255).astype(np.uint8)

"""Bytes -> uint8 ``[H, W, 3]`` RGB, upright.

JPEG goes through libjpeg-turbo with DCT scaling; every other format, and JPEGs with other than one or three
components, through Pillow. Alpha is laid over white. A file that ends early is refused, never half grey.
"""

import warnings
from enum import Enum

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from lookalike.errors import InvalidImage
from lookalike.images.limits import ImageLimits
from lookalike.images.modes import to_rgb
from lookalike.images.probe import PILLOW_ERRORS, TURNED, exif_orientation, open_image

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A scaled side has at least this many times the wanted pixels, so that the resampling still averages. It lets
# COCO's 640 pixels be halved for a model that takes 224. benchmarks/decode_scaling.py measures what it costs.
_OVERSAMPLING = 1.4
# Scaling by 5/8 to 7/8 has no SIMD code in libjpeg-turbo and takes longer than decoding everything.
_MIN_REDUCTION = 2.0


class Side(Enum):
    """Which side of an image decides how far it may be scaled while decoding."""

    LONGER = "longer"
    SHORTER = "shorter"


def decode(
    data: bytes, limits: ImageLimits, *, at_least: int | None = None, side: Side = Side.LONGER
) -> NDArray[np.uint8]:
    """uint8 ``[H, W, 3]``, C-contiguous, EXIF orientation applied.

    With ``at_least`` a JPEG may come smaller than stored, in its own aspect ratio, but with at least 1.4 times
    that many pixels along ``side``; never larger. Raises as :func:`lookalike.images.probe.probe`, and
    InvalidImage when the pixels are damaged or missing.
    """
    image, _ = decode_image(data, limits, at_least=at_least, side=side)
    return np.ascontiguousarray(np.asarray(image))


def decode_image(
    data: bytes, limits: ImageLimits, *, at_least: int | None = None, side: Side = Side.LONGER
) -> tuple[Image.Image, tuple[int, int]]:
    """:func:`decode` as a Pillow image in mode RGB, and the width and height that it has unscaled."""
    with open_image(data, limits) as lazy:
        orientation = exif_orientation(lazy, data)
        width, height = lazy.size
        image = None
        if lazy.format in ("JPEG", "MPO") and lazy.mode in ("RGB", "L"):
            image = _jpeg(data, lazy.size, at_least, side)
        if image is None:
            image = _by_pillow(lazy)
    transpose = _TRANSPOSES.get(orientation)
    if transpose is None:
        return image, (width, height)
    return image.transpose(transpose), (height, width) if orientation in TURNED else (width, height)


def _jpeg(data: bytes, size: tuple[int, int], at_least: int | None, side: Side) -> Image.Image | None:
    """None for a whole JPEG that libjpeg-turbo complains of, and that Pillow may still read."""
    min_width, min_height = _minima(size, at_least, side)
    try:
        pixels = simplejpeg.decode_jpeg(
            data, "RGB", fastdct=False, fastupsample=False, min_height=min_height, min_width=min_width, strict=True
        )
    except ValueError as error:
        if "premature" in str(error).lower() or "not enough" in str(error).lower():
            raise InvalidImage(f"the JPEG is cut off: {error}") from error
        return None
    return Image.fromarray(pixels)


def _minima(size: tuple[int, int], at_least: int | None, side: Side) -> tuple[int, int]:
    """The least width and height to decode; zeros decode everything, or libjpeg-turbo takes the next larger scale."""
    if at_least is None:
        return 0, 0
    wanted = int(at_least * _OVERSAMPLING)
    width_decides = (size[0] >= size[1]) is (side is Side.LONGER)
    if (size[0] if width_decides else size[1]) < wanted * _MIN_REDUCTION:
        return 0, 0
    return (wanted, 0) if width_decides else (0, wanted)


def _by_pillow(lazy: Image.Image) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lazy.load()
            return to_rgb(lazy)
    except PILLOW_ERRORS as error:
        raise InvalidImage(f"the image is damaged or cut off: {error}") from error

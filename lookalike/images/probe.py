"""What an image's header says, without decoding a pixel."""

import io
import struct
import warnings
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

from lookalike.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from lookalike.images.container import has_its_end, looks_like_image, png_exif, webp_canvas
from lookalike.images.limits import ImageLimits

# Only these decoders ever see a user's bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
# What Pillow's readers raise on damaged files, as found by feeding them thousands.
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
)
TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class ImageInfo:
    """``format`` is lower case; width and height are in pixels as the image is shown.

    ``orientation`` is what decoding has still to apply (EXIF, 1 to 8); a TIFF's is part of its format and
    always 1 here.
    """

    format: str
    width: int
    height: int
    orientation: int


def probe(data: bytes, limits: ImageLimits) -> ImageInfo:
    """Reads the header of ``data``.

    Raises ImageTooLarge over the limits, UnsupportedImage for what is no image of a format that is read, and
    InvalidImage for one that is damaged or cut off in its header, or a JPEG, PNG or WebP without its end.
    """
    with open_image(data, limits) as image:
        orientation = exif_orientation(image, data)
        width, height = image.size
        if orientation in TURNED:
            width, height = height, width
        name = "jpeg" if image.format == "MPO" else str(image.format).lower()
    if not has_its_end(data, name):
        raise InvalidImage(f"the image is cut off: its {name.upper()} file has no end")
    return ImageInfo(name, width, height, orientation)


def open_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """``data`` as a lazy Pillow image within ``limits``; raises as :func:`probe`."""
    if not data:
        raise InvalidImage("the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"{len(data)} bytes are over the limit of {limits.max_bytes}", size_bytes=len(data))
    canvas = webp_canvas(data)
    if canvas is not None:
        _check_pixels(*canvas, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked or refused here
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        if looks_like_image(data):
            raise InvalidImage("the image's header is damaged or cut off") from None
        raise UnsupportedImage("not an image of a format that is read (JPEG, PNG, WebP, GIF, BMP, TIFF)") from None
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from None
    except PILLOW_ERRORS as error:
        raise InvalidImage(f"the image's header is damaged: {error}") from error
    _check_pixels(image.width, image.height, limits)
    return image


def exif_orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation of ``data``, opened as ``image``; 1 where there is none or it makes no sense."""
    if image.format == "TIFF":
        return 1  # Pillow applies it: to the size when it opens a TIFF, to the pixels when it loads them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if image.format == "PNG" and "exif" not in image.info:
                image.info["exif"] = png_exif(data) or b""  # or else Pillow decodes the pixels to look behind them
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except PILLOW_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _check_pixels(width: int, height: int, limits: ImageLimits) -> None:
    pixels = width * height
    if pixels > limits.max_pixels:
        raise ImageTooLarge(f"{width} x {height} pixels are over the limit of {limits.max_pixels}", pixels=pixels)
    if pixels == 0:
        raise InvalidImage("the image has no pixels")

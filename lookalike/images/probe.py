"""What an image's header says, without decoding a pixel."""

import io
import warnings
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

from lookalike.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from lookalike.images.limits import ImageLimits

# Only these decoders ever see a user's bytes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_TURNED = frozenset({5, 6, 7, 8})  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class ImageInfo:
    """``format`` is lower case; width and height are in pixels after EXIF orientation (1 to 8)."""

    format: str
    width: int
    height: int
    orientation: int


def probe(data: bytes, limits: ImageLimits) -> ImageInfo:
    """Reads the header of ``data``.

    Raises ImageTooLarge over the limits, UnsupportedImage for what is no image of a format that is read, and
    InvalidImage for one that is damaged or cut off in its header.
    """
    with open_image(data, limits) as image:
        orientation = exif_orientation(image)
        width, height = image.size
        if orientation in _TURNED:
            width, height = height, width
        name = "jpeg" if image.format == "MPO" else str(image.format).lower()
    if name == "jpeg" and b"\xff\xd9" not in data[-4096:]:
        raise InvalidImage("the JPEG is cut off: it has no end marker")
    if name == "png" and b"IEND" not in data[-4096:]:
        raise InvalidImage("the PNG is cut off: it has no end chunk")
    return ImageInfo(name, width, height, orientation)


def open_image(data: bytes, limits: ImageLimits) -> Image.Image:
    """``data`` as a lazy Pillow image within ``limits``; raises as :func:`probe`."""
    if not data:
        raise InvalidImage("the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(f"{len(data)} bytes are over the limit of {limits.max_bytes}", size_bytes=len(data))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked or refused here
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise UnsupportedImage("not an image of a format that is read (JPEG, PNG, WebP, GIF, BMP, TIFF)") from None
    except Image.DecompressionBombError as error:
        raise ImageTooLarge(str(error)) from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError, MemoryError) as error:
        raise InvalidImage(f"the image's header is damaged: {error}") from error
    pixels = image.width * image.height
    if pixels > limits.max_pixels:
        raise ImageTooLarge(
            f"{image.width} x {image.height} pixels are over the limit of {limits.max_pixels}", pixels=pixels
        )
    if pixels == 0:
        raise InvalidImage("the image has no pixels")
    return image


def exif_orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 where there is none or it makes no sense."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, EOFError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1

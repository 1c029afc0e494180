"""Small JPEGs for people to look at."""

import io

from PIL import Image

from lookalike.errors import InvalidRequest
from lookalike.images.decode import decode_image
from lookalike.images.limits import ImageLimits

MIN_SIZE = 32
MAX_SIZE = 1024


def thumbnail(data: bytes, *, size: int, limits: ImageLimits) -> bytes:
    """A JPEG whose longer side is ``size`` pixels (32 to 1024), or that of the image where it is smaller.

    Nothing of the original's metadata is carried over.
    """
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise InvalidRequest(f"a thumbnail's size is {MIN_SIZE} to {MAX_SIZE}, not {size}", size=size)
    image, (width, height) = decode_image(data, limits, at_least=size)
    scale = min(1.0, size / max(width, height))
    image = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()

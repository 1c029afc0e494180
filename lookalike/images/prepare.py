"""An image's bytes -> the square of pixels that a model takes: the hot path of embedding."""

import numpy as np
from numpy.typing import NDArray

from lookalike.images.decode import decode_image
from lookalike.images.limits import ImageLimits
from lookalike.images.resize import resize_image
from lookalike.types.models import ResizePolicy

_MAX_ASPECT_FOR_SCALING = 3.0


def prepare(data: bytes, *, size: int, policy: ResizePolicy, limits: ImageLimits) -> NDArray[np.uint8]:
    """uint8 ``[size, size, 3]`` RGB. Raises as :func:`lookalike.images.decode.decode`."""
    # Squash and centre crop look at the shorter side, for which the longer must be decoded larger.
    longer = size if policy is ResizePolicy.LETTERBOX else int(size * _MAX_ASPECT_FOR_SCALING / 1.5)
    image = decode_image(data, limits, at_least=longer)
    return np.array(resize_image(image, size, policy))

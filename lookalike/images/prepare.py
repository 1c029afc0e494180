"""An image's bytes -> the square of pixels that a model takes: the hot path of embedding."""

import numpy as np
from numpy.typing import NDArray

from lookalike.images.decode import Side, decode_image
from lookalike.images.limits import ImageLimits
from lookalike.images.resize import resize_image
from lookalike.types.models import ResizePolicy


def prepare(data: bytes, *, size: int, policy: ResizePolicy, limits: ImageLimits) -> NDArray[np.uint8]:
    """uint8 ``[size, size, 3]`` RGB. Raises as :func:`lookalike.images.decode.decode`."""
    # Letterbox brings the longer side to ``size``; squash brings both there, and centre crop the shorter one.
    side = Side.LONGER if policy is ResizePolicy.LETTERBOX else Side.SHORTER
    image, unscaled = decode_image(data, limits, at_least=size, side=side)
    return np.array(resize_image(image, size, policy, unscaled=unscaled))

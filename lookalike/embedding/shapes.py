"""What every embedder checks before, and guarantees after, its model.

Shape suffixes: N images, H and W their height and width, C channels, D dimension.
"""

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest
from lookalike.types.models import ModelManifest


def check_images(images_NHWC: NDArray[np.uint8], manifest: ModelManifest) -> None:
    """Raises InvalidRequest unless the images are uint8 ``[N, S, S, 3]``, S being the model's input size."""
    side = manifest.input_size
    if images_NHWC.ndim != 4 or images_NHWC.shape[1:] != (side, side, 3) or images_NHWC.dtype != np.uint8:
        raise InvalidRequest(
            f"{manifest.name} takes uint8 [N, {side}, {side}, 3], not {images_NHWC.dtype} {list(images_NHWC.shape)}",
            expected=[None, side, side, 3],
            shape=list(images_NHWC.shape),
        )


def unit_rows(embeddings_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1 to float32 accuracy; programs return them so except for the rounding of bfloat16.

    A row without a direction (length zero, NaN or infinite, which no program should return) becomes the
    vector with every component ``1 / sqrt(D)``: one image cannot spoil a gallery's index.
    """
    lengths_N1 = np.linalg.norm(embeddings_ND.astype(np.float64), axis=1, keepdims=True)
    has_direction_N = np.isfinite(lengths_N1[:, 0]) & (lengths_N1[:, 0] > 1e-12)
    rows_ND = np.full_like(embeddings_ND, embeddings_ND.shape[1] ** -0.5)
    rows_ND[has_direction_N] = embeddings_ND[has_direction_N] / lengths_N1[has_direction_N]
    return rows_ND

"""Which images are trained on and which are held out.

Shape suffixes: N images.
"""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest
from services.trainer.data.labelled import LabelledImages
from services.trainer.data.seeded_order import ranks_within
from services.trainer.data.source_split import TRAIN, VAL

Rows: TypeAlias = NDArray[np.int64]
_PURPOSE = 0x636C6173


def split(images: LabelledImages, *, val_share: float = 0.2, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on, ascending; together every image once.

    The source's own split where it names both sides; images that it says nothing of are trained on. Otherwise each
    class gives ``val_share`` of its images, rounded, in an order that follows from ``seed`` and their keys: one image
    more or less moves at most one other image of its class and none of the others. Images without a class count as one
    class. In either case an image whose bytes are trained on under another key is trained on too: to find it again
    would be no retrieval. Raises InvalidRequest for a share that is not between 0 and 1, or one that leaves a side
    empty.
    """
    if not 0 < val_share < 1:
        raise InvalidRequest(f"val_share is between 0 and 1, not {val_share}", val_share=val_share)
    if (images.split_N == TRAIN).any() and (images.split_N == VAL).any():
        is_val = images.split_N == VAL
    else:
        places = ranks_within(images.keys, images.codes_N.tolist(), seed, "split")
        is_val = np.array([place < _rounded(val_share * number) for place, number in places], bool)
    sha256s_N = np.array(images.sha256s)
    is_val &= ~np.isin(sha256s_N, sha256s_N[~is_val])
    if is_val.all() or not is_val.any():
        side = "train" if is_val.all() else "validate"
        raise InvalidRequest(
            f"val_share {val_share} of {images.num_images} images leaves none to {side} on", val_share=val_share
        )
    return np.flatnonzero(~is_val), np.flatnonzero(is_val)


def hold_out_classes(images: LabelledImages, share: float, seed: int) -> tuple[Rows, Rows]:
    """Rows of the classes that are kept and of those that are held out, ascending; images without a class are neither.

    ``share`` of the classes is held out, rounded, at least one and never all: the first of a permutation of the sorted
    names by ``seed``. Raises InvalidRequest for a share that is not between 0 and 1, and for fewer than two classes.
    """
    if not 0 < share < 1:
        raise InvalidRequest(f"a share of classes is between 0 and 1, not {share}", share=share)
    num_classes = images.num_classes
    if num_classes < 2:
        raise InvalidRequest(f"of {num_classes} classes none can be held out", num_classes=num_classes)
    num_held = min(max(_rounded(share * num_classes), 1), num_classes - 1)
    held = np.random.default_rng((_PURPOSE, seed)).permutation(num_classes)[:num_held]
    is_held = np.isin(images.codes_N, held)
    return np.flatnonzero(~is_held & (images.codes_N >= 0)), np.flatnonzero(is_held)


def _rounded(number: float) -> int:
    """Halves always up: Python's rounding to even would now and then take two more for one image more."""
    return math.floor(number + 0.5)

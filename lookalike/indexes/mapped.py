"""Memory of embeddings that are mapped from a file."""

import mmap

import numpy as np
from numpy.typing import NDArray


def let_go(embeddings_ND: NDArray[np.float32]) -> None:
    """Takes what was read of a read-only memory map out of this process's memory; it stays in the system's cache.

    For builders that read every row once beside a library that holds its own copy. Reading again is right and
    costs a page fault. Does nothing for other arrays, or where the system has no such call.
    """
    if not isinstance(embeddings_ND, np.memmap) or embeddings_ND.mode != "r" or not hasattr(mmap, "MADV_DONTNEED"):
        return
    base: object = embeddings_ND.base
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None:
        base.madvise(mmap.MADV_DONTNEED)

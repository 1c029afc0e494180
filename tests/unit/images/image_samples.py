"""Pictures with known pixels, as files of every kind, for the tests of this folder."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

ORIENTATIONS = range(1, 9)


def scene(width: int, height: int) -> NDArray[np.uint8]:
    """Smooth, and different in every corner: no two orientations look alike. uint8 [H, W, 3]."""
    down_HW, across_HW = np.mgrid[0:height, 0:width]
    right, below = across_HW / max(1, width - 1), down_HW / max(1, height - 1)
    return np.stack([255 * right, 255 * below, 255 * (1 - right) * (1 - below)], axis=2).astype(np.uint8)


def encoded(image: Image.Image | NDArray[np.uint8], format: str, **options: object) -> bytes:
    """``image`` as a file."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block that says ``orientation`` and nothing else."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    return block.tobytes()


def stored_for(upright_HWC: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """The pixels that a camera stores so that ``orientation`` (EXIF 2.32, section 4.6.4) shows ``upright_HWC``.

    Written with NumPy from the standard's words (where row 0 and column 0 are), not with Pillow's names.
    """
    across = np.swapaxes(upright_HWC, 0, 1)
    return {
        1: upright_HWC,
        2: upright_HWC[:, ::-1],  # column 0 is the right-hand side
        3: upright_HWC[::-1, ::-1],  # row 0 is the bottom, column 0 the right-hand side
        4: upright_HWC[::-1],  # row 0 is the bottom
        5: across,  # row 0 is the left-hand side, column 0 the top
        6: across[::-1],  # row 0 is the right-hand side, column 0 the top
        7: across[::-1, ::-1],  # row 0 is the right-hand side, column 0 the bottom
        8: across[:, ::-1],  # row 0 is the left-hand side, column 0 the bottom
    }[orientation].copy()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, depth: int, color_type: int, rows: bytes, before: bytes = b"") -> bytes:
    """A PNG written by hand: ``rows`` are its filtered scan lines, ``before`` chunks that precede them."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + before
        + png_chunk(b"IDAT", zlib.compress(rows, 9))
        + png_chunk(b"IEND", b"")
    )


def interlaced_png(pixels_HWC: NDArray[np.uint8]) -> bytes:
    """8-bit RGB in Adam7's seven passes (PNG specification, section 8.2)."""
    height, width, _ = pixels_HWC.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b""
    for top, left, down, across in passes:
        for row in pixels_HWC[top::down, left::across]:
            rows += b"\0" + row.tobytes() if row.size else b""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


def difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    """The mean absolute difference of two images of one shape, in grey levels."""
    assert left.shape == right.shape
    return float(np.abs(left.astype(np.int16) - right.astype(np.int16)).mean())

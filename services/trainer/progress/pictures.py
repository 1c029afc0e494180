"""Sheets of pictures beside a checkpoint: what a network makes of images, and which it takes for alike.

Shape suffixes: N images, H and W their height and width, C channels, D dimension of embeddings, Q queries.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookalike.errors import InvalidRequest

MIN_SIDE = 96  # smaller images are shown larger, by a whole factor
FRAME = 4
GAP = 4
CAPTION = 16
COLUMNS = 8
QUERY, SAME, OTHER, UNLABELLED = (40, 40, 40), (30, 150, 60), (210, 40, 40), (160, 160, 160)


def reconstruction_sheet(
    originals_NHWC: NDArray[np.uint8], reconstructions_NHWC: NDArray[np.uint8] | NDArray[np.float32], target: Path
) -> None:
    """Writes a PNG: rows of up to eight originals, each with its reconstruction below it.

    Both uint8 ``[N, S, S, 3]``; reconstructions may be floats from 0 to 1 instead, and are cut to that. Raises
    InvalidRequest for other shapes or types.
    """
    if np.issubdtype(reconstructions_NHWC.dtype, np.floating):
        reconstructions_NHWC = (reconstructions_NHWC.clip(0, 1) * 255).round().astype(np.uint8)
    _check(originals_NHWC)
    _check(reconstructions_NHWC)
    if originals_NHWC.shape != reconstructions_NHWC.shape:
        raise InvalidRequest(f"{originals_NHWC.shape} originals, {reconstructions_NHWC.shape} reconstructions")
    num_images = len(originals_NHWC)
    side = shown_side(originals_NHWC.shape[1])
    columns = min(COLUMNS, num_images)
    pair = 2 * side + 2 * GAP
    sheet = Image.new("RGB", (columns * (side + GAP) + GAP, -(-num_images // columns) * pair + GAP), "white")
    for number, images_HWC in enumerate(zip(originals_NHWC, reconstructions_NHWC, strict=True)):
        left, top = GAP + number % columns * (side + GAP), GAP + number // columns * pair
        for row, image_HWC in enumerate(images_HWC):
            sheet.paste(_shown(image_HWC), (left, top + row * (side + GAP // 2)))
    sheet.save(target, "PNG")


def retrieval_sheet(
    images_NHWC: NDArray[np.uint8],
    codes_N: NDArray[np.int64],
    embeddings_ND: NDArray[np.float32],
    query_rows: Sequence[int],
    k: int,
    target: Path,
    names: Sequence[str],
) -> None:
    """Writes a PNG: each query on the left, its ``k`` nearest other images by cosine to the right.

    A neighbour's frame is green where its label is the query's and red where it isn't; grey where one of them has
    none (code -1). Under each stands its label's name, and a neighbour's cosine. Equal cosines come in row order.

    Args:
        images_NHWC: uint8 ``[N, S, S, 3]``.
        codes_N: of each image's label, an index of ``names``, or -1.
        embeddings_ND: of each image, any length above 0.
        query_rows: which images are asked for.
        k: at most N - 1.
    """
    _check(images_NHWC)
    num_images = len(images_NHWC)
    if not len(codes_N) == len(embeddings_ND) == num_images:
        raise InvalidRequest(f"{num_images} images, {len(codes_N)} codes and {len(embeddings_ND)} embeddings")
    if not 1 <= k < num_images or not all(0 <= row < num_images for row in query_rows) or not query_rows:
        raise InvalidRequest(f"no {k} neighbours of rows {list(query_rows)[:20]} among {num_images} images")
    neighbours_QK, cosines_QK = nearest(embeddings_ND, query_rows, k)
    side = shown_side(images_NHWC.shape[1]) + 2 * FRAME
    width, height = side + GAP, side + CAPTION + GAP
    sheet = Image.new("RGB", ((k + 1) * width + 2 * GAP + GAP, len(query_rows) * height + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for line, query in enumerate(query_rows):
        cells = [(query, QUERY, _name(codes_N[query], names))]
        for row, cosine in zip(neighbours_QK[line], cosines_QK[line], strict=True):
            frame = _frame(codes_N[query], codes_N[row])
            cells.append((int(row), frame, f"{cosine:.2f} {_name(codes_N[row], names)}"))
        for column, (row, frame, caption) in enumerate(cells):
            # A wider gap sets the query apart.
            left, top = GAP + column * width + (2 * GAP if column else 0), GAP + line * height
            draw.rectangle((left, top, left + side - 1, top + side - 1), fill=frame)
            sheet.paste(_shown(images_NHWC[row]), (left + FRAME, top + FRAME))
            draw.text((left, top + side + 2), caption[: side // 6], fill="black")
    sheet.save(target, "PNG")


def nearest(
    embeddings_ND: NDArray[np.float32], query_rows: Sequence[int], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and cosines ``[Q, K]`` of the nearest embeddings by cosine, the query itself left out; ties by row."""
    unit_ND = embeddings_ND / np.maximum(np.linalg.norm(embeddings_ND, axis=1, keepdims=True), 1e-12)
    rows_Q = np.asarray(query_rows)
    cosines_QN = unit_ND[rows_Q] @ unit_ND.T
    cosines_QN[np.arange(len(rows_Q)), rows_Q] = -np.inf
    neighbours_QK = np.argsort(-cosines_QN, axis=1, kind="stable")[:, :k]
    return neighbours_QK, np.take_along_axis(cosines_QN, neighbours_QK, axis=1)


def shown_side(side: int) -> int:
    """Pixels at which an image of ``side`` is shown: ``side``, or the smallest multiple of at least ``MIN_SIDE``."""
    return side * max(1, -(-MIN_SIDE // side))


def _shown(image_HWC: NDArray[np.uint8]) -> Image.Image:
    side = shown_side(image_HWC.shape[0])
    return Image.fromarray(np.ascontiguousarray(image_HWC)).resize((side, side), Image.Resampling.NEAREST)


def _frame(query: int, neighbour: int) -> tuple[int, int, int]:
    if query < 0 or neighbour < 0:
        return UNLABELLED
    return SAME if query == neighbour else OTHER


def _name(code: int, names: Sequence[str]) -> str:
    return names[code] if code >= 0 else ""


def _check(images_NHWC: NDArray[Any]) -> None:
    shape = images_NHWC.shape
    if (
        images_NHWC.dtype != np.uint8
        or len(shape) != 4
        or shape[3] != 3
        or shape[1] != shape[2]
        or not len(images_NHWC)
    ):
        raise InvalidRequest(f"a sheet is of uint8 [N, S, S, 3], not {images_NHWC.dtype} {list(shape)}")

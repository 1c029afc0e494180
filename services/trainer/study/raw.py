"""Embeddings before normalisation, in the order of the studied images.

Shape suffixes: N images, D dimension, S side of an image.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog import keys
from lookalike.errors import InvalidRequest
from lookalike.images.prepare import prepare
from lookalike.pipeline.workspace import Workspace
from lookalike.types.images import ImageRecord
from lookalike.types.models import ModelManifest
from services.trainer.study.decomposition import unit
from services.trainer.study.gallery import StudiedImages
from services.trainer.study.models import RawEmbeddings, RawFeatures

_BATCH = 32
_ROWS = 1024


def raw_in_order(
    workspace: Workspace,
    gallery: str,
    images: StudiedImages,
    embedded_N: NDArray[np.bool_],
    manifest: ModelManifest,
    raw: RawEmbeddings | RawFeatures,
) -> NDArray[np.float32]:
    """Raw embeddings row by row, float32 ``[N, D]``, 0 for images that have no embedding under the model.

    Features are computed from the stored bytes, prepared as ``manifest`` says. Raises InvalidRequest where an image
    that is embedded has no raw embedding, or features are of another shape or not finite.
    """
    if not isinstance(raw, RawEmbeddings):
        raw = _embedded(workspace, gallery, images, embedded_N, manifest, raw)
    place = {key: number for number, key in enumerate(raw.keys)}
    rows = np.flatnonzero(embedded_N)
    missing = [images.records[row].key for row in rows if images.records[row].key not in place]
    if missing:
        raise InvalidRequest(
            f"{len(missing)} images have no raw embedding under {manifest.ref}, the first is {missing[0]!r}",
            model=str(manifest.ref),
        )
    in_order_ND = np.zeros((len(images.records), raw.embeddings_ND.shape[1]), np.float32)
    in_order_ND[rows] = raw.embeddings_ND[[place[images.records[row].key] for row in rows]]
    return in_order_ND


def agreement(
    raw_ND: NDArray[np.float32], embeddings_ND: NDArray[np.float32], embedded_N: NDArray[np.bool_]
) -> float | None:
    """The lowest cosine of a raw embedding with the archive's of the same image; None where dimensions differ.

    Whitening and a reduced dimension, baked into an archive, make it differ from what was trained.
    """
    if raw_ND.shape[1] != embeddings_ND.shape[1] or not embedded_N.any():
        return None
    rows = np.flatnonzero(embedded_N)
    blocks = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    return min(float(np.einsum("nd,nd->n", unit(raw_ND[block]), unit(embeddings_ND[block])).min()) for block in blocks)


def _embedded(
    workspace: Workspace,
    gallery: str,
    images: StudiedImages,
    embedded_N: NDArray[np.bool_],
    manifest: ModelManifest,
    features: RawFeatures,
) -> RawEmbeddings:
    records = [images.records[row] for row in np.flatnonzero(embedded_N)]
    parts = [np.zeros((0, 0), np.float32)]
    for batch in _batches(records):
        pixels_NSSC = np.stack(
            [
                prepare(
                    workspace.store.get(keys.image(gallery, record.sha256)),
                    size=manifest.input_size,
                    policy=manifest.resize_policy,
                    limits=workspace.limits,
                )
                for record in batch
            ]
        )
        made = np.asarray(features(pixels_NSSC), np.float32)
        if made.ndim != 2 or len(made) != len(batch):
            raise InvalidRequest(f"raw features of {len(batch)} images have shape {made.shape}")
        parts.append(made)
    return RawEmbeddings(tuple(record.key for record in records), np.concatenate(parts[1:] or parts))


def _batches(records: list[ImageRecord]) -> Iterator[list[ImageRecord]]:
    for start in range(0, len(records), _BATCH):
        yield records[start : start + _BATCH]

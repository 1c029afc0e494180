"""The images of a run: opened, decoded, and divided into what is trained on, validated on and held out.

Shape suffixes: N images, S side of the network's input.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidSource
from lookalike.images.limits import ImageLimits
from services.trainer.config import TrainConfig
from services.trainer.data.labelled import LabelledImages, load_labelled
from services.trainer.data.paired import open_training_source
from services.trainer.data.split import hold_out_classes, split
from services.trainer.objectives import needs_labels

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """``images`` at the network's input size; ``photographs`` are the same at the teacher's, where there is one.

    ``held_out_rows`` are all images of the classes that the run does not see. ``names`` are the classes of the other
    rows, and ``codes_N`` int64 their positions, -1 for held-out images and those without a label.
    """

    images: LabelledImages
    photographs: LabelledImages | None
    train_rows: Rows
    val_rows: Rows
    held_out_rows: Rows
    names: tuple[str, ...]
    codes_N: NDArray[np.int64]

    @property
    def train_digest(self) -> str:
        """SHA-256 of the data and of which of its images, in which order, are trained on."""
        said = [self.images.digest, [self.images.keys[row] for row in self.train_rows]]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()

    @property
    def held_out_names(self) -> tuple[str, ...]:
        return tuple(sorted({self.images.names[code] for code in self.images.codes_N[self.held_out_rows] if code >= 0}))


def load_dataset(
    config: TrainConfig,
    *,
    cache: Path,
    limits: ImageLimits,
    fetch: Callable[[str], bytes],
    photograph_side: int | None = None,
) -> Dataset:
    """Decodes what the configuration names, or maps it from the cache.

    ``photograph_side`` is the teacher's input size. Raises InvalidSource, and InvalidRequest for a source without the
    labels that the objective needs.
    """
    images = _load(config, config.input_size, cache, limits, fetch)
    photographs = None if photograph_side is None else _load(config, photograph_side, cache, limits, fetch)
    if photographs is not None and photographs.keys != images.keys:
        raise InvalidSource(
            f"{config.data.source} has images that can be read at one size and not at another",
            num_images=images.num_images,
            num_photographs=photographs.num_images,
        )
    rows = np.arange(images.num_images)
    kept, held_out = rows, rows[:0]
    if config.data.held_out_classes:
        kept, held_out = hold_out_classes(images, config.data.held_out_classes, config.seed)
    divided = images
    if config.data.split == "seeded":
        divided = replace(images, split_N=np.full(images.num_images, "", images.split_N.dtype))
    train_rows, val_rows = split(divided, val_share=config.data.val_share, seed=config.seed)
    names, codes_N = _codes_without(images, held_out)
    return Dataset(
        images,
        photographs,
        train_rows=train_rows[np.isin(train_rows, kept)],
        val_rows=val_rows[np.isin(val_rows, kept)],
        held_out_rows=held_out,
        names=names,
        codes_N=codes_N,
    )


def _load(
    config: TrainConfig, side: int, cache: Path, limits: ImageLimits, fetch: Callable[[str], bytes]
) -> LabelledImages:
    source = open_training_source(
        config.data.source, images_root=config.data.images_root, fetcher=fetch, max_bytes=limits.max_bytes
    )
    try:
        return load_labelled(
            source,
            side=side,
            policy=config.data.resize_policy,
            cache=cache,
            limits=limits,
            max_images=config.data.max_images,
            seed=config.seed,
            keep_unlabelled=config.objective is not None and not needs_labels(config.objective),
        )
    finally:
        source.close()


def _codes_without(images: LabelledImages, held_out: Rows) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    codes_N = images.codes_N.copy()
    codes_N[held_out] = -1
    present = np.unique(codes_N[codes_N >= 0])
    renumbered = np.full(len(images.names) + 1, -1, np.int64)
    renumbered[present] = np.arange(len(present))
    return tuple(images.names[code] for code in present), renumbered[codes_N]

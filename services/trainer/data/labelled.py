"""A labelled source as one array of pixels, decoded once and then mapped from a cache.

Pixels are what embedding would see: :func:`lookalike.images.prepare.prepare` makes both.

Shape suffixes: N images, S side of the square, C channels.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest, InvalidSource
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.images.limits import ImageLimits
from lookalike.types.images import Labels
from lookalike.types.models import ResizePolicy
from services.trainer.data.pixel_cache import LoadFailure, PixelCache
from services.trainer.data.seeded_order import subset
from services.trainer.data.source_split import labels_of, split_of

UNLABELLED = -1


@dataclass(frozen=True)
class LabelledImages:
    """Images of a source, in ascending order of their keys.

    ``images_NSSC`` uint8 is mapped from the cache and read-only. ``codes_N`` int64 is the class of each image, its
    position in the sorted ``names`` of the subcategories, and -1 for one without. ``sha256s`` are of the images' bytes:
    equal for the same file under two keys. ``split_N`` holds ``train``,
    ``val`` or nothing, as the source says. ``digest`` is the SHA-256 over sorted (key, SHA-256 of the bytes, labels):
    equal for equal data, whatever its size in pixels. ``num_unlabelled`` counts those that were left out for having no
    subcategory; ``failures`` are the images that could not be read or decoded, by key.
    """

    images_NSSC: NDArray[np.uint8]
    keys: tuple[str, ...]
    sha256s: tuple[str, ...]
    labels: tuple[Labels, ...]
    codes_N: NDArray[np.int64]
    names: tuple[str, ...]
    split_N: NDArray[np.str_]
    digest: str
    failures: tuple[LoadFailure, ...] = ()
    num_unlabelled: int = 0

    @property
    def num_images(self) -> int:
        return len(self.keys)

    @property
    def num_classes(self) -> int:
        return len(self.names)


def load_labelled(
    source: GallerySource,
    *,
    side: int,
    policy: ResizePolicy,
    cache: Path,
    limits: ImageLimits | None = None,
    max_images: int | None = None,
    seed: int = 0,
    keep_unlabelled: bool = False,
    workers: int | None = None,
) -> LabelledImages:
    """The images of ``source`` at ``side`` x ``side`` pixels, from ``cache`` where they have been decoded before.

    The cache goes by the keys and stamps of the images (the SHA-256 of the bytes where a source has no stamps), so
    that a changed file is decoded again and a changed label costs nothing. An image that cannot be read or decoded is
    one of ``failures``; an error that says that something is down propagates.

    Args:
        cache: a folder, made where it is missing; several processes may share it.
        max_images: at most so many, drawn by ``seed`` in the proportions of the classes and of the source's split; a
            greater number gives a superset.
        keep_unlabelled: also images without a subcategory, for objectives that need none.
        workers: threads that decode; by default one more than there are cores.

    Raises InvalidSource when no image is left, and InvalidRequest when that is for want of labels.
    """
    if max_images is not None and max_images < 1:
        raise InvalidRequest(f"max_images is at least 1, not {max_images}", max_images=max_images)
    found = list(source.images())
    problems = [LoadFailure(item.key, item.code, item.reason) for item in found if isinstance(item, SourceProblem)]
    images = [item for item in found if isinstance(item, SourceImage)]
    chosen = images if keep_unlabelled else [image for image in images if image.labels.subcategory is not None]
    num_unlabelled = len(images) - len(chosen)
    if images and not chosen:
        raise InvalidRequest(
            f"{source.description} has no labels: sub-folders, COCO annotations or a label column say them"
        )
    splits = [split_of(image, source.description) for image in chosen]
    strata = [f"{split}/{image.labels.subcategory}" for split, image in zip(splits, chosen, strict=True)]
    if max_images is not None:
        rows = subset([image.key for image in chosen], strata, max_images, seed)
        chosen, splits = [chosen[row] for row in rows], [splits[row] for row in rows]
    pixels = PixelCache(cache, side, policy, limits or ImageLimits(), workers).load(source, chosen)
    failures = tuple(sorted([*problems, *pixels.failures], key=lambda failure: failure.key))
    if not pixels.rows:
        raise InvalidSource(
            f"{source.description} has no image that can be read; {len(failures)} failed"
            + (f", the first, {failures[0].key}: {failures[0].reason}" if failures else "")
        )
    labels = tuple(labels_of(chosen[row]) for row in pixels.rows)
    keys = tuple(chosen[row].key for row in pixels.rows)
    names, codes_N = class_codes(labels)
    return LabelledImages(
        images_NSSC=pixels.images_NSSC,
        keys=keys,
        sha256s=pixels.sha256s,
        labels=labels,
        codes_N=codes_N,
        names=names,
        split_N=np.array([splits[row] for row in pixels.rows], dtype="<U5"),
        digest=_digest(keys, pixels.sha256s, labels),
        failures=failures,
        num_unlabelled=num_unlabelled,
    )


def require_labels(images: LabelledImages) -> None:
    """Raises InvalidRequest unless every image has a class and there are two classes or more."""
    num_without = int((images.codes_N < 0).sum())
    if not images.names:
        raise InvalidRequest("this objective needs labels, and no image of the data has one")
    if num_without:
        raise InvalidRequest(
            f"this objective needs labels, and {num_without} of {images.num_images} images have none: leave them out",
            num_unlabelled=num_without,
        )
    if len(images.names) < 2:
        raise InvalidRequest(f"this objective needs two classes or more; all images are {images.names[0]!r}")


def class_codes(labels: Sequence[Labels]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The sorted names of the subcategories, and int64 ``[N]``: the position of each image's, -1 without one."""
    names = tuple(sorted({label.subcategory for label in labels if label.subcategory is not None}))
    code_of: dict[str | None, int] = {name: code for code, name in enumerate(names)}
    return names, np.array([code_of.get(label.subcategory, UNLABELLED) for label in labels], np.int64)


def _digest(keys: Sequence[str], sha256s: Sequence[str], labels: Sequence[Labels]) -> str:
    """Each image is one line of JSON, which no other image's line can be part of."""
    digest = hashlib.sha256()
    for key, sha256, label in sorted(zip(keys, sha256s, labels, strict=True), key=lambda image: image[0]):
        digest.update(json.dumps([key, sha256, label.model_dump(mode="json")]).encode() + b"\n")
    return digest.hexdigest()

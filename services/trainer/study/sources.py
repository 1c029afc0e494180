"""Which images of a source a study is about: a sample of a given size, those with a single label."""

from collections.abc import Iterator

import numpy as np

from lookalike.errors import InvalidSource
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem


class ChosenImages:
    """The images of ``source`` that a study looks at.

    ``single_label`` leaves out those without a subcategory of their own; ``size`` takes at most so many, drawn with
    ``seed`` so that subcategories keep their shares: of each class with n of N images, ``size * n / N``, rounded by
    largest remainder. What cannot be read is passed on. Closing it closes ``source``. Raises InvalidSource where
    nothing is left.
    """

    def __init__(
        self, source: GallerySource, *, size: int | None = None, seed: int = 0, single_label: bool = False
    ) -> None:
        self._source = source
        self._size = size
        self._single_label = single_label
        wanted = {
            image.key: image.labels.subcategory or ""
            for image in source.images()
            if isinstance(image, SourceImage) and not (single_label and image.labels.subcategory is None)
        }
        self._keys = frozenset(wanted if size is None else _drawn(wanted, size, seed))
        if not self._keys:
            raise InvalidSource(f"no image of {source.description} is left to study", source=source.description)

    @property
    def description(self) -> str:
        single = ", single-label images" if self._single_label else ""
        return f"{self._source.description}{single}{'' if self._size is None else f', {len(self._keys)} of them'}"

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for image in self._source.images():
            if isinstance(image, SourceProblem) or image.key in self._keys:
                yield image

    def read(self, image: SourceImage) -> bytes:
        return self._source.read(image)

    def close(self) -> None:
        self._source.close()


def _drawn(classes: dict[str, str], size: int, seed: int) -> list[str]:
    by_class: dict[str, list[str]] = {}
    for key, name in classes.items():
        by_class.setdefault(name, []).append(key)
    names = sorted(by_class)
    counts_C = np.array([len(by_class[name]) for name in names])
    shares_C = counts_C * min(size, len(classes)) / max(1, len(classes))
    taken_C = np.floor(shares_C).astype(int)
    missing = min(size, len(classes)) - int(taken_C.sum())
    taken_C[np.argsort(taken_C - shares_C, kind="stable")[:missing]] += 1
    rng = np.random.default_rng(seed)
    return [
        by_class[name][position]
        for name, taken in zip(names, taken_C, strict=True)
        for position in rng.permutation(len(by_class[name]))[:taken]
    ]

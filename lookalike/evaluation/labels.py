"""The labels of a gallery as arrays, one entry per row of the embedding set.

Galleries have far fewer distinct label sets than images, so an image is kept as the number of its set, and
each set as packed bits: a million images with 80 labels take some megabytes.

Shape suffixes: N images of the gallery, S distinct label sets, W 64-bit words per set.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from lookalike.types.images import ImageRecord, Labels

NO_LABEL = -1
_WORD_BITS = 64


class Level(StrEnum):
    """A level of the taxonomy."""

    SUBCATEGORY = "subcategory"
    SUPERCATEGORY = "supercategory"


@dataclass(frozen=True)
class LevelLabels:
    """All labels of a gallery at one level.

    ``names`` are sorted and their positions are the codes. ``codes_N`` int32 is the one label of each image,
    -1 where it has none. ``sets_N`` int32 numbers the set of all its labels, and bit ``c % 64`` of word
    ``c // 64`` in a row of ``bits_SW`` uint64 says that code ``c`` is in that set.
    """

    names: tuple[str, ...]
    codes_N: NDArray[np.int32]
    sets_N: NDArray[np.int32]
    bits_SW: NDArray[np.uint64]

    @property
    def num_images(self) -> int:
        return self.codes_N.size

    def sets_with(self, code: int) -> NDArray[np.bool_]:
        """bool ``[S]``: the sets that contain the label with this code."""
        word, bit = divmod(code, _WORD_BITS)
        return np.asarray((self.bits_SW[:, word] >> np.uint64(bit)) & np.uint64(1) != 0)


@dataclass(frozen=True)
class LabelArrays:
    """The labels of a gallery at both levels, row by row in the order of its embedding set."""

    subcategory: LevelLabels
    supercategory: LevelLabels

    def __post_init__(self) -> None:
        if self.subcategory.num_images != self.supercategory.num_images:
            raise ValueError("both levels must describe the same images")

    @property
    def num_images(self) -> int:
        return self.subcategory.num_images

    def at(self, level: Level) -> LevelLabels:
        return self.subcategory if level is Level.SUBCATEGORY else self.supercategory

    @classmethod
    def from_records(cls, records: Iterable[ImageRecord]) -> "LabelArrays":
        """Reads ``records`` once, in row order, holding one at a time."""
        return cls.from_labels(record.labels for record in records)

    @classmethod
    def from_labels(cls, labels: Iterable[Labels]) -> "LabelArrays":
        """Like :meth:`from_records` for labels alone."""
        subcategory, supercategory = _LevelBuilder(), _LevelBuilder()
        for image in labels:
            subcategory.add(image.subcategory, image.subcategories)
            supercategory.add(image.supercategory, image.supercategories)
        return cls(subcategory.finish(), supercategory.finish())


class _LevelBuilder:
    """Numbers names and sets in the order they come; codes are put in the order of names at the end."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._sets: dict[tuple[str, ...], int] = {}
        self._code_of_image = array("i")
        self._set_of_image = array("i")

    def add(self, one: str | None, every: tuple[str, ...]) -> None:
        number = self._sets.get(every)
        if number is None:
            number = self._sets[every] = len(self._sets)
            for name in every:
                self._codes.setdefault(name, len(self._codes))
        self._set_of_image.append(number)
        self._code_of_image.append(NO_LABEL if one is None else self._codes[one])

    def finish(self) -> LevelLabels:
        names = sorted(self._codes)
        # One element more, so that NO_LABEL = -1 stays itself when used as an index.
        final_code = np.full(len(names) + 1, NO_LABEL, dtype=np.int32)
        for code, name in enumerate(names):
            final_code[self._codes[name]] = code
        bits_SW = np.zeros((len(self._sets), max(1, -(-len(names) // _WORD_BITS))), dtype=np.uint64)
        for every, number in self._sets.items():
            for name in every:
                word, bit = divmod(int(final_code[self._codes[name]]), _WORD_BITS)
                bits_SW[number, word] |= np.uint64(1 << bit)
        return LevelLabels(
            names=tuple(names),
            codes_N=final_code[np.array(self._code_of_image, dtype=np.int32)],
            sets_N=np.array(self._set_of_image, dtype=np.int32),
            bits_SW=bits_SW,
        )

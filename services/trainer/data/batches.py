"""The batches of an epoch, drawn from the seed and the epoch alone.

A batch is that of a step over all ranks, each of which takes its slice: the number of ranks changes no batch, and a
run that is resumed needs no state of a generator.

Shape suffixes: N images of the data, C classes, B rows of a batch.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest

Rows: TypeAlias = NDArray[np.int64]
Balance: TypeAlias = Literal["none", "sampling", "per_class"]
_PURPOSE = 0x62617463  # keeps these draws apart from others with the same seed and epoch


def epoch_rows(
    rows: Rows,
    codes_N: NDArray[np.int64],
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    balance: Balance = "none",
    images_per_class: int = 4,
) -> list[Rows]:
    """Batches of ``rows``, which are positions in ``codes_N``; the same for the same arguments.

    * ``none``: every row once. The last batch may be smaller; a last single row joins the batch before it, since
      batch normalisation can't do with one.
    * ``sampling``: as many rows as there are, of each class as many as of the others (or one more). A small class
      repeats its images, none a second time before all of it a first time.
    * ``per_class``: each batch is ``images_per_class`` of each of ``batch_size / images_per_class`` classes, about as
      many batches as the rows would fill. Classes take turns, and so do a class's images: one repeats within a batch
      only where its class has fewer.

    Raises InvalidRequest for no rows; when balancing, for rows without a class; and for a ``batch_size`` that
    ``images_per_class`` doesn't divide or that needs fewer than two classes or more than there are.
    """
    if len(rows) == 0:
        raise InvalidRequest("there is no image to train on")
    if batch_size < 1:
        raise InvalidRequest(f"batch_size is at least 1, not {batch_size}", batch_size=batch_size)
    rng = np.random.default_rng((_PURPOSE, seed, epoch))
    if balance == "none":
        return _cut(rng.permutation(rows), batch_size)
    classes = _rows_by_class(rows, codes_N)
    if balance == "sampling":
        return _cut(rng.permutation(_equal_shares(classes, len(rows), rng)), batch_size)
    return _per_class(classes, len(rows), batch_size, images_per_class, rng)


def rank_slice(batch_B: Rows, rank: int, world_size: int) -> Rows:
    """The consecutive rows of one rank: all ranks' together are the batch, and sizes differ by at most one."""
    if not 0 <= rank < world_size:
        raise InvalidRequest(f"rank {rank} is not one of {world_size}", rank=rank)
    return batch_B[len(batch_B) * rank // world_size : len(batch_B) * (rank + 1) // world_size]


def class_weights(codes: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """float32 ``[C]``, inversely proportional to the classes' numbers of images; the mean over the images is 1.

    So the loss keeps its scale (King and Zeng, Logistic regression in rare events data, Political Analysis 2001;
    it is scikit-learn's ``balanced``). A class without images weighs 0. Raises InvalidRequest for images
    without a class.
    """
    if (codes < 0).any():
        raise InvalidRequest(f"{int((codes < 0).sum())} images have no label, so classes can't be weighed")
    counts_C = np.bincount(codes, minlength=num_classes)
    num_present = max(1, int((counts_C > 0).sum()))
    weights_C = np.where(counts_C > 0, codes.size / (num_present * np.maximum(counts_C, 1)), 0.0)
    return weights_C.astype(np.float32)


def _cut(rows: Rows, batch_size: int) -> list[Rows]:
    ends = list(range(batch_size, len(rows), batch_size))
    if ends and len(rows) - ends[-1] == 1 and batch_size > 1:
        ends.pop()
    return np.split(rows, ends)


def _rows_by_class(rows: Rows, codes_N: NDArray[np.int64]) -> list[Rows]:
    codes = codes_N[rows]
    if (codes < 0).any():
        raise InvalidRequest(f"{int((codes < 0).sum())} images have no label, so batches can't be balanced by class")
    return [rows[codes == code] for code in np.unique(codes)]


def _equal_shares(classes: list[Rows], num_rows: int, rng: np.random.Generator) -> Rows:
    share, num_more = divmod(num_rows, len(classes))
    has_more = np.isin(np.arange(len(classes)), rng.permutation(len(classes))[:num_more])
    return np.concatenate(
        [_turns(members, share + int(more), rng) for members, more in zip(classes, has_more, strict=True)]
    )


def _per_class(
    classes: list[Rows], num_rows: int, batch_size: int, images_per_class: int, rng: np.random.Generator
) -> list[Rows]:
    num_classes, rest = divmod(batch_size, images_per_class)
    if rest or not 2 <= num_classes <= len(classes):
        raise InvalidRequest(
            f"a batch of {batch_size} with {images_per_class} images of each class needs a multiple of that number and "
            f"at least two classes, and the data has {len(classes)}: set batch_size to 2 to {len(classes)} times "
            "data.images_per_class",
            batch_size=batch_size,
            images_per_class=images_per_class,
        )
    class_uses = np.zeros(len(classes), np.int64)
    image_uses = [np.zeros(len(members), np.int64) for members in classes]
    batches = []
    for _ in range(max(1, round(num_rows / batch_size))):
        picked = _least_used(class_uses, num_classes, rng)
        batches.append(np.concatenate([classes[c][_least_used(image_uses[c], images_per_class, rng)] for c in picked]))
    return batches


def _least_used(uses: NDArray[np.int64], num_wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of the least used, in random order among equals and without repetition while there are enough.

    They are counted as used.
    """
    order = np.lexsort((rng.random(len(uses)), uses))
    picked = np.resize(order, num_wanted)  # begins again at its start where it is too short
    np.add.at(uses, picked, 1)
    return picked


def _turns(members: Rows, num_wanted: int, rng: np.random.Generator) -> Rows:
    """``num_wanted`` of ``members``, all of them in random order before any comes again."""
    rounds = [rng.permutation(members) for _ in range(-(-num_wanted // len(members)))]
    return np.concatenate([members[:0], *rounds])[:num_wanted]

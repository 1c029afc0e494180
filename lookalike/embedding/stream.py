"""The hot path: many images, read, decoded, resized and embedded, in order, with every core busy.

Each of a few workers takes the next batch of items through everything, from reading to embeddings, so that
there are no hand-overs between images and no queue between the steps: while one worker waits for the model or
for a disk, the others decode. Decoders, resizers and models leave the interpreter while they compute.

Shape suffixes: N images, H and W their height and width, C channels, D dimension.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Event
from typing import Generic, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.cores import available_cores
from lookalike.embedding.port import Embedder
from lookalike.errors import ErrorKind, LookalikeError
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.telemetry.context import carried
from lookalike.telemetry.declared import IMAGES_DECODED
from lookalike.telemetry.metrics import PROCESS
from lookalike.telemetry.stages import timed

T = TypeVar("T")


@dataclass(frozen=True)
class Embedded(Generic[T]):
    """Consecutive items and their embeddings, row by row."""

    items: tuple[T, ...]
    embeddings_ND: NDArray[np.float32]


@dataclass(frozen=True)
class Failed(Generic[T]):
    """An item that could not be read or decoded, and why."""

    item: T
    error: LookalikeError


Outcome: TypeAlias = Embedded[T] | Failed[T]


def embed_stream(
    items: Iterable[T],
    read: Callable[[T], bytes],
    embedder: Embedder,
    limits: ImageLimits | None = None,
    *,
    workers: int | Literal["auto"] = "auto",
) -> Iterator[Outcome[T]]:
    """Embeds ``items`` and yields every one exactly once, in their order, embedded ones several at a time.

    ``items`` is read only a few batches ahead of what has been yielded, in the caller's thread, so memory does
    not grow with their number. ``read`` is called in the workers' threads. An item whose reading or decoding
    raises a LookalikeError is Failed and changes nothing for the others; unless the error says that something
    is down or not installed (``ErrorKind.UNAVAILABLE``), which is no fault of the item's. That, whatever the
    embedder raises and every other exception propagate, after everything before them has been yielded.
    Closing the iterator early stops its threads before it returns.

    Args:
        workers: batches under way at the same time; ``auto`` is one more than there are cores. More help
            where reading waits for a network.
    """
    num_workers = available_cores() + 1 if workers == "auto" else workers
    pending: deque[Future[list[Outcome[T]]]] = deque()
    source = iter(items)
    stopped = Event()
    work = _Work(read, embedder, limits or ImageLimits(), stopped)
    with ThreadPoolExecutor(num_workers, "embed-stream") as pool:
        try:
            while True:
                while len(pending) <= num_workers and (batch := tuple(islice(source, embedder.batch_size))):
                    pending.append(pool.submit(carried(work.run), batch))
                if not pending:
                    return
                yield from pending.popleft().result()
        finally:
            stopped.set()
            for future in pending:
                future.cancel()


@dataclass(frozen=True)
class _Work(Generic[T]):
    read: Callable[[T], bytes]
    embedder: Embedder
    limits: ImageLimits
    stopped: Event

    def run(self, batch: tuple[T, ...]) -> list[Outcome[T]]:
        manifest = self.embedder.manifest
        images_NHWC = np.empty((len(batch), manifest.input_size, manifest.input_size, 3), np.uint8)
        errors: dict[int, LookalikeError] = {}
        num_good = 0
        for position, item in enumerate(batch):
            if self.stopped.is_set():
                return []
            try:
                with timed("read"):
                    data = self.read(item)
                with timed("decode"):
                    images_NHWC[num_good] = prepare(
                        data, size=manifest.input_size, policy=manifest.resize_policy, limits=self.limits
                    )
            except LookalikeError as error:
                if error.kind is ErrorKind.UNAVAILABLE:
                    raise
                errors[position] = error
            else:
                num_good += 1
        PROCESS.count(IMAGES_DECODED, num_good)
        with timed("embed"):
            embeddings_ND = self.embedder.embed(images_NHWC[:num_good])
        return list(_in_order(batch, embeddings_ND, errors))


def _in_order(
    batch: tuple[T, ...], embeddings_ND: NDArray[np.float32], errors: dict[int, LookalikeError]
) -> Iterator[Outcome[T]]:
    """The runs of good items between the failed ones, and those."""
    start = row = 0
    for position in [*sorted(errors), len(batch)]:
        if position > start:
            yield Embedded(batch[start:position], embeddings_ND[row : row + position - start])
            row += position - start
        if position < len(batch):
            yield Failed(batch[position], errors[position])
        start = position + 1

"""A bounded, ordered map over threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def map_ordered(
    executor: Executor, function: Callable[[A], B], items: Iterable[A], *, window: int
) -> Iterator[tuple[A, B]]:
    """Each item with ``function(item)``, in order; at most ``window`` items are taken ahead of the consumer."""
    source = iter(items)
    pending: deque[tuple[A, Future[B]]] = deque()
    try:
        for item in islice(source, window):
            pending.append((item, executor.submit(function, item)))
        while pending:
            item, future = pending.popleft()
            outcome = future.result()
            for following in islice(source, 1):
                pending.append((following, executor.submit(function, following)))
            yield item, outcome
    finally:
        for _, future in pending:
            future.cancel()

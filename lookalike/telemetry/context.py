"""Which request, job and part the present work belongs to: in every line of the log, without being passed around."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_NOTHING: Mapping[str, str] = {}
_BOUND: ContextVar[Mapping[str, str]] = ContextVar("lookalike_ids", default=_NOTHING)


@contextmanager
def bound(
    *,
    request_id: str | None = None,
    job_id: str | None = None,
    part_id: str | None = None,
    gallery: str | None = None,
    key_id: str | None = None,
) -> Iterator[None]:
    """Everything within belongs to these, and to what was bound around it; None leaves one as it is.

    It follows into coroutines and their threads; into other threads where :func:`carried` takes it.
    """
    given = {"request_id": request_id, "job_id": job_id, "part_id": part_id, "gallery": gallery, "key_id": key_id}
    token = _BOUND.set({**_BOUND.get(), **{name: value for name, value in given.items() if value is not None}})
    try:
        yield
    finally:
        _BOUND.reset(token)


def current() -> Mapping[str, str]:
    """What is bound here, by name."""
    return _BOUND.get()


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` with what is bound, and the trace, of the caller: for one call in another thread."""
    context = copy_context()

    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.run(function, *args, **kwargs)

    return run

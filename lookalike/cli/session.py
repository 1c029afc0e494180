"""One command's workspace."""

from collections.abc import Iterator
from contextlib import contextmanager

from lookalike.bootstrap import wire
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load


@contextmanager
def workspace() -> Iterator[Workspace]:
    """The wired ports of this process's settings, closed at the end."""
    made = wire(load())
    try:
        yield made
    finally:
        made.close()

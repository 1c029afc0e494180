"""worker: a process that does jobs of the queue."""

from enum import StrEnum

import typer

from lookalike.errors import MissingExtra
from lookalike.settings import load


class Role(StrEnum):
    """What a worker is for."""

    EMBEDDER = "embedder"
    INDEXER = "indexer"


def worker(role: Role) -> None:
    """Works for the queue until SIGTERM or Ctrl-C: ``embedder`` has the model, ``indexer`` does all else."""
    try:
        if role is Role.EMBEDDER:
            from services.embedder.worker import run
        else:
            from services.indexer.worker import run
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), role.value) from error
    run(load())


def register(app: typer.Typer) -> None:
    app.command()(worker)

"""demo, serve, config: everything at once, the server, the settings."""

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.indexing import DEFAULT_MODEL, index_row
from lookalike.cli.output import note, progress, table
from lookalike.cli.querying import show
from lookalike.cli.session import workspace
from lookalike.pipeline.demo import prepare_demo
from lookalike.settings import explain, load


def demo(
    images: Annotated[Path | None, typer.Option(help="your own images instead of the generated ones")] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="serve the gateway at the end")] = True,
    model: Annotated[str, typer.Option("--model", "-m")] = DEFAULT_MODEL,
) -> None:
    """Everything at once: gallery, model, embeddings, four indexes, evaluation, server."""
    settings = load()
    with workspace() as at:
        with progress() as report:
            made = prepare_demo(at, images=images, model=model, backends=settings.build.backends, report=report)
        ingested, embedded = made.ingested, made.embedded
        note(
            f"gallery {ingested.gallery}: {ingested.num_images} images "
            f"({ingested.added} added, {ingested.unchanged} unchanged, {ingested.failed} failed); "
            f"{embedded.embedded} embedded under {embedded.model}, {embedded.reused} there already"
        )
        for name, reason in made.missing_backends.items():
            note(f"without {name}: {reason}")
        columns = ["backend", "index", "embeddings", "build s", "MB", "knn recall"]
        table([index_row(manifest) for manifest in made.indexes], columns)
        if made.evaluation is not None:
            show(made.evaluation)
    if serve:
        _serve()


def serve() -> None:
    """Serves the HTTP API and the search page until Ctrl-C."""
    _serve()


def _serve() -> None:
    from services.gateway.__main__ import run

    run(load())


def config() -> None:
    """Every setting, its value and where it came from."""
    rows = [setting.model_dump() for setting in explain()]
    table(rows, ["name", "value", "source", "description"])


def register(app: typer.Typer) -> None:
    for command in (demo, serve, config):
        app.command()(command)

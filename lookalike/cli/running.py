"""demo, serve, config: everything at once, the server, the settings."""

from contextlib import nullcontext
from pathlib import Path
from socket import gaierror, socket
from typing import Annotated

import typer

from lookalike.cli.indexing import Model, chosen, described, show_indexes
from lookalike.cli.output import OUTPUT, note, progress, say, table
from lookalike.cli.querying import show
from lookalike.cli.session import workspace
from lookalike.errors import InvalidRequest, MissingExtra
from lookalike.pipeline.demo import Demo, prepare_demo
from lookalike.settings import Settings, explain, load
from lookalike.settings_sources import variable


def demo(
    images: Annotated[Path | None, typer.Option(help="your own images instead of the generated ones")] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="serve the gateway at the end")] = True,
    model: Model = None,
) -> None:
    """Everything at once: gallery, model, embeddings, four indexes, evaluation, server."""
    settings = load()
    # Taken before minutes of work, not refused after them.
    with _listener(settings) if serve else nullcontext() as listening:
        with workspace() as at:
            with progress() as report:
                made = prepare_demo(
                    at, images=images, model=chosen(model), backends=settings.build.backends, report=report
                )
            _show_demo(made)
        if listening is not None:
            _serve(settings, listening, is_answer=False)


def _show_demo(made: Demo) -> None:
    if OUTPUT.as_json:
        evaluation = None if made.evaluation is None else made.evaluation.document
        indexes = [described(manifest) for manifest in made.indexes]
        say({**vars(made), "indexes": indexes, "evaluation": evaluation}, "")
        return
    ingested, embedded = made.ingested, made.embedded
    note(
        f"gallery {ingested.gallery}: {ingested.num_images} images "
        f"({ingested.added} added, {ingested.unchanged} unchanged, {ingested.failed} failed); "
        f"{embedded.embedded} embedded under {embedded.model}, {embedded.reused} there already"
    )
    if ingested.failed:
        note(f"what could not be read, and why: lookalike failures {ingested.gallery}")
    for name, reason in made.missing_backends.items():
        note(f"without {name}: {reason}")
    show_indexes(made.indexes)
    if made.evaluation is not None:
        show(made.evaluation)


def serve() -> None:
    """Serves the HTTP API and the search page until Ctrl-C."""
    settings = load()
    with _listener(settings) as listening:
        _serve(settings, listening, is_answer=True)


def _listener(settings: Settings) -> socket:
    try:
        from services.gateway.__main__ import listen
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "gateway") from error

    options = settings.gateway
    try:
        return listen(options.host, options.port)
    except OSError as error:
        reason = f"no address of that name ({error.strerror})" if isinstance(error, gaierror) else error.strerror
        other = f"{variable('gateway.host')} and {variable('gateway.port')} choose another"
        raise InvalidRequest(f"cannot listen on {options.host}:{options.port}: {reason}; {other}") from error


def _serve(settings: Settings, listening: socket, *, is_answer: bool) -> None:
    from services.gateway.__main__ import run

    def ready(url: str) -> None:
        text = f"serving on {url} until Ctrl-C"
        if is_answer or not OUTPUT.as_json:
            say({"url": url}, text)
        else:
            note(text)

    run(settings, listening, ready)


def config() -> None:
    """Every setting, its value and where it came from."""
    rows = [setting.model_dump() for setting in explain()]
    shown = [{**row, "value": _text(row["value"])} for row in rows]
    table(shown, ["name", "value", "source", "description"], value=rows)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)


def register(app: typer.Typer) -> None:
    for command in (demo, serve, config):
        app.command()(command)

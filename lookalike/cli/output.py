"""What commands print: tables and a progress bar for people, JSON lines for machines."""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from lookalike.errors import ErrorKind, LookalikeError
from lookalike.pipeline.progress import Progress, Report

EXIT_INVALID = 2
EXIT_UNAVAILABLE = 3
EXIT_INTERNAL = 1


class Output:
    """Where a command's answer goes: JSON on standard output with ``--json``, else text."""

    as_json: bool = False


OUTPUT = Output()


def plain(value: object) -> object:
    """Dataclasses and models as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: plain(item) for name, item in dataclasses.asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def say(value: object, text: str) -> None:
    """One answer: ``value`` for machines, ``text`` for people."""
    typer.echo(json.dumps(plain(value), ensure_ascii=False) if OUTPUT.as_json else text)


def table(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, value: object = None) -> None:
    """``rows`` as a table for people; for machines ``value`` as JSON, or the rows where there is none."""
    if OUTPUT.as_json:
        typer.echo(json.dumps(plain(list(rows) if value is None else value), ensure_ascii=False))
        return
    made = Table()
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*("" if row.get(column) is None else str(row.get(column)) for column in columns))
    Console(width=None if sys.stdout.isatty() else 140).print(made)


def note(text: str) -> None:
    """A line beside the answer, on standard error."""
    typer.echo(json.dumps({"note": text}, ensure_ascii=False) if OUTPUT.as_json else text, err=True)


@contextmanager
def progress() -> Iterator[Report]:
    """A function for stages to report to: a bar with an ETA for people, JSON lines on standard error for machines."""
    if OUTPUT.as_json:
        yield lambda state: print(json.dumps(plain(state)), file=sys.stderr, flush=True)  # noqa: T201
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {}

        def report(state: Progress) -> None:
            if state.stage not in tasks:
                tasks[state.stage] = bar.add_task(state.stage, total=state.total)
            failed = f" ({state.failed} failed)" if state.failed else ""
            bar.update(tasks[state.stage], completed=state.done, total=state.total, description=state.stage + failed)

        yield report


def fail(error: LookalikeError) -> int:
    """Prints ``error`` as one line, or as one line of JSON, and returns the exit status."""
    message = " ".join(error.message.split())
    if OUTPUT.as_json:
        said = {"code": error.code, "message": message, **{k: str(v) for k, v in error.details.items()}}
        typer.echo(json.dumps(said, ensure_ascii=False), err=True)
    else:
        typer.echo(f"lookalike: {message}", err=True)
    if error.kind is ErrorKind.UNAVAILABLE:
        return EXIT_UNAVAILABLE
    return EXIT_INTERNAL if error.kind is ErrorKind.INTERNAL else EXIT_INVALID

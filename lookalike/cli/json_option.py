"""``--json`` for every command, before or after its name."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, ParamSpec

import typer

from lookalike.cli.output import OUTPUT

P = ParamSpec("P")
_NAME = "as_json"
JsonOption = Annotated[bool, typer.Option("--json", help="Answer as one JSON document, progress as JSON lines.")]


def add_to_all(app: typer.Typer) -> None:
    """Gives every command of ``app`` and of the groups in it the option."""
    for command in app.registered_commands:
        if command.callback is not None:
            command.callback = _with_option(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_to_all(group.typer_instance)


def _with_option(command: Callable[P, None]) -> Callable[P, None]:
    signature = inspect.signature(command)
    if _NAME in signature.parameters:
        return command

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        OUTPUT.as_json = bool(kwargs.pop(_NAME)) or OUTPUT.as_json
        command(*args, **kwargs)

    option = inspect.Parameter(_NAME, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), option])  # type: ignore[attr-defined]
    return run

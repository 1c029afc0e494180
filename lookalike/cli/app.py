"""The commands, gathered from the modules beside this one."""

from typing import Annotated

import typer

from lookalike import __version__
from lookalike.cli import (
    backups,
    galleries,
    indexing,
    jobs,
    json_option,
    keys,
    models,
    querying,
    reembedding,
    running,
    setup,
    training,
    working,
)
from lookalike.cli.output import OUTPUT

app = typer.Typer(
    help="Content-based image search that can be trusted, compared and measured.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    as_json: json_option.JsonOption = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    OUTPUT.as_json = OUTPUT.as_json or as_json


for module in (
    running,
    galleries,
    indexing,
    reembedding,
    querying,
    models,
    training,
    jobs,
    keys,
    working,
    setup,
    backups,
):
    module.register(app)
json_option.add_to_all(app)

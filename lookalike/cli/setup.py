"""setup: everything that a new deployment needs once."""

from typing import Annotated

import typer

from lookalike.bootstrap_setup import set_up
from lookalike.cli.output import OUTPUT, progress, say
from lookalike.settings import load


def setup(
    demo: Annotated[
        bool, typer.Option("--demo", help="Also make the demo gallery, by a job where there are workers.")
    ] = False,
    make_bucket: Annotated[
        bool, typer.Option("--make-bucket/--no-make-bucket", help="Make the store's bucket where it is missing.")
    ] = True,
    wait_s: Annotated[float, typer.Option(min=0, help="How long to wait for the store, in seconds.")] = 60.0,
) -> None:
    """Sets up a new deployment: waits for the store, makes its bucket, registers the house model, looks at the servers.

    Run again, it finds what is there. Servers that are away are named and do no harm; status 3 without the store.
    """
    done = []
    with progress() as report:
        for step in set_up(load(), demo=demo, make_bucket=make_bucket, wait_s=wait_s, report=report):
            done.append(step)
            if not OUTPUT.as_json:
                typer.echo(f"{step.step}: {step.message} ({step.state})")
    if OUTPUT.as_json:
        say({"steps": done}, "")


def register(app: typer.Typer) -> None:
    app.command()(setup)

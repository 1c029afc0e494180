"""The command line: ``lookalike …``. Commands call the straight path and hold no logic of their own."""

import sys

from lookalike.errors import LookalikeError, MissingExtra


def main() -> None:
    """Runs one command. Expected errors are one line and exit status 2 (3 when something is unavailable)."""
    try:
        from lookalike.cli.app import app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"lookalike: {MissingExtra(str(error.name), 'cli').message}")
    try:
        app()
    except LookalikeError as error:
        from lookalike.cli.output import fail

        sys.exit(fail(error))

"""The command line: ``lookalike …``. Commands call the straight path and hold no logic of their own."""

import signal
import sys
from collections.abc import Sequence
from types import FrameType

from lookalike.errors import InvalidRequest, LookalikeError, MissingExtra

INTERRUPTED = 130


def main() -> None:
    """Runs the command of this process's arguments."""
    # The first process of a container is not ended by a signal that it does not handle.
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(run(sys.argv[1:]))


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns the exit status.

    What goes wrong is one line on standard error: status 2 when the request is at fault, 3 when a part is not
    available, 1 when something of ours is broken, 130 after Ctrl-C.
    """
    try:
        from typer.exceptions import TyperException

        from lookalike.cli.app import app
        from lookalike.cli.output import OUTPUT, fail, note
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(f"lookalike: {MissingExtra(str(error.name), 'cli').message}", file=sys.stderr)  # noqa: T201
        return 3
    OUTPUT.as_json = "--json" in arguments  # also for what is wrong with the arguments themselves
    try:
        status = app(list(arguments), prog_name="lookalike", standalone_mode=False)
    except LookalikeError as error:
        return fail(error)
    except TyperException as error:
        # Without a message it was a group without a command: its help has been printed.
        return fail(InvalidRequest(error.format_message())) if error.message or str(error) else 2
    except OSError as error:
        if error.filename is None:
            raise
        return fail(InvalidRequest(f"{error.filename}: {error.strerror}"))
    if status == INTERRUPTED:
        note("interrupted; what was finished is kept, the same command goes on from there")
    return status if isinstance(status, int) else 0

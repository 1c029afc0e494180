"""The installed command as a process of its own, as a user runs it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import IO

TIMEOUT_S = 120


def environment_of(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment over a store below ``folder`` and a free port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    return {
        **kept,
        "LOOKALIKE_STORAGE__FOLDER": str(folder / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
        "LOOKALIKE_GATEWAY__PORT": "0",
        **more,
    }


def lookalike(*arguments: object, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs one command to its end."""
    command = [sys.executable, "-m", "lookalike", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@dataclass
class Server:
    """A process that serves; ``lines`` is what it printed until then."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str]
    errors: Path

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=TIMEOUT_S) as answer:
            return answer.read()

    def interrupt(self) -> tuple[int, str]:
        """Ctrl-C; the exit status and everything of standard error."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=TIMEOUT_S)
        return status, self.errors.read_text(encoding="utf-8")


@contextmanager
def serving(*arguments: object, cwd: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """A command that serves, from its first answer on; killed at the end where it still runs."""
    errors = cwd / "stderr.txt"
    command = [sys.executable, "-m", "lookalike", *map(str, arguments)]
    with errors.open("w") as sink:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=sink, text=True)
    overdue = Timer(TIMEOUT_S, process.kill)
    overdue.start()
    try:
        assert process.stdout is not None
        lines = list(_until_address(process.stdout))
        found = re.search(r"http://[^\s\"]+", lines[-1] if lines else "")
        assert found, f"{lines}\n{errors.read_text(encoding='utf-8')}"
        yield Server(process, found[0], lines, errors)
    finally:
        overdue.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _until_address(printed: IO[str]) -> Iterator[str]:
    for line in printed:
        yield line
        if "http://" in line:
            return

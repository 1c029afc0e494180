"""``events.jsonl``: one JSON object a line, whole lines only, also after a kill."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from lookalike.errors import InvalidSource
from services.trainer.progress.events import Event, ViewsEvent, as_json


class JsonLines:
    """Events as lines of ``stream``, each flushed. The stream is the caller's to close."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, event: Event) -> None:
        self._stream.write(json.dumps(as_json(event), allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class EventLog(JsonLines):
    """Events as lines of the file at ``path``, but for views, which a resumed run may find made.

    With ``resume_from`` steps already taken, lines of what came after them are dropped, as is a last line that a kill
    cut short, so that the run's curve has each step once. Below 0 the file starts empty.

    Raises InvalidSource for a file with a line before its last that is no event.
    """

    def __init__(self, path: Path, *, resume_from: int = -1) -> None:
        if resume_from >= 0 and path.exists():
            _keep(path, resume_from)
        self._file = path.open("w" if resume_from < 0 else "a", encoding="utf-8")
        super().__init__(self._file)

    def write(self, event: Event) -> None:
        if not isinstance(event, ViewsEvent):
            super().write(event)

    def close(self) -> None:
        self._file.close()


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events in the file, in order; a last line without its end is left out. Raises InvalidSource."""
    # Bytes: a cut may have gone through a character.
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            event = json.loads(line)
        except ValueError as error:
            raise InvalidSource(f"line {number} of {path.name} is no JSON: {error}", path=path.name) from error
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise InvalidSource(f"line {number} of {path.name} is no event", path=path.name)
        yield event


def _keep(path: Path, resume_from: int) -> None:
    kept = [event for event in read_events(path) if event.get("global_step", 0) <= resume_from]
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")
    partial.replace(path)

"""The log of a process on standard error: lines for people, or a JSON object a line for machines.

Every line has the ids that :mod:`lookalike.telemetry.context` binds, and the trace's where there is one; none has a
secret.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from lookalike.settings import Settings
from lookalike.telemetry import tracing
from lookalike.telemetry.context import current
from lookalike.telemetry.redaction import Redactor

_FIELDS = "lookalike_fields"
_ONE_LINE = str.maketrans({"\n": "\\n", "\r": "\\r", "\x1b": "\\x1b"})


def fields(**values: str | int | float) -> dict[str, object]:
    """``extra`` of a log call: what a JSON line has by name beside its message, which says it in words."""
    return {_FIELDS: values}


def configure_logging(settings: Settings) -> None:
    """Makes the root logger write as ``telemetry.log_format`` and ``telemetry.log_level`` say; called again, anew."""
    options = settings.telemetry
    redact = Redactor(settings)
    handler = _Handler()
    handler.setFormatter(_JsonLines(redact) if options.log_format == "json" else _Text(redact))
    root = logging.getLogger()
    for former in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(options.log_level.upper())
    # Its own lines name every request with its whole URL.
    logging.getLogger("httpx").setLevel(logging.WARNING)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours: one that somebody else added stays. Writes to what standard error is at the moment of the line."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override] # looked up anew, as logging's own last resort does
        return sys.stderr


class _Text(logging.Formatter):
    """``time level logger: message [id=…]``; control characters of the message cannot begin a line of their own."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        ids = " ".join(f"{name}={value}" for name, value in _ids().items())
        line = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}" + (f" [{ids}]" if ids else "")
        trouble = _trouble(self, record)
        return self._redact(line.translate(_ONE_LINE) + (f"\n{trouble}" if trouble else ""))


class _JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, ids, the call's own fields, and the traceback of an error."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_ids(),
            **getattr(record, _FIELDS, {}),
        }
        if trouble := _trouble(self, record):
            said["error"] = trouble
        redacted = {name: self._redact(value) if isinstance(value, str) else value for name, value in said.items()}
        return json.dumps(redacted, ensure_ascii=False)


def _ids() -> Mapping[str, str]:
    trace = tracing.trace_id()
    return current() if trace is None else {**current(), "trace_id": trace}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return formatter.formatException(record.exc_info) if record.exc_info else ""

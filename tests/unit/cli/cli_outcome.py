"""What a command did."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lookalike.indexes.registry import BACKEND_NAMES, backend
from lookalike.pipeline.backends import installed

INSTALLED, _MISSING = installed(backend, BACKEND_NAMES)
EACH_BACKEND = [
    pytest.param(name, marks=pytest.mark.skipif(name in _MISSING, reason=_MISSING.get(name, "")))
    for name in BACKEND_NAMES
]


@dataclass(frozen=True)
class Outcome:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on standard error, without a traceback before or after it."""
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("lookalike: ")
        assert self.out == ""
        return self.err.removeprefix("lookalike: ").rstrip("\n")


Cli = Callable[..., Outcome]

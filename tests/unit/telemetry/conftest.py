"""What telemetry changes in a process is undone after each test."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from telemetry_settings import Configured

from lookalike.settings import Settings, load


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, httpx = logging.getLogger(), logging.getLogger("httpx")
    handlers, level, httpx_level = list(root.handlers), root.level, httpx.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    httpx.setLevel(httpx_level)


@pytest.fixture
def configured(tmp_path: Path) -> Configured:
    """Settings of which only these are said, as ``group__name``."""

    def made(**said: str) -> Settings:
        environment = {f"LOOKALIKE_{name.upper()}": value for name, value in said.items()}
        return load(environment, tmp_path / "none.toml")

    return made

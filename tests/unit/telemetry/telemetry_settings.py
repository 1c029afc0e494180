"""The type of a fixture."""

from collections.abc import Callable

from lookalike.settings import Settings

Configured = Callable[..., Settings]

"""Every setting, its default, its meaning and where its value came from.

Sources, the first that says something wins: the environment (``LOOKALIKE_`` with ``__`` for nesting, lists
separated by commas), a file named by the variable with ``_FILE`` (for secrets), ``lookalike.toml`` in the working
folder or the file that ``LOOKALIKE_CONFIG`` names, and the defaults here.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from lookalike.errors import InvalidRequest
from lookalike.setting_groups.access import AccessSettings
from lookalike.setting_groups.backup import BackupSettings
from lookalike.setting_groups.embedder import EmbedderSettings
from lookalike.setting_groups.gateway import GatewaySettings
from lookalike.setting_groups.group import Group
from lookalike.setting_groups.images import ImageSettings, UrlSettings
from lookalike.setting_groups.jobs import JobSettings, QueueSettings
from lookalike.setting_groups.qdrant import QdrantSettings
from lookalike.setting_groups.search import BackendName, BuildSettings, GateSettings, SearchSettings
from lookalike.setting_groups.storage import CollectSettings, StorageSettings
from lookalike.setting_groups.telemetry import TelemetrySettings
from lookalike.setting_groups.torchserve import TorchServeSettings
from lookalike.settings_sources import Said, gather, variable

T = TypeVar("T")

__all__ = [
    "AccessSettings",
    "BackendName",
    "BackupSettings",
    "BuildSettings",
    "CollectSettings",
    "EmbedderSettings",
    "GateSettings",
    "GatewaySettings",
    "ImageSettings",
    "JobSettings",
    "QdrantSettings",
    "QueueSettings",
    "SearchSettings",
    "Setting",
    "Settings",
    "StorageSettings",
    "TelemetrySettings",
    "TorchServeSettings",
    "UrlSettings",
    "explain",
    "load",
    "names",
]


class Settings(Group):
    """All settings."""

    storage: StorageSettings = StorageSettings()
    images: ImageSettings = ImageSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    torchserve: TorchServeSettings = TorchServeSettings()
    search: SearchSettings = SearchSettings()
    build: BuildSettings = BuildSettings()
    gate: GateSettings = GateSettings()
    collect: CollectSettings = CollectSettings()
    qdrant: QdrantSettings = QdrantSettings()
    urls: UrlSettings = UrlSettings()
    gateway: GatewaySettings = GatewaySettings()
    access: AccessSettings = AccessSettings()
    jobs: JobSettings = JobSettings()
    queue: QueueSettings = QueueSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    backup: BackupSettings = BackupSettings()


class Setting(Group):
    """One setting as ``lookalike config`` shows it: secrets are masked, ``source`` says where the value is from."""

    name: str
    value: bool | int | float | str | list[str] | None
    source: str
    variable: str
    description: str


def names() -> list[str]:
    """Every setting as ``group.name``, in the order in which they are shown."""
    return [
        f"{group}.{name}" for group in Settings.model_fields for name in type(getattr(Settings(), group)).model_fields
    ]


def load(environment: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """The settings of this process. Raises InvalidRequest naming the setting and its source."""
    return _validated(_said(environment, file))


def explain(environment: Mapping[str, str] | None = None, file: Path | None = None) -> list[Setting]:
    """Every setting with its value and where it came from. Raises as :func:`load`."""
    said = _said(environment, file)
    values = _validated(said).model_dump(mode="json")
    found = []
    for full in names():
        group, _, name = full.partition(".")
        field = type(getattr(Settings(), group)).model_fields[name]
        found.append(
            Setting(
                name=full,
                value=_shown(values[group][name]),
                source=said[full].source if full in said else "default",
                variable=variable(full),
                description=field.description or "",
            )
        )
    return found


def _said(environment: Mapping[str, str] | None, file: Path | None) -> dict[str, Said]:
    return gather(names(), os.environ if environment is None else environment, file)


def _validated(said: Mapping[str, Said]) -> Settings:
    nested: dict[str, dict[str, object]] = {}
    for full, one in said.items():
        group, _, name = full.partition(".")
        nested.setdefault(group, {})[name] = one.value
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        # Without the input, which may be a secret.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        full = ".".join(str(part) for part in first["loc"][:2])
        # A contradiction between settings names their group.
        source = next((one.source for name, one in said.items() if f"{name}.".startswith(f"{full}.")), "default")
        raise InvalidRequest(f"setting {full} ({source}): {first['msg']}", setting=full, source=source) from None


def _shown(value: T) -> T | str:
    """A URL without the password in it."""
    return re.sub(r"(?<=//)[^/@\s]*@", "***@", value) if isinstance(value, str) else value

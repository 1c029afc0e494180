"""Every setting, its default, its meaning and where its value came from.

Sources, the first that says something wins: the environment (``LOOKALIKE_`` with ``__`` for nesting, and
``…_FILE`` naming a file that holds the value, for secrets), then ``lookalike.toml``, then the defaults here.
"""

import os
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from lookalike.errors import InvalidRequest

PREFIX = "LOOKALIKE_"
SETTINGS_FILE = "lookalike.toml"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StorageSettings(_Group):
    """Where everything is kept."""

    folder: Path = Field(default=Path("var/store"), description="folder of the local object store")
    cache: Path = Field(
        default=Path("var/cache"), description="folder of this machine's copies of indexes; may be deleted"
    )


class ImageSettings(_Group):
    """Limits on every image, checked before it is decoded."""

    max_bytes: int = Field(default=50 * 2**20, ge=1, description="largest image file, in bytes")
    max_pixels: int = Field(default=100_000_000, ge=1, description="largest image, in pixels")


class EmbedderSettings(_Group):
    """How embeddings are computed."""

    url: str | None = Field(
        default=None, description="base URL of a remote embedder; without one, models run in process"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="arithmetic of the model")
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="images a batch; chosen by itself when not set"
    )
    threads: int | None = Field(
        default=None, ge=1, le=256, description="threads of the model; chosen by itself when not set"
    )
    decode_threads: int | None = Field(default=None, ge=1, le=256, description="threads that decode beside the model")


class SearchSettings(_Group):
    """Defaults of a search."""

    backend: str = Field(default="faiss", description="backend of a search that names none, where it is live")
    poll_s: float = Field(
        default=1.0, ge=0, description="how often a process looks whether something else went live, seconds"
    )


class BuildSettings(_Group):
    """What is built and what may go live."""

    backends: tuple[str, ...] = Field(
        default=("exact", "faiss", "annoy", "qdrant"), description="backends built when none is named"
    )
    min_parity: float = Field(
        default=0.8, ge=0, le=1, description="least knn recall@10 of an index that may be promoted"
    )


class QdrantSettings(_Group):
    """The Qdrant server; without a URL its engine runs in process."""

    url: str | None = Field(default=None, description="URL of a Qdrant server")
    api_key: SecretStr | None = Field(default=None, description="its API key")


class UrlSettings(_Group):
    """Fetching images by URL. Private, loopback and link-local addresses are always refused unless listed here."""

    timeout_s: float = Field(default=10.0, gt=0, le=300, description="longest time for one image, in seconds")
    allowed_networks: tuple[str, ...] = Field(
        default=(), description="networks (CIDR) that may be reached although private"
    )


class GatewaySettings(_Group):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    max_upload_bytes: int = Field(default=256 * 2**20, ge=1, description="largest request body, in bytes")
    threads: int = Field(default=40, ge=1, le=1000, description="requests that are worked on at once")


class Settings(_Group):
    """All settings."""

    storage: StorageSettings = StorageSettings()
    images: ImageSettings = ImageSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    search: SearchSettings = SearchSettings()
    build: BuildSettings = BuildSettings()
    qdrant: QdrantSettings = QdrantSettings()
    urls: UrlSettings = UrlSettings()
    gateway: GatewaySettings = GatewaySettings()


class Setting(_Group):
    """One setting as ``lookalike config`` prints it; secrets are masked. ``source`` says where the value came from."""

    name: str
    value: str
    source: str
    description: str


def load(environment: dict[str, str] | None = None, file: Path | None = None) -> Settings:
    """The settings of this process. Raises InvalidRequest naming the setting and its source."""
    return _load(environment, file)[0]


def explain(environment: dict[str, str] | None = None, file: Path | None = None) -> list[Setting]:
    """Every setting with its value and where it came from, by name."""
    settings, sources = _load(environment, file)
    found = []
    for group, group_field in Settings.model_fields.items():
        values = getattr(settings, group)
        assert isinstance(group_field.annotation, type)  # noqa: S101 -- each field is a group
        for name, field in type(values).model_fields.items():
            full = f"{group}.{name}"
            found.append(
                Setting(
                    name=full,
                    value=str(getattr(values, name)),
                    source=sources.get(full, "default"),
                    description=field.description or "",
                )
            )
    return found


def _load(environment: dict[str, str] | None, file: Path | None) -> tuple[Settings, dict[str, str]]:
    given = dict(os.environ) if environment is None else environment
    path = file or Path(given.get(f"{PREFIX}CONFIG", SETTINGS_FILE))
    merged, sources = _from_file(path)
    known = {
        f"{PREFIX}{group}__{name}".upper(): (group, name)
        for group in Settings.model_fields
        for name in type(getattr(Settings(), group)).model_fields
    }
    for variable, (group, name) in known.items():
        value, source = given.get(variable), variable
        if value is None and (named := given.get(f"{variable}_FILE")) is not None:
            value, source = _secret(Path(named), f"{variable}_FILE"), f"{variable}_FILE"
        if value is not None:
            merged.setdefault(group, {})[name] = _parsed(value, group, name)
            sources[f"{group}.{name}"] = source
    _refuse_unknown(given, known)
    try:
        return Settings.model_validate(merged), sources
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"setting {name} ({sources.get(name, 'default')}): {first['msg']}", setting=name) from None


def _parsed(value: str, group: str, name: str) -> object:
    """Text of the environment: a list is separated by commas, the rest is converted by its type."""
    default = getattr(getattr(Settings(), group), name)
    if isinstance(default, tuple):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _secret(path: Path, variable: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidRequest(f"{variable}: cannot read {path}: {error.strerror}") from error


def _from_file(path: Path) -> tuple[dict[str, dict[str, object]], dict[str, str]]:
    if not path.is_file():
        return {}, {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}") from error
    sources = {
        f"{group}.{name}": str(path) for group, values in content.items() if isinstance(values, dict) for name in values
    }
    return content, sources


def _refuse_unknown(given: dict[str, str], known: dict[str, tuple[str, str]]) -> None:
    """A misspelt setting would otherwise be silently the default."""
    for variable in given:
        base = variable.removesuffix("_FILE")
        if variable.startswith(PREFIX) and "__" in variable and base not in known and variable not in known:
            raise InvalidRequest(f"unknown setting {variable}", setting=variable)

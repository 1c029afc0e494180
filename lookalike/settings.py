"""Every setting, its default, its meaning and where its value came from.

Sources, the first that says something wins: the environment (``LOOKALIKE_`` with ``__`` for nesting, lists
separated by commas), a file named by the variable with ``_FILE`` (for secrets), ``lookalike.toml`` in the working
folder or the file that ``LOOKALIKE_CONFIG`` names, and the defaults here.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    model_validator,
)

from lookalike.errors import InvalidRequest
from lookalike.settings_sources import Said, gather, variable

T = TypeVar("T")
BackendName: TypeAlias = Literal["exact", "faiss", "annoy", "qdrant"]


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Listed = Annotated[tuple[T, ...], BeforeValidator(_split)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StorageSettings(_Group):
    """Where everything is kept."""

    url: str | None = Field(
        default=None, description="`s3://bucket` or `s3://bucket/prefix` of an object store; a local folder if not set"
    )
    folder: Path = Field(default=Path("var/store"), description="folder of the local object store")
    cache: Path = Field(
        default=Path("var/cache"), description="folder of this machine's copies of indexes; may be deleted"
    )
    cache_max_bytes: int | None = Field(
        default=None,
        ge=1,
        description="most that copies of embeddings and indexes may take, in bytes; any number if not set",
    )
    runs: Path = Field(default=Path("var/runs"), description="folder in which training runs get folders of their own")
    s3_endpoint: str = Field(
        default="https://s3.amazonaws.com",
        pattern=r"^https?://[A-Za-z0-9._\-\[\]:]+/?$",
        description="URL of the S3 server, without a path: `http://minio:9000`",
    )
    s3_region: str | None = Field(default=None, description="its region; the server is asked if not set")
    s3_access_key: str | None = Field(
        default=None, description="access key; if not set, that of AWS's variables, credentials file or machine role"
    )
    s3_secret_key: SecretStr | None = Field(default=None, description="secret key")
    s3_conditional: Literal["auto", "native", "claims"] = Field(
        default="auto", description="how one of two writers wins: by If-Match, by claims, or as the server can"
    )
    s3_timeout_s: float = Field(
        default=30.0, gt=0, le=600, description="how long a request is tried again before an error, in seconds"
    )

    @model_validator(mode="after")
    def _s3_is_whole(self) -> "StorageSettings":
        """What would be found out at the first request is refused at once."""
        if self.url is not None and re.match(r"^s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](/|$)", self.url) is None:
            raise ValueError("url is s3://bucket or s3://bucket/prefix")
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key belong together")
        return self


class ImageSettings(_Group):
    """Limits on every image, checked before it is decoded."""

    max_bytes: int = Field(default=50 * 2**20, ge=1, description="largest image file, in bytes")
    max_pixels: int = Field(default=100_000_000, ge=1, description="largest image, in pixels")


class EmbedderSettings(_Group):
    """How embeddings are computed."""

    default_model: str = Field(default="house", description="model of commands that name none")
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
    decode_threads: int | None = Field(
        default=None, ge=1, le=256, description="batches read and decoded at once; one more than cores if not set"
    )

    @model_validator(mode="after")
    def _remote_decides_for_itself(self) -> "EmbedderSettings":
        """What would have no effect is refused."""
        if self.url is not None and (self.precision != "auto" or self.threads is not None):
            raise ValueError("precision and threads are settings of the embedder at embedder.url, not of its clients")
        return self


class SearchSettings(_Group):
    """Defaults of a search."""

    backend: BackendName = Field(default="faiss", description="backend of a search that names none, where it is live")
    poll_s: float = Field(
        default=1.0, ge=0, description="how often a process looks whether something else went live, seconds"
    )


class BuildSettings(_Group):
    """What is built and what may go live."""

    backends: Listed[BackendName] = Field(
        default=("exact", "faiss", "annoy", "qdrant"), description="backends built when none is named"
    )
    min_parity: float = Field(
        default=0.8, ge=0, le=1, description="least knn recall@10 of an index that may be promoted"
    )


class GateSettings(_Group):
    """When an index is measurably worse than what is live, and so may not be promoted; nothing while nothing is live.

    Both answer the same images of the gallery, as queries; a gallery without labels has nothing to compare.
    """

    enabled: bool = Field(default=True, description="compare what is promoted with what is live")
    level: Literal["subcategory", "supercategory"] = Field(
        default="subcategory", description="labels by which the gate measures precision"
    )
    k: int = Field(default=10, ge=1, le=1000, description="hits of each query that the gate looks at")
    max_drop: float = Field(
        default=0.02, ge=0, le=1, description="how far precision@k may be below that of what is live"
    )
    num_queries: int = Field(default=1000, ge=1, description="images that the gate asks for, a seeded sample")


class CollectSettings(_Group):
    """How long what nothing refers to is kept, and with it how long a promotion can be rolled back."""

    keep_s: float = Field(
        default=7 * 24 * 3600, ge=3600, description="how long garbage and former live states are kept, in seconds"
    )
    keep_former: int = Field(
        default=5, ge=0, le=5, description="former live states of a gallery that are kept at most, for rollback"
    )


class QdrantSettings(_Group):
    """The Qdrant server; without a URL its engine runs in process.

    What says where the server puts things is for new collections: those that exist stay as they are.
    """

    url: str | None = Field(default=None, description="URL of a Qdrant server")
    api_key: SecretStr | None = Field(default=None, description="its API key")
    prefer_grpc: bool = Field(default=False, description="upload and search by gRPC instead of REST")
    grpc_port: int = Field(default=6334, ge=1, le=65535, description="port of gRPC, on the host of the URL")
    timeout_s: int = Field(default=10, ge=1, le=600, description="longest wait for one request of a search, in seconds")
    build_timeout_s: int = Field(
        default=60, ge=1, le=3600, description="longest wait for one request of a build, in seconds"
    )
    on_disk: bool = Field(default=False, description="read embeddings from disk instead of memory")
    on_disk_payload: bool | None = Field(
        default=None, description="read labels and metadata from disk; the server decides when not set"
    )
    shard_number: int | None = Field(
        default=None, ge=1, le=1024, description="parts of a collection; the server decides when not set"
    )
    replication_factor: int | None = Field(
        default=None, ge=1, le=64, description="copies of each part; the server decides when not set"
    )
    write_consistency_factor: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="copies that must have a write before it counts; the server decides when not set",
    )
    snapshots_kept: int | None = Field(
        default=None, ge=1, description="newest snapshots of a collection that a snapshot job keeps; all when not set"
    )


class UrlSettings(_Group):
    """Fetching images by URL. Private, loopback and link-local addresses are always refused unless listed here."""

    timeout_s: float = Field(default=10.0, gt=0, le=300, description="longest time for one image, in seconds")
    allowed_networks: Listed[IPvAnyNetwork] = Field(
        default=(), description="networks (CIDR) that may be reached although private"
    )


class GatewaySettings(_Group):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    max_upload_bytes: int = Field(default=256 * 2**20, ge=1, description="largest request body, in bytes")
    threads: int = Field(default=40, ge=1, le=1000, description="requests that are worked on at once")


class JobSettings(_Group):
    """Work that outlives a request."""

    threads: int = Field(default=2, ge=1, le=64, description="jobs that run at once, each of another gallery")
    source_folders: Listed[Path] = Field(
        default=(), description="folders of the server from which clients may ingest; none by default"
    )
    source_buckets: Listed[str] = Field(
        default=(), description="S3 buckets from which clients may ingest; none by default"
    )


class TelemetrySettings(_Group):
    """What those who run it see. All of it is off or quiet on a laptop."""

    log_format: Literal["text", "json"] = Field(
        default="text", description="lines of the log: for people, or one JSON object each"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="least level of a line of the log; info has a line for each request"
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://\S+$",
        description="URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; none without one",
    )
    metrics_host: str = Field(default="127.0.0.1", description="address on which a worker shows its metrics")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="port on which a worker shows its metrics; not at all when not set"
    )


class QueueSettings(_Group):
    """Jobs done by workers, over Redis; without its URL, jobs run in the process that is asked for them."""

    url: SecretStr | None = Field(default=None, description="redis:// or rediss:// URL of the queue")
    part_images: int = Field(default=1024, ge=1, le=65536, description="images that a worker embeds at a time")
    index_threads: int = Field(default=2, ge=1, le=64, description="units that one indexer works on at once")
    unit_limit_s: float = Field(
        default=3600.0, gt=0, description="longest silence of one unit, seconds; a worker beyond it ends itself"
    )
    lease_s: float = Field(
        default=30.0, gt=0, description="after how long the work of a worker that died is another's, seconds"
    )
    look_every_s: float = Field(
        default=15.0, gt=0, description="how often workers look for jobs that nobody is at, seconds"
    )
    visibility_s: float = Field(
        default=300.0, gt=0, description="after how long a message of a worker that died is delivered again, seconds"
    )
    retries: int = Field(
        default=8, ge=0, le=100, description="how often a unit that could not reach a server is tried again"
    )


class Settings(_Group):
    """All settings."""

    storage: StorageSettings = StorageSettings()
    images: ImageSettings = ImageSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    search: SearchSettings = SearchSettings()
    build: BuildSettings = BuildSettings()
    gate: GateSettings = GateSettings()
    collect: CollectSettings = CollectSettings()
    qdrant: QdrantSettings = QdrantSettings()
    urls: UrlSettings = UrlSettings()
    gateway: GatewaySettings = GatewaySettings()
    jobs: JobSettings = JobSettings()
    queue: QueueSettings = QueueSettings()
    telemetry: TelemetrySettings = TelemetrySettings()


class Setting(_Group):
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

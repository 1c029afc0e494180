"""What a job can be asked to do: a model of parameters for each kind."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from lookalike.catalog.live import MAX_FORMER
from lookalike.errors import InvalidFilter, InvalidRequest, UnknownJobKind
from lookalike.evaluation.labels import Level
from lookalike.types.filters import BoundedFilter
from lookalike.types.images import MAX_KEY_CHARS, Labels, MetadataValue

MAX_URLS = 10_000
MAX_DELETED = 10_000


class JobKind(StrEnum):
    """Every kind, named for the step of the straight path that it runs."""

    INGEST = "ingest"
    ADD = "add"
    EMBED = "embed"
    BUILD = "build"
    COMPACT = "compact"
    EVALUATE = "evaluate"
    REEMBED = "reembed"
    COLLECT = "collect"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    DELETE = "delete"
    SNAPSHOT = "snapshot"


class _Params(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class UrlImage(_Params):
    """An image behind a URL; without a key, host, path and query are it."""

    url: str = Field(min_length=1, max_length=2048)
    key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    labels: Labels = Labels()
    metadata: dict[str, MetadataValue] = Field(default_factory=dict)


class IngestParams(_Params):
    """Exactly one of ``urls`` and ``source``.

    ``source`` is a path on the server or ``s3://bucket/prefix``, refused unless a setting allows the folder it is in or
    the bucket; ``images`` is the folder of the files that an annotation file or a table names. Ingesting again under
    the same ``name`` removes what the list no longer has; without one, the list itself is its name.
    """

    urls: list[str | UrlImage] | None = Field(default=None, min_length=1, max_length=MAX_URLS)
    source: str | None = Field(default=None, min_length=1, max_length=4096)
    images: str | None = Field(default=None, min_length=1, max_length=4096)
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.\-]{1,64}$")
    retry_failed: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> "IngestParams":
        if (self.urls is None) == (self.source is None):
            raise ValueError("give exactly one of urls and source")
        if self.images is not None and self.source is None:
            raise ValueError("images is the folder of a source's files")
        return self


class AddParams(_Params):
    """Embeds under every live model what was uploaded, and serves it."""

    retry_failed: bool = False


class EmbedParams(_Params):
    """``model`` is ``name`` or ``name@version``."""

    model: str
    retry_failed: bool = False


class BuildParams(_Params):
    """``backends`` None: every one that is installed. ``params`` are the backend's build parameters."""

    model: str
    backends: list[str] | None = Field(default=None, min_length=1, max_length=16)
    params: dict[str, MetadataValue] = Field(default_factory=dict)


class CompactParams(_Params):
    """``model`` None: the default one."""

    model: str | None = None


class EvaluateParams(_Params):
    """``models`` and ``backends`` None: everything that is live. ``num_queries`` None: every image."""

    protocol: Literal["standard", "paper"] = "standard"
    models: list[str] | None = Field(default=None, min_length=1, max_length=64)
    backends: list[str] | None = Field(default=None, min_length=1, max_length=16)
    k: int = Field(default=10, ge=1, le=1000)
    num_queries: int | None = Field(default=None, ge=1, le=10_000_000)
    seed: int = Field(default=0, ge=0, lt=2**63)
    self_counts: bool = False

    @model_validator(mode="after")
    def _self_counts_in_paper(self) -> "EvaluateParams":
        if self.self_counts and self.protocol != "paper":
            raise ValueError("self_counts is an option of protocol paper")
        return self


class PromoteParams(_Params):
    """The newest index of each of ``backends`` (None: of each that was built) becomes live.

    ``force`` promotes although parity check or evaluation gate say no; what it overrode is recorded.
    """

    model: str
    backends: list[str] | None = Field(default=None, min_length=1, max_length=16)
    force: bool = False


class ReembedParams(_Params):
    """``model`` takes the place of what is live, if the gate passes or ``force`` says so.

    ``backends`` None: every one that is installed; ``params`` are build parameters by backend. ``gate``, ``level``,
    ``k``, ``max_drop`` and ``num_queries`` take the place of the settings of the gate.
    """

    model: str
    backends: list[str] | None = Field(default=None, min_length=1, max_length=16)
    params: dict[str, dict[str, MetadataValue]] = Field(default_factory=dict, max_length=16)
    gate: bool | None = None
    level: Level | None = None
    k: int | None = Field(default=None, ge=1, le=1000)
    max_drop: float | None = Field(default=None, ge=0, le=1)
    num_queries: int | None = Field(default=None, ge=1, le=10_000_000)
    force: bool = False
    retry_failed: bool = False


class CollectParams(_Params):
    """What nothing refers to leaves the store; ``keep_s`` and ``keep_former`` None: as the settings say."""

    keep_s: float | None = Field(default=None, ge=0)
    keep_former: int | None = Field(default=None, ge=0, le=MAX_FORMER)


class RollbackParams(_Params):
    """Nothing to choose: what the last promotion replaced is served again."""


class DeleteParams(_Params):
    """Exactly one of ``image_ids``, ``filter`` and ``everything``; the last removes the gallery itself."""

    image_ids: list[str] | None = Field(default=None, min_length=1, max_length=MAX_DELETED)
    filter: BoundedFilter | None = None
    everything: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> "DeleteParams":
        if sum(value is not None for value in (self.image_ids, self.filter, self.everything)) != 1:
            raise ValueError("give exactly one of image_ids, filter and everything")
        return self


class SnapshotParams(_Params):
    """Nothing to choose: every live index that is on a server is saved there."""


JobParams: TypeAlias = (
    IngestParams
    | AddParams
    | EmbedParams
    | BuildParams
    | CompactParams
    | EvaluateParams
    | ReembedParams
    | CollectParams
    | PromoteParams
    | RollbackParams
    | DeleteParams
    | SnapshotParams
)
PARAMS: Mapping[JobKind, type[JobParams]] = {
    JobKind.INGEST: IngestParams,
    JobKind.ADD: AddParams,
    JobKind.EMBED: EmbedParams,
    JobKind.BUILD: BuildParams,
    JobKind.COMPACT: CompactParams,
    JobKind.EVALUATE: EvaluateParams,
    JobKind.REEMBED: ReembedParams,
    JobKind.COLLECT: CollectParams,
    JobKind.PROMOTE: PromoteParams,
    JobKind.ROLLBACK: RollbackParams,
    JobKind.DELETE: DeleteParams,
    JobKind.SNAPSHOT: SnapshotParams,
}


def job_kind(text: str) -> JobKind:
    """Raises UnknownJobKind."""
    try:
        return JobKind(text)
    except ValueError:
        raise UnknownJobKind(f"no kind of job {text!r:.100}; there are {', '.join(JobKind)}", kind=text[:100]) from None


def parse_params(kind: JobKind, params: Mapping[str, object]) -> JobParams:
    """``params`` as the kind's own model. Raises InvalidRequest, or InvalidFilter, naming what is wrong."""
    try:
        return PARAMS[kind].model_validate(params)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        kind_of_error = InvalidFilter if first["loc"][:1] == ("filter",) else InvalidRequest
        raise kind_of_error(f"params of {kind}{'.' if where else ''}{where}: {first['msg']}") from error


def dump_params(params: JobParams) -> dict[str, JsonValue]:
    """As JSON values, without what was left to its default."""
    return params.model_dump(mode="json", by_alias=True, exclude_unset=True)


def retry_params(kind: JobKind, params: Mapping[str, object], *, retry_failed: bool) -> dict[str, JsonValue]:
    """The parameters of another attempt. Raises InvalidRequest for ``retry_failed`` with a kind that has no ledger."""
    parsed = parse_params(kind, params)
    if retry_failed:
        parsed = parse_params(kind, {**dump_params(parsed), "retry_failed": True})
    return dump_params(parsed)

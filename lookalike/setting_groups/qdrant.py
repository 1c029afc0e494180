"""Settings of the Qdrant server."""

from pydantic import Field, SecretStr

from lookalike.setting_groups.group import Group


class QdrantSettings(Group):
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

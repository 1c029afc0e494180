"""How a Qdrant server is reached and where it puts things: of a deployment, never part of what an index is."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Placement:
    """How a new collection is laid out; None leaves it to the server. One that exists stays as it is.

    Args:
        on_disk: embeddings are read from disk; their quantized copies, if there are any, stay in memory.
        on_disk_payload: so are labels and metadata.
        shard_number: parts of a collection, on as many nodes as there are.
        replication_factor: copies of each part.
        write_consistency_factor: copies that must have a write before it counts.
    """

    on_disk: bool = False
    on_disk_payload: bool | None = None
    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None


@dataclass(frozen=True)
class ServerOptions:
    """What a client of the server needs to know.

    Args:
        grpc_port: where uploads and searches go by gRPC; None: by REST, as everything else does.
        timeout_s: of one request of a search.
        build_timeout_s: of one request of a build, which waits until what it wrote is written.
        snapshots_kept: of each collection; the oldest beyond that go. None: all are kept.
    """

    api_key: str | None = field(default=None, repr=False)
    grpc_port: int | None = None
    timeout_s: float = 10.0
    build_timeout_s: float = 60.0
    placement: Placement = Placement()
    snapshots_kept: int | None = None

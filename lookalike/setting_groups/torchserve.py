"""Settings of the process that supervises TorchServe."""

from pydantic import Field

from lookalike.setting_groups.group import Group


class TorchServeSettings(Group):
    """The embedder on TorchServe: `python -m services.embedder.torchserve`.

    Its models use `embedder.precision`, `.threads` and `.batch_size`; clients show `embedder.token`.
    """

    host: str = Field(
        default="127.0.0.1", description="address on which clients and Prometheus ask; others need embedder.token"
    )
    port: int = Field(default=8080, ge=0, le=65535, description="port for embeddings; 0 takes a free one")
    metrics_port: int = Field(default=8082, ge=0, le=65535, description="port for Prometheus; 0 takes a free one")
    management_port: int = Field(
        default=8081,
        ge=0,
        le=65535,
        description="port of TorchServe's management API, on 127.0.0.1; 0 takes a free one",
    )
    workers: int | None = Field(
        default=None, ge=1, le=64, description="processes for each model; one, or one for each GPU, when not set"
    )
    batch_requests: int = Field(
        default=8, ge=1, le=256, description="requests that are answered together, where the archive does not say"
    )
    batch_delay_ms: int = Field(
        default=2, ge=1, le=1000, description="how long a request waits for others, where the archive does not say"
    )
    queue_requests: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="requests that are under way; further ones are told to come later",
    )
    poll_s: float = Field(
        default=10.0, gt=0, description="how often the served models are made equal to the registered ones, seconds"
    )
    idle_s: float = Field(
        default=900.0, gt=0, description="after how long an older model that nobody asks for loses its workers, seconds"
    )
    drain_s: float = Field(
        default=30.0, ge=0, le=600, description="longest wait for requests under way when it is told to stop, seconds"
    )
    java_heap_mb: int = Field(
        default=512, ge=128, description="memory of TorchServe's Java, MiB; a quarter is for requests"
    )

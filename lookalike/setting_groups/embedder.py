"""Settings of the embedder."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from lookalike.setting_groups.group import Group


class EmbedderSettings(Group):
    """How embeddings are computed."""

    default_model: str = Field(default="house", description="model of commands that name none")
    url: str | None = Field(
        default=None, description="base URL of a remote embedder; without one, models run in process"
    )
    protocol: Literal["lookalike", "torchserve"] = Field(
        default="lookalike", description="what is at embedder.url: an embedder of ours, or TorchServe"
    )
    token: SecretStr | None = Field(
        default=None, description="what clients show to TorchServe's supervisor, and what it asks of them"
    )
    in_flight: int = Field(
        default=8, ge=1, le=256, description="requests that one process has under way at TorchServe at most"
    )
    patience_s: float = Field(
        default=30.0, ge=0, le=3600, description="how long TorchServe may say that it is busy before an error, seconds"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="arithmetic of the model")
    batch_size: int | None = Field(
        default=None, ge=1, le=4096, description="images a batch; chosen by itself when not set"
    )
    threads: int | None = Field(
        default=None, ge=1, le=256, description="threads of the model; chosen by itself when not set"
    )
    decode_threads: int | None = Field(
        default=None,
        ge=1,
        le=256,
        description="batches read and decoded at once; if not set, one (with TorchServe in_flight) more than cores",
    )

    @model_validator(mode="after")
    def _remote_decides_for_itself(self) -> "EmbedderSettings":
        """What would have no effect is refused."""
        if self.url is not None and (self.precision != "auto" or self.threads is not None):
            raise ValueError("precision and threads are settings of the embedder at embedder.url, not of its clients")
        return self

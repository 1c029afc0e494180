"""Settings of logs, metrics and traces."""

from typing import Literal

from pydantic import Field

from lookalike.setting_groups.group import Group


class TelemetrySettings(Group):
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

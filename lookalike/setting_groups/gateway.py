"""Settings of the HTTP server."""

from pydantic import Field, IPvAnyNetwork

from lookalike.setting_groups.group import Group, Listed


class GatewaySettings(Group):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    max_upload_bytes: int = Field(default=256 * 2**20, ge=1, description="largest request body, in bytes")
    max_json_bytes: int = Field(
        default=32 * 2**20, ge=1, description="largest request body that is no upload (multipart), in bytes"
    )
    threads: int = Field(default=40, ge=1, le=1000, description="requests that are worked on at once")
    slow_client_s: float = Field(
        default=20.0,
        gt=0,
        le=3600,
        description="how long the head of a request may take, in seconds; its body may take as long, and one second "
        "more for each 4 KiB",
    )
    finish_s: int = Field(
        default=5,
        ge=0,
        le=600,
        description="how long requests under way may take when it is told to stop, in seconds; event streams of jobs "
        "take all of it",
    )
    tls: bool = Field(
        default=False,
        description="clients reach it by HTTPS, which ends in front of it: Strict-Transport-Security is sent, and "
        "cookies only go over HTTPS",
    )
    trusted_proxies: Listed[IPvAnyNetwork] = Field(
        default=(),
        description="networks (CIDR) of the proxies in front of it, whose X-Forwarded-For says who asks",
    )
    hosts: Listed[str] = Field(
        default=(),
        description="names by which it is reached, others are refused; when not set: any, but where it listens on this "
        "machine alone without keys, localhost and IP addresses",
    )

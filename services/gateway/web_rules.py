"""What an application takes of its clients, beside keys."""

from dataclasses import dataclass, field

from services.gateway.cross_origin import CrossOrigin
from services.gateway.host_names import HostNames


@dataclass(frozen=True)
class WebRules:
    """Other origins, names of this host (None: any), whether HTTPS ends in front of it, and limits of bodies."""

    cross_origin: CrossOrigin = field(default_factory=CrossOrigin)
    hosts: HostNames | None = None
    tls: bool = False
    max_json_bytes: int = 32 * 2**20
    slow_client_s: float = 20.0

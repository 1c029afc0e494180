"""Settings -> who may ask a gateway, and how often."""

from ipaddress import ip_address

from lookalike.limiting.local import LocalLimiter
from lookalike.limiting.port import Limiter
from lookalike.pipeline.known_keys import KnownKeys
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings

_REDIS_TIMEOUT_S = 0.5  # whoever waits for it is a request, and the limiter can do without


def is_local(address: str) -> bool:
    """Whether nothing but this machine reaches an address that is listened on."""
    return ip_address(address.partition("%")[0]).is_loopback


def keys_are_on(settings: Settings, listens_on: str) -> bool:
    """As ``access.keys`` says; by itself, wherever others than this machine reach the address."""
    if settings.access.keys == "auto":
        return not is_local(listens_on)
    return settings.access.keys == "on"


def known_keys(settings: Settings, workspace: Workspace) -> KnownKeys:
    """The keys of the store and the one of the settings."""
    bootstrap = settings.access.bootstrap_key
    return KnownKeys(workspace.api_keys.find, None if bootstrap is None else bootstrap.get_secret_value())


def limiter(settings: Settings) -> Limiter:
    """Shared by all gateways where the settings name a queue, else of this process."""
    if settings.queue.url is None:
        return LocalLimiter()
    from lookalike.limiting.redis_buckets import RedisBuckets
    from lookalike.limiting.shared import SharedLimiter

    url = settings.queue.url.get_secret_value()
    return SharedLimiter(RedisBuckets(url, prefix=settings.queue.prefix, timeout_s=_REDIS_TIMEOUT_S), LocalLimiter())

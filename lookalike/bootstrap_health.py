"""Settings -> the questions whether each configured server answers."""

from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit, urlunsplit

from lookalike.errors import DependencyUnavailable, MissingExtra
from lookalike.settings import Settings

TIMEOUT_S = 2.0
# Where a server says that it takes requests; none of them asks for a key there.
_EMBEDDER_PATHS = {"lookalike": "/healthz", "torchserve": "/ping"}
_QDRANT_PATH = "/readyz"


def server_checks(settings: Settings) -> Mapping[str, Callable[[], None]]:
    """For ``embedder`` and ``qdrant``, where the settings name one: raises DependencyUnavailable if it is away."""
    found: dict[str, Callable[[], None]] = {}
    if settings.embedder.url is not None:
        path = _EMBEDDER_PATHS[getattr(settings.embedder, "protocol", "lookalike")]
        found["embedder"] = partial(_ask, "embedder", settings.embedder.url, path)
    if settings.qdrant.url is not None:
        found["qdrant"] = partial(_ask, "qdrant", settings.qdrant.url, _QDRANT_PATH)
    return found


def _ask(dependency: str, url: str, path: str) -> None:
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("httpx", "galleries") from error
    whole = urlsplit(url)
    asked = urlunsplit((whole.scheme, whole.netloc, whole.path.rstrip("/") + path, "", ""))
    try:
        status = httpx.get(asked, timeout=TIMEOUT_S, follow_redirects=False).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = type(error).__name__
        raise DependencyUnavailable(f"{dependency} does not answer: {reason}", dependency=dependency) from error
    if status >= 400:
        raise DependencyUnavailable(f"{dependency} is not ready: {status}", dependency=dependency)

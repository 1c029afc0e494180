"""Images by URL, without becoming a way into the network that we run in (server-side request forgery).

Only http and https; the name is resolved once, every address it has must be public, and the connection goes to
the address that was checked, so that a name that changes its answer gains nothing. Redirects are followed by
hand and checked like the first URL. No proxies, cookies or credentials. One deadline covers everything.
"""

import http.client
import ssl
from functools import cache
from ipaddress import ip_address
from urllib.parse import SplitResult, urljoin, urlsplit

from lookalike.errors import ImageTooLarge, LookalikeError, UrlRefused, UrlUnreachable
from lookalike.images.addresses import Network, Resolver, is_reachable, resolve
from lookalike.images.limits import ImageLimits
from lookalike.images.pinned import Deadline, PinnedConnection
from lookalike.images.probe import probe

_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlFetcher:
    """Fetches images by URL.

    Args:
        limits: the body is read up to ``max_bytes`` and its header checked as an image's.
        timeout_s: for everything together: names, redirects, connection, body.
        ports: the ports that may be reached.
        allow_addresses: networks that may be reached although they are not public.
        resolver: gives a host's addresses.
        tls: how certificates are checked; by default as the system does.
    """

    def __init__(
        self,
        *,
        limits: ImageLimits,
        timeout_s: float = 10.0,
        ports: frozenset[int] | None = frozenset({80, 443}),
        allow_addresses: frozenset[Network] = frozenset(),
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._ports = ports
        self._allowed = allow_addresses
        self._resolver = resolver
        self._tls = tls

    def fetch(self, url: str) -> bytes:
        """The image's bytes.

        Raises UrlRefused for a URL that may not be fetched, UrlUnreachable for one that does not answer with an
        image in time, ImageTooLarge, and InvalidImage or UnsupportedImage for a body that is none.
        """
        deadline = Deadline(self._timeout_s)
        for _ in range(_MAX_REDIRECTS + 1):
            parts, port = self._checked(url)
            addresses = self._addresses(str(parts.hostname), port, deadline)
            answer = self._get(parts, port, addresses, deadline)
            if isinstance(answer, bytes):
                probe(answer, self._limits)
                return answer
            try:
                url = urljoin(url, answer)
            except ValueError as error:
                raise UrlRefused(f"redirected to what is no URL: {answer!r:.200}") from error
        raise UrlUnreachable(f"more than {_MAX_REDIRECTS} redirects")

    def _checked(self, url: str) -> tuple[SplitResult, int]:
        try:
            parts = urlsplit(url)
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise UrlRefused(f"not a URL: {url!r:.200}") from error
        if parts.scheme not in _DEFAULT_PORTS:
            raise UrlRefused(f"only http and https URLs are fetched, not {parts.scheme or 'none'!r:.40}")
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise UrlRefused("an image URL names a host and no user")
        if any(ord(char) <= 32 for char in url):
            raise UrlRefused("an image URL has no spaces or control characters")
        if self._ports is not None and port not in self._ports:
            raise UrlRefused(f"port {port} is not fetched from", port=port)
        return parts, port

    def _addresses(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """Every address of ``host``, when each may be reached."""
        try:
            addresses = deadline.run(lambda: self._resolver(host, port))
        except TimeoutError as error:
            raise UrlUnreachable(f"the name {host!r} was not resolved in time") from error
        if not addresses:
            raise UrlUnreachable(f"the host {host!r} has no address")
        for text in addresses:
            if not is_reachable(ip_address(text.partition("%")[0]), self._allowed):
                raise UrlRefused(f"{host!r} is not a public address")
        return addresses

    def _get(self, parts: SplitResult, port: int, addresses: list[str], deadline: Deadline) -> bytes | str:
        """The body, or where a redirect leads."""
        tls = (self._tls or _system_tls()) if parts.scheme == "https" else None
        connection = PinnedConnection(str(parts.hostname), port, addresses, tls, deadline)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "lookalike"}
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            if response.status in _REDIRECTS:
                location = response.getheader("Location")
                if not location:
                    raise UrlUnreachable("a redirect that leads nowhere")
                return location
            if response.status != 200:
                raise UrlUnreachable(f"the server answered {response.status}", status=response.status)
            if response.getheader("Content-Encoding", "identity").lower() != "identity":
                raise UrlUnreachable("the server sent a compressed body")
            return self._body(response)
        except UnicodeError as error:
            raise UrlRefused("an image URL is ASCII, percent-encoded") from error
        except TimeoutError as error:
            raise UrlUnreachable(f"{parts.hostname} did not send an image within {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise UrlUnreachable(f"{parts.hostname}: {type(error).__name__}") from error
        finally:
            connection.release()

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        if response.length is not None and response.length > self._limits.max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._limits.max_bytes:
                raise self._too_large()
            chunks.append(chunk)
        if response.length:
            raise UrlUnreachable(f"the body ended {response.length} bytes early")
        return b"".join(chunks)

    def _too_large(self) -> LookalikeError:
        return ImageTooLarge(f"the body is over the limit of {self._limits.max_bytes} bytes")


@cache
def _system_tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # reads the system's certificates, which takes longer than a request

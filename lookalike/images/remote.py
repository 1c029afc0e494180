"""Images by URL, without becoming a way into the network that we run in (server-side request forgery).

Only http and https; the name is resolved once, every address it has must be public, and the connection goes to
the address that was checked, so that a name that changes its answer gains nothing. Redirects are followed by
hand and checked like the first URL. No proxies, cookies or credentials. One deadline covers everything.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

from lookalike.errors import ImageTooLarge, UrlRefused, UrlUnreachable
from lookalike.images.limits import ImageLimits
from lookalike.images.probe import probe

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str, int], list[str]]

_MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 64 * 1024
_NAT64 = IPv6Network("64:ff9b::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def resolve(host: str, port: int) -> list[str]:
    """All addresses of ``host``, by the system's resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UrlUnreachable(f"the host {host!r} has no address") from error
    return [str(entry[4][0]) for entry in found]


class UrlFetcher:
    """Fetches images by URL.

    Args:
        limits: the body is read up to ``max_bytes`` and its header checked as an image's.
        timeout_s: for everything together: names, redirects, connection, body.
        ports: the ports that may be reached.
        allow_addresses: networks that may be reached although they are not public.
        resolver: gives a host's addresses.
    """

    def __init__(
        self,
        *,
        limits: ImageLimits,
        timeout_s: float = 10.0,
        ports: frozenset[int] | None = frozenset({80, 443}),
        allow_addresses: frozenset[Network] = frozenset(),
        resolver: Resolver = resolve,
    ) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._ports = ports
        self._allowed = allow_addresses
        self._resolver = resolver

    def fetch(self, url: str) -> bytes:
        """The image's bytes.

        Raises UrlRefused for a URL that may not be fetched, UrlUnreachable for one that does not answer with an
        image in time, ImageTooLarge, and InvalidImage or UnsupportedImage for a body that is none.
        """
        deadline = time.monotonic() + self._timeout_s
        for _ in range(_MAX_REDIRECTS + 1):
            parts, port = self._checked(url)
            address = self._address(str(parts.hostname), port)
            answer = self._get(parts, port, address, deadline)
            if isinstance(answer, bytes):
                probe(answer, self._limits)
                return answer
            url = urljoin(url, answer)
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

    def _address(self, host: str, port: int) -> str:
        addresses = self._resolver(host, port)
        if not addresses:
            raise UrlUnreachable(f"the host {host!r} has no address")
        for text in addresses:
            if not self._may_reach(ip_address(text.partition("%")[0])):
                raise UrlRefused(f"{host!r} is not a public address")
        return addresses[0]

    def _may_reach(self, address: Address) -> bool:
        inner = _embedded(address)
        if any(candidate in network for candidate in (address, inner) for network in self._allowed):
            return True
        # An IPv6 address that stands for an IPv4 one is as public as that one is.
        return inner.is_global and not inner.is_multicast and not inner.is_reserved

    def _get(self, parts: SplitResult, port: int, address: str, deadline: float) -> bytes | str:
        """The body, or where a redirect leads."""
        connection = _Pinned(str(parts.hostname), port, address, parts.scheme == "https", deadline)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "lookalike"}
            connection.remaining(deadline)
            connection.request("GET", target, headers=headers)
            connection.remaining(deadline)
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
            return self._body(response, connection, deadline)
        except UnicodeError as error:
            raise UrlRefused("an image URL is ASCII, percent-encoded") from error
        except (OSError, http.client.HTTPException) as error:
            raise UrlUnreachable(f"{parts.hostname}: {type(error).__name__}") from error
        finally:
            connection.close()

    def _body(self, response: http.client.HTTPResponse, connection: "_Pinned", deadline: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            connection.remaining(deadline)
            chunk = response.read1(_CHUNK_BYTES)
            if not chunk:
                return b"".join(chunks)
            size += len(chunk)
            if size > self._limits.max_bytes:
                raise ImageTooLarge(f"the body is over the limit of {self._limits.max_bytes} bytes")
            chunks.append(chunk)


class _Pinned(http.client.HTTPConnection):
    """A connection to one checked address, with the name in Host, SNI and the certificate's check."""

    def __init__(self, host: str, port: int, address: str, is_https: bool, deadline: float) -> None:
        super().__init__(host, port)
        self.default_port = _DEFAULT_PORTS["https" if is_https else "http"]
        self._address = address
        self._is_https = is_https
        self._deadline = deadline

    def connect(self) -> None:
        left = max(0.001, self._deadline - time.monotonic())
        plain = socket.create_connection((self._address, self.port), timeout=left)
        self.sock = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=self.host) if self._is_https else plain
        )

    def remaining(self, deadline: float) -> None:
        """Gives the socket what is left of the time. Raises TimeoutError when nothing is."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self.sock is not None:
            self.sock.settimeout(left)


def _embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address

"""Which network addresses may be reached for a stranger: the public ones."""

import socket
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

from lookalike.errors import UrlUnreachable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str, int], list[str]]

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that IANA has given out; what is beyond has some special use
_DOCUMENTATION = IPv6Network("3fff::/20")  # RFC 9637, which Python 3.11's list of special networks does not have


def resolve(host: str, port: int) -> list[str]:
    """All addresses of ``host``, by the system's resolver."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UrlUnreachable(f"the host {host!r} has no address") from error
    return [str(entry[4][0]) for entry in found]


def is_reachable(address: Address, allowed: Iterable[Network]) -> bool:
    """Whether ``address`` is public or in a network of ``allowed``.

    An IPv6 address that stands for an IPv4 one is as public as that one is.
    """
    inner = _embedded(address)
    if any(candidate in network for candidate in (address, inner) for network in allowed):
        return True
    if isinstance(inner, IPv6Address) and (inner not in _GLOBAL_UNICAST or inner in _DOCUMENTATION):
        return False
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


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

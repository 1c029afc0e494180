"""Where a request comes from."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network
NOWHERE = "nowhere"
_OF_ONE_CLIENT = 64  # bits of an IPv6 address: the rest is the client's own to choose


def client_address(peer: str | None, forwarded_for: str | None, trusted: Sequence[Network]) -> str:
    """The address to count requests by: an IPv4 address, or the network of an IPv6 one.

    ``forwarded_for`` is X-Forwarded-For, which anybody can send: it is read from its end, as far as those who added
    to it are ``trusted`` proxies.
    """
    address = _parsed(peer)
    if address is None:
        return NOWHERE
    for said in reversed([part.strip() for part in (forwarded_for or "").split(",") if part.strip()]):
        if not any(address in network for network in trusted):
            break
        further = _parsed(said)
        if further is None:
            break
        address = further
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _OF_ONE_CLIENT), strict=False))
    return str(address)


def _parsed(text: str | None) -> IPv4Address | IPv6Address | None:
    """An address, also with a port beside it; IPv4 in IPv6 is IPv4."""
    if text is None:
        return None
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found

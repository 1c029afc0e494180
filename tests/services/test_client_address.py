"""Whose request it is: addresses, and proxies that are believed."""

from ipaddress import ip_network

import pytest

from services.gateway.client_address import NOWHERE, client_address

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "wanted"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # nobody's proxy: anybody can send the header
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "198.51.100.1:4711", "198.51.100.1"),
        ("10.1.2.3", "192.0.2.1, 198.51.100.1", "198.51.100.1"),  # the first one is the client's own claim
        ("10.1.2.3", "192.0.2.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),  # through two proxies of ours
        ("10.1.2.3", "10.4.4.4, 10.9.9.9", "10.4.4.4"),
        ("10.1.2.3", None, "10.1.2.3"),
        ("10.1.2.3", "nonsense", "10.1.2.3"),
        ("10.1.2.3", "198.51.100.1, unknown", "10.1.2.3"),
        ("10.1.2.3", " , ", "10.1.2.3"),
        ("fd00::1", "[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", None, "2001:db8:1:2::/64"),  # the rest is the client's to choose
        ("::ffff:10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", None, "fe80::/64"),
        ("testclient", None, NOWHERE),
        (None, "198.51.100.1", NOWHERE),
    ],
)
def test_the_address_that_is_counted(peer: str | None, forwarded_for: str | None, wanted: str) -> None:
    assert client_address(peer, forwarded_for, PROXIES) == wanted

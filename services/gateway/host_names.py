"""By which names the gateway may be reached.

A page that somebody visits can give its own host name the address 127.0.0.1 while it is open (DNS rebinding): for the
browser the gateway on that machine is then of the page's own origin, and the page reads what it likes. The request
still says the page's host name.
"""

from collections.abc import Sequence
from ipaddress import ip_address


class HostNames:
    """``names`` without ports; where there are none, those that nobody else can have: localhost and IP addresses."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._names = frozenset(name.lower() for name in names)

    def allow(self, host: str) -> bool:
        """Whether the ``Host`` header of a request is one of them."""
        name = host.lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        name = name.rstrip(".")
        if self._names:
            return name in self._names
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

"""Failed attempts to come in, counted by address.

Not so that a token cannot be guessed, for which it is too long, but so that one who tries costs little: no more than
a few lines of the log a minute. A good token is taken from any address: a forgotten script must not lock out the
operator beside it, or everybody behind one proxy.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

#: Failed attempts that an address has in each :data:`WINDOW`.
LIMIT: Final = 10

#: Seconds.
WINDOW: Final = 60.0

#: Addresses that are remembered; beyond that the one that came first is forgotten.
ADDRESSES: Final = 4096

#: Bits of an IPv6 address that tell hosts apart: the rest is any one's own choice (RFC 4291, 2.5.4).
_PREFIX: Final = 64


class Attempts:
    """The count of each address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str) -> tuple[int, float]:
        """Count one more: how many there are in this window, and the seconds that are left of it."""
        name, now = _network(address), self._clock()
        begun, count = self._counts.pop(name, (now, 0))
        if now - begun >= WINDOW:
            begun, count = now, 0
        self._counts[name] = (begun, count + 1)
        if len(self._counts) > ADDRESSES:
            self._counts.popitem(last=False)
        return count + 1, begun + WINDOW - now


def _network(address: str) -> str:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found), _PREFIX), strict=False))
    return str(found)

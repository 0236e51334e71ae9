"""By which names the daemon may be called: what a request's ``Host`` and ``Origin`` may say.

A page elsewhere can reach a daemon that its reader can reach in two ways. It lets its own name resolve to the daemon's
address (DNS rebinding): then ``Host`` is its name. Or it posts across origins: then ``Origin`` is not ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from yarl import URL


def host_name(host: str) -> str:
    """The name in a ``Host`` header, in lower case, without port, brackets and last dot; empty when it has none."""
    try:
        name = URL(f"http://{host}").raw_host if host and not set(host) & set("/?#@\\") else None
    except ValueError:
        return ""
    return (name or "").lower().removesuffix(".")


def is_loopback_host(host: str) -> bool:
    """Whether a ``Host`` header is ``localhost`` or a loopback address, with any port.

    The port is left out on purpose: a forwarded port (``ssh -L``) is another one, and a page elsewhere
    cannot make a browser send a loopback address as the name of its site.
    """
    name = host_name(host)
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class HostNames:
    """``configured`` names (``api.names``) and ``certified`` ones, those of the certificate."""

    configured: frozenset[str] = frozenset()
    certified: frozenset[str] = frozenset()

    @classmethod
    def of(cls, configured: Iterable[str], certified: Iterable[str] = ()) -> HostNames:
        """The names in any case; certified ones may have ``*`` for their first label."""
        return cls(frozenset(map(str.lower, configured)), frozenset(map(str.lower, certified)))

    def are_ours(self, host: str, local_address: str) -> bool:
        """Whether a ``Host`` means this daemon, at a connection that came in at ``local_address``."""
        name = host_name(host)
        if not name:
            return False
        wild = f"*.{name.partition('.')[2]}"
        known = self.configured | self.certified
        return is_loopback_host(host) or name in known or wild in self.certified or _same(name, local_address)

    def are_origins(self, origin: str, host: str, *, secure: bool) -> bool:
        """Whether an ``Origin`` is the site that a request's ``Host`` names.

        A configured name may be that of a proxy in front, which ends TLS for us: its pages are ``https``.
        """
        schemes = {"https"} if secure else {"http"}
        if host_name(host) in self.configured:
            schemes.add("https")
        return any(origin.lower() == f"{scheme}://{host}".lower() for scheme in schemes)


def _same(name: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return False

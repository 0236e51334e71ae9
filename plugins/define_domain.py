"""Defines each converted guest in libvirt by ``virsh define``: off, until the configuration names a connection.

It runs in the daemon, once a guest has finished and its XML is beside its disks. A guest is none the worse when libvirt
refuses it: this plugin's record says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from hypersdkd.host.process import run
from hypersdkd.model.change import Change
from hypersdkd.model.problem import ProblemError, fail, one_line
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Subscriber

PROGRAM: Final = "virsh"

#: Seconds that libvirt may take; a subscriber has ten in all.
_SECONDS: Final = 8.0

#: Guests between their XML and their end that are remembered: more than run at once.
_MOST: Final = 1000


class Plugin:
    """``plugins.define_domain.uri`` is the connection, such as ``qemu:///system``; without one nothing is done.

    Raises ``ValueError`` for any other setting.
    """

    def __init__(self, settings: Mapping[str, object]) -> None:
        uri = settings.get("uri", "")
        if set(settings) - {"uri"} or not isinstance(uri, str):
            raise ValueError("define_domain has the one setting uri, a libvirt connection such as qemu:///system")
        self._uri = uri
        self._written: dict[tuple[str, str], str] = {}

    @hookimpl
    def hypersdkd_subscribers(self) -> Sequence[Subscriber]:
        """Nobody, where no connection is named."""
        return [Subscriber("define-domain", self._hear)] if self._uri else []

    def _hear(self, changes: Sequence[Change]) -> None:
        """Raises ``tool-missing``, ``tool-timeout`` and ``tool-failed``, once all that was heard was tried."""
        problems: list[ProblemError] = []
        for change in changes:
            path = self._to_define(change.data) if change.kind == "guest" else ""
            try:
                if path:
                    define(self._uri, Path(path))
            except ProblemError as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def _to_define(self, event: Mapping[str, object]) -> str:
        """The XML of a guest that has finished; empty at any other event."""
        guest = (str(event.get("job")), str(event.get("vm")))
        kind, value = event.get("type"), event.get("value")
        if kind == "finding" and event.get("key") == "domain_xml" and isinstance(value, str):
            while len(self._written) >= _MOST:
                del self._written[next(iter(self._written))]
            self._written[guest] = value
        elif kind == "finished":
            return self._written.pop(guest, "")
        elif kind in {"failed", "cancelled", "started"}:
            self._written.pop(guest, None)
        return ""


def define(uri: str, path: Path) -> None:
    """Have libvirt remember the domain; it is not started. Raises ``tool-missing -timeout -failed``."""
    if not path.is_absolute() or path.suffix != ".xml":
        raise fail("tool-failed", f"{one_line(str(path))} is no libvirt XML of ours")
    done = run([PROGRAM, "--connect", uri, "define", "--validate", "--file", str(path)], timeout=_SECONDS)
    if done.returncode:
        reason = one_line(done.stderr.partition("\n")[0][:500])
        raise fail("tool-failed", f"virsh define of {one_line(path.name)} failed: {reason}", detail=done.stderr)

"""What lies in a guest's directory, and the names that a guest may use beside its outputs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.files import write_replacing
from hypersdkd.model.guest import Guest
from hypersdkd.spec.types import GuestRun

LOCK: Final = "lock"
LOG: Final = "worker.log"
WORK: Final = "work"
_ORDER: Final = "guest.json"
STAMP: Final = "worker.json"

#: Environment variable that marks every process of a worker's session; its value is the guest's directory.
MARKER: Final = "HYPERSDKD_GUEST"


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """All that a worker needs to know: ``guest.json``.

    ``source_roots`` are resolved directories that sources must lie below; ``plugins``
    are the names of those to load, which may lie in ``plugin_directories``.
    """

    job_id: str
    guest: Guest
    source_roots: tuple[str, ...]
    plugin_directories: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    def write(self, directory: Path) -> None:
        """Put the order into the guest's directory, durably."""
        order = {
            "job_id": self.job_id,
            "guest": self.guest.as_dict(),
            "source_roots": self.source_roots,
            "plugin_directories": self.plugin_directories,
            "plugins": self.plugins,
        }
        write_replacing(directory / _ORDER, json.dumps(order, indent=1).encode("ascii"))

    @classmethod
    def read(cls, directory: Path) -> WorkOrder:
        """Read :meth:`write` back. Raises ``OSError``, ``KeyError``, ``TypeError`` or ``ValueError``."""
        order = json.loads((directory / _ORDER).read_bytes())
        return cls(
            job_id=str(order["job_id"]),
            guest=Guest.from_dict(order["guest"]),
            source_roots=tuple(order["source_roots"]),
            plugin_directories=tuple(order["plugin_directories"]),
            plugins=tuple(order["plugins"]),
        )


def guest_run(directory: Path, job_id: str, vm: str) -> GuestRun:
    """What an executor needs to run the guest of ``directory``."""
    return GuestRun(
        job_id=job_id,
        vm=vm,
        directory=directory,
        command=(sys.executable, "-m", "hypersdkd.worker", str(directory)),
        marker=f"{MARKER}={directory}",
        log=directory / LOG,
        lock=directory / LOCK,
        stamp=directory / STAMP,
    )


def _prefix(directory: Path) -> str:
    return f".hypersdkd-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}-"


def temporary_output(directory: Path, final: Path, index: int) -> Path:
    """The hidden name under which a guest's disk ``index`` is written, beside its final name.

    It depends only on the guest's directory, so that whatever a killed worker left can be found again.
    """
    return final.with_name(f"{_prefix(directory)}{index}.part")


def remove_temporaries(directory: Path, finals: Sequence[Path]) -> None:
    """Remove everything that this guest's workers left beside its outputs."""
    for parent in {final.parent for final in finals}:
        for leftover in parent.glob(f"{_prefix(directory)}*"):
            leftover.unlink(missing_ok=True)

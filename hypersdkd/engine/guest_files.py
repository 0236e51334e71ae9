"""What lies in a guest's directory, and the names that a guest may use beside its outputs."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hypersdkd.host.files import remove_tree, write_replacing
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.model.guest import Guest
from hypersdkd.model.problem import Problem, ProblemError, one_line
from hypersdkd.spec.types import GuestRun

LOCK: Final = "lock"
LOG: Final = "worker.log"
WORK: Final = "work"

#: Files that a guest leaves to be looked at: screenshots, logs. They are kept as long as its journal.
ARTIFACTS: Final = "artifacts"

ORDER: Final = "guest.json"
STAMP: Final = "worker.json"

#: Environment variable that marks every process of a worker's session; its value is the guest's directory.
MARKER: Final = "HYPERSDKD_GUEST"


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """All that a worker needs to know: ``guest.json``.

    ``source_roots`` are resolved directories that sources must lie below; ``queue`` are those directories of the
    queue in which others' files lie, and ``companions`` the names of those there that are this job's; ``plugins`` are
    the names of those to load, which may lie in ``plugin_directories``, and ``plugin_settings`` are those of the
    configuration for them. The files of libguestfs' appliance are kept in ``appliance`` between guests or, where that
    is empty, in the attempt's own directory. ``nonce`` is in the temporary names of the outputs: who can write beside
    them does not know where to put something in the way.
    """

    job_id: str
    guest: Guest
    source_roots: tuple[str, ...]
    plugin_directories: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    plugin_settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    appliance: str = ""
    nonce: str = field(default_factory=lambda: os.urandom(8).hex())

    def write(self, directory: Path) -> None:
        """Put the order into the guest's directory, durably; for us alone, since settings may hold a secret."""
        order = {
            "job_id": self.job_id,
            "guest": self.guest.as_dict(),
            "source_roots": self.source_roots,
            "plugin_directories": self.plugin_directories,
            "plugins": self.plugins,
            "queue": self.queue,
            "companions": self.companions,
            "plugin_settings": self.plugin_settings,
            "appliance": self.appliance,
            "nonce": self.nonce,
        }
        text = json.dumps(order, indent=1, default=str)  # YAML has dates, JSON has not
        write_replacing(directory / ORDER, text.encode("ascii"), mode=0o600)

    @classmethod
    def read(cls, directory: Path) -> WorkOrder:
        """Read :meth:`write` back. Raises ``OSError``, ``KeyError``, ``TypeError`` or ``ValueError``."""
        order = json.loads((directory / ORDER).read_bytes())
        return cls(
            job_id=str(order["job_id"]),
            guest=Guest.from_dict(order["guest"]),
            source_roots=tuple(order["source_roots"]),
            plugin_directories=tuple(order["plugin_directories"]),
            plugins=tuple(order["plugins"]),
            queue=tuple(order.get("queue", ())),
            companions=tuple(order.get("companions", ())),
            plugin_settings=order.get("plugin_settings", {}),
            appliance=str(order.get("appliance", "")),
            nonce=str(order["nonce"]),
        )


def appliance_cache(order: WorkOrder, work: Path) -> Path:
    """Where libguestfs' appliance is kept. libguestfs' own variable counts first."""
    return Path(os.environ.get("LIBGUESTFS_CACHEDIR") or order.appliance or work) / "hypersdkd-appliance"


def guest_run(directory: Path, job_id: str, vm: str) -> GuestRun:
    """What an executor needs to run the guest of ``directory``."""
    return GuestRun(
        job_id=job_id,
        vm=vm,
        directory=directory,
        command=(sys.executable, "-P", "-m", "hypersdkd.worker", str(directory)),
        marker=f"{MARKER}={directory}",
        log=directory / LOG,
        lock=directory / LOCK,
        stamp=directory / STAMP,
    )


def _prefix(order: WorkOrder) -> str:
    return f".hypersdkd-{order.nonce}-"


def temporary_output(directory: Path, final: Path, index: int) -> Path:
    """The hidden name under which a guest's disk ``index`` is written, beside its final name.

    It depends only on the order in the guest's directory, so that what a killed worker left can be found again.
    Raises what :meth:`WorkOrder.read` does.
    """
    return final.with_name(f"{_prefix(WorkOrder.read(directory))}{index}.part")


def remove_temporaries(directory: Path, finals: Sequence[Path]) -> Sequence[Problem]:
    """Remove everything that this guest's workers left beside its outputs; a warning for each that stays."""
    try:
        order = WorkOrder.read(directory)
    except (OSError, KeyError, TypeError, ValueError):
        return ()  # without an order there was no worker
    return [left for parent in sorted({final.parent for final in finals}) for left in _clear(parent, order)]


def fresh_work(directory: Path) -> None:
    """Give an attempt at a guest its empty directory. Raises ``OSError``."""
    remove_tree(directory / WORK)
    (directory / WORK).mkdir(mode=0o700)


def remove_work(directory: Path) -> None:
    """Remove what the attempts at a guest worked with. What cannot be removed now is left to ``retention``.

    A worker that has narrowed itself can only empty the directory.
    """
    with contextlib.suppress(OSError):
        remove_tree(directory / WORK)


def _clear(parent: Path, order: WorkOrder) -> Sequence[Problem]:
    if not os.path.lexists(parent):
        return ()
    try:
        with OutputDirectory.open(parent, Path(order.guest.output_root)) as directory:
            found = [path.name for path in directory.here.iterdir() if path.name.startswith(_prefix(order))]
            left = [parent / name for name in found if not directory.remove(name)]
    except (ProblemError, OSError) as error:
        return (_left(parent, str(error)),)
    return [_left(path, "it is not a file, or may not be removed") for path in left]


def _left(path: Path, reason: str) -> Problem:
    return Problem("output-leftover", one_line(f"{path} cannot be cleared: {reason}"))

"""A look at a source as LOAD takes it, and into the guest if wanted: a worker of its own, narrowed like all of them,
that writes nothing but its journal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import WorkOrder, guest_run
from hypersdkd.engine.journal import FLOOD, JOURNAL, read_journal
from hypersdkd.engine.workshop import WorkerPlugins
from hypersdkd.host.files import remove_tree
from hypersdkd.model.guest import DiskSource, Guest
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.report import GuestFold, fold

#: Seconds that it may take: to read an image's tables, or unpack a cloud image; to launch an appliance without KVM and
#: look into a guest; and to read a disk of a night's export for its checksum.
_SECONDS: Final = 600.0
_INSPECT_SECONDS: Final = 900.0
_CHECKSUM_SECONDS: Final = 6 * 3600.0

#: Bytes of a worker's last words that are told.
_LOG_BYTES: Final = 2000

#: The facts that go into a manifest, of what a worker finds; and those of a disk that is a source by itself.
_FACTS: Final = ("hardware", "nics", "system")
_OF_A_DISK: Final = ("format", "variant", "virtual_size")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found: ``findings`` as the report's ``guest`` has them, and ``warnings`` as the report has them.

    ``problem`` is what LOAD refuses the source with; ``None`` if it takes it.
    """

    findings: Mapping[str, object]
    warnings: Sequence[Mapping[str, object]]
    problem: Problem | None

    @property
    def source(self) -> Mapping[str, object]:
        """What LOAD says of the source itself: ``checksum``, where one was asked for."""
        found = self.findings.get("source")
        return found if isinstance(found, Mapping) else {}

    @property
    def files(self) -> Sequence[Mapping[str, object]]:
        """The source's files, the named one first: ``path``, ``bytes``, and ``checksum`` if it was asked for."""
        if files := _rows(self.source.get("files")):
            return files
        known = (("path", "path"), ("file_size", "bytes"), ("checksum", "checksum"))
        return [{to: self.source[key] for key, to in known if key in self.source}]

    @property
    def size(self) -> int | None:
        """Bytes of the file that was named."""
        size = self.files[0].get("bytes")
        return size if isinstance(size, int) else None

    @property
    def fixable(self) -> bool:
        """Whether FIX has something to look for: a Linux, or, if nobody looked, a disk that may boot."""
        system = self.findings.get("system")
        if isinstance(system, Mapping):
            return system.get("os_type") == "linux"
        return self.findings.get("bootable") is True

    def facts(self) -> dict[str, object]:
        """For a manifest's ``metadata``."""
        disks = self.findings.get("source_disks", [{key: self.source[key] for key in _OF_A_DISK if key in self.source}])
        return {
            "files": list(self.files),
            "disks": disks,
            **{key: self.findings[key] for key in _FACTS if self.findings.get(key)},
            **({"warnings": [str(each.get("message", "")) for each in self.warnings]} if self.warnings else {}),
        }


@dataclass(frozen=True, slots=True)
class SourcePlaces:
    """Where an inspection works: a directory that is made in ``scratch``, sources below ``roots``, and what workers
    have besides (see :class:`hypersdkd.engine.guest_files.WorkOrder`)."""

    scratch: Path
    roots: tuple[str, ...]
    plugins: WorkerPlugins
    queue: tuple[str, ...] = ()
    appliance: str = ""


async def inspect_source(
    places: SourcePlaces, source: DiskSource, *, checksums: bool = False, inside: bool = False
) -> Inspection:
    """Look at ``source``, and with ``inside`` at the guest's system; ``checksums`` reads all of it.

    Raises ``tool-timeout``, ``step-failed`` where the worker dies, ``worker-flooded``, and ``OSError``.
    """
    places.scratch.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="look-", dir=places.scratch))
    try:
        _order(places, directory, source, checksums=checksums, inside=inside).write(directory)
        seconds = _SECONDS + inside * _INSPECT_SECONDS + checksums * _CHECKSUM_SECONDS
        await _run(directory, seconds)
        folded = await asyncio.to_thread(_told, directory)
        if folded.state is None:
            log = await asyncio.to_thread(_end_of_log, directory)
            raise fail("step-failed", "the look at the source did not end", detail=log)
        report = folded.report()
        found = report["guest"]
        return Inspection(found if isinstance(found, Mapping) else {}, _rows(report["warnings"]), folded.problem)
    finally:
        await asyncio.to_thread(remove_tree, directory)


def _order(places: SourcePlaces, directory: Path, source: DiskSource, *, checksums: bool, inside: bool) -> WorkOrder:
    guest = Guest(
        "source",
        (source,),
        outputs=(str(directory / "none.qcow2"),),
        output_root=str(directory),
        output_name=str(directory / "none.qcow2"),
        checksums=checksums,
        inspect={"enabled": inside},
        dry_run=True,
    )
    return WorkOrder(
        job_id="look",
        guest=guest,
        source_roots=places.roots,
        plugin_directories=places.plugins.directories,
        plugins=places.plugins.names,
        plugin_settings=places.plugins.settings,
        queue=places.queue,
        appliance=places.appliance,
    )


async def _run(directory: Path, seconds: float) -> None:
    command = guest_run(directory, "look", "source").command
    with (directory / "worker.log").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(
            *command,
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(seconds):
            await worker.wait()
    except TimeoutError:
        raise fail("tool-timeout", f"the look at the source did not end within {seconds:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        await worker.wait()


def _told(directory: Path) -> GuestFold:
    """What the worker says, if it came so far; it may have been taken over."""
    journal = directory / JOURNAL
    if journal.exists() and journal.stat().st_size > FLOOD:
        raise fail("worker-flooded", f"the look at the source wrote more than {FLOOD >> 20} MiB into its journal")
    return fold(read_journal(directory))


def _end_of_log(directory: Path) -> str:
    with (directory / "worker.log").open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
        return log.read(_LOG_BYTES).decode(errors="backslashreplace")


def _rows(rows: object) -> list[Mapping[str, object]]:
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

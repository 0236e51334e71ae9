"""From a claimed file to work orders: who shall be converted, from where, to where."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.names import NAME_MAX, job_id
from hypersdkd.host.image_source import open_source
from hypersdkd.host.output_directory import MAX_LEVELS
from hypersdkd.model.guest import DiskSource, Guest, output_names, type_by_suffix
from hypersdkd.model.job import stem
from hypersdkd.model.job_config import fixes
from hypersdkd.model.problem import Problem, ProblemError, fail

#: Longest path with its NUL, in bytes, limits.h.
_PATH_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class PlannedGuest:
    """A guest with absolute outputs, or the problem that keeps it from being run at all."""

    guest: Guest
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """Where sources may come from and outputs may go; all absolute.

    ``beside`` is what relative source paths start from: the drop directory. ``queue`` are directories whose
    files are jobs and records; no output goes there, even if they lie below ``output_roots``.
    """

    beside: Path
    source_roots: tuple[Path, ...]
    output: Path
    output_roots: tuple[Path, ...]
    queue: tuple[Path, ...] = ()

    @classmethod
    def of(cls, base: Path, sources: Sequence[Path], output: Path, outputs: Sequence[Path]) -> Places:
        """Resolve the roots once, so that a link below them cannot lead out."""
        layout = QueueLayout(base)
        queue = (layout.drop, layout.processing, layout.processed, layout.failed, layout.private)
        return cls(
            beside=layout.drop,
            source_roots=tuple(_real(root) for root in (base, *sources)),
            output=_real(output),
            output_roots=tuple(_real(root) for root in (output, *outputs)),
            queue=tuple(_real(directory) for directory in queue),
        )


def dropped_disk(job: str, file: Path) -> Guest:
    """The guest of a disk that was itself dropped: as by a job config that has only its ``input``."""
    return Guest(
        name=stem(job), disks=(DiskSource(type_by_suffix(file.name), str(file)),), fix=fixes(), fix_if_possible=True
    )


def plan(job: str, guests: Sequence[Guest], places: Places, busy: Callable[[Path], bool]) -> list[PlannedGuest]:
    """Give every guest its absolute outputs and make sure, as far as can be seen now, that it can run.

    ``busy`` tells whether another running job writes that output. A guest that cannot run has its problem;
    the others are not affected. Looks at files: call it off the loop.
    """
    planned = []
    taken: set[str] = set()
    for guest in guests:
        named = replace(
            guest, name=guest.name or stem(job), disks=tuple(_absolute(disk, places) for disk in guest.disks)
        )
        try:
            first = _first_output(named, places)
            root = _root_of(first, places)
            outputs = output_names(str(first), len(named.disks), named.output_format)
            named = replace(named, outputs=outputs, output_root=str(root), output_name=str(first))
            for path in map(Path, outputs):
                _check_name(path, root)
                _check_output(path, taken, busy)
            taken.update(outputs)
            for disk in named.disks:
                os.close(open_source(disk.source_path, places.source_roots)[1])
        except ProblemError as error:
            planned.append(PlannedGuest(named, error.problem))
        except (OSError, ValueError) as error:
            planned.append(PlannedGuest(named, _impossible(error)))
        else:
            planned.append(PlannedGuest(named))
    return planned


def _impossible(error: OSError | ValueError) -> Problem:
    """Of a path that no file can have, or that cannot be looked at."""
    if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
        return Problem("output-unwritable", f"{error.filename} cannot be looked at: {error.strerror}")
    return Problem("name-invalid", f"a path of this guest cannot be one: {error}")


def _absolute(disk: DiskSource, places: Places) -> DiskSource:
    if disk.source_path.startswith("/"):
        return disk
    return replace(disk, source_path=f"{places.beside}/{disk.source_path}")


def _first_output(guest: Guest, places: Places) -> Path:
    """Where the outputs go, or what they are named after; it lies below an output root and outside the queue."""
    first = _asked_output(guest, places)
    real = _real(first.parent) / first.name
    if any(real.is_relative_to(directory) for directory in places.queue):
        raise fail(
            "output-outside",
            f"{first} is inside the queue itself",
            remedy=f"Use a path below {places.output}.",
            path="pipeline.convert.output_path",
        )
    if _root_of(real, places) is None:
        allowed = ", ".join(map(str, (*places.output_roots[1:], real.parent)))
        raise fail(
            "output-outside",
            f"{first} is outside the output directories",
            remedy=f"Use a path below {places.output}, or set in the configuration: "
            f"workflow: {{output_dirs: [{allowed}]}}",
            path="pipeline.convert.output_path",
        )
    return real


def _root_of(path: Path, places: Places) -> Path | None:
    """The innermost output root that ``path`` lies below."""
    return max(
        (root for root in places.output_roots if root in path.parents), key=lambda root: len(root.parts), default=None
    )


def _asked_output(guest: Guest, places: Places) -> Path:
    file_name = (
        f"{job_id(guest.name.replace('/', '_').lstrip('.') or 'guest', lambda _name: False)}.{guest.output_format}"
    )
    if not guest.output_path:
        return places.output / file_name
    if "\0" in guest.output_path:
        raise fail("name-invalid", "output_path holds a NUL", path="pipeline.convert.output_path")
    asked = Path(os.path.normpath(places.output / guest.output_path))
    if guest.output_path.endswith("/") or asked.is_dir() or asked in places.output_roots:
        return asked / file_name
    return asked


def _check_name(output: Path, root: Path | None) -> None:
    """Whether a file can have that path: its parts may be made, so they need not exist yet."""
    where = "pipeline.convert.output_path"
    if any(len(os.fsencode(part)) > NAME_MAX for part in output.parts):
        raise fail("name-invalid", f"a name in output_path is over {NAME_MAX} bytes", path=where)
    if len(os.fsencode(output)) >= _PATH_MAX:
        raise fail("name-invalid", f"the output's path is over {_PATH_MAX - 1} bytes", path=where)
    if root is not None and len(output.parent.relative_to(root).parts) > MAX_LEVELS:
        raise fail("name-invalid", f"output_path is more than {MAX_LEVELS} directories below {root}", path=where)
    above = next(parent for parent in output.parents if os.path.lexists(parent))
    if not above.is_dir():
        raise fail("output-unwritable", f"{above} is not a directory", path=where)


def _check_output(output: Path, taken: set[str], busy: Callable[[Path], bool]) -> None:
    where = "pipeline.convert.output_path"
    if str(output) in taken:
        raise fail("manifest-duplicate-output", f"another guest of this job writes {output}", path=where)
    if busy(output):
        raise fail("output-exists", f"another running job writes {output}", path=where)
    if os.path.lexists(output):
        raise fail("output-exists", f"{output} exists", path=where)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def suffix_of(name: str) -> str:
    """A file name's syntax for a document's reader: ``json``, ``yaml``, or empty for what is no document."""
    suffix = PurePosixPath(name.lower()).suffix
    return "json" if suffix == ".json" else "yaml" if suffix in {".yaml", ".yml"} else ""

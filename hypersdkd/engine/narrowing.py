"""What a worker gives up before it looks at a source. It keeps its guest's files and what its tools need.

Its own directory it may only read, but for ``work/``: who could rewrite the order or the log there would have the next
worker, or the daemon, act for him.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from hypersdkd.engine.guest_files import ARTIFACTS, WORK, WorkOrder, appliance_cache
from hypersdkd.host.files import open_regular
from hypersdkd.host.guest_keys import key_file
from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_qcow2 import backing_file
from hypersdkd.host.image_source import resolve_source
from hypersdkd.host.landlock import Confinement
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.host.private_tmp import hide_tmp
from hypersdkd.host.self_confinement import confine_self, shortcoming
from hypersdkd.host.socket_directory import socket_directory
from hypersdkd.host.virt_v2v import windows_drivers
from hypersdkd.model.guest import DiskSource
from hypersdkd.model.guest_wishes import fix_wanted, inspect_wanted
from hypersdkd.model.problem import Problem, ProblemError

#: What programs and libguestfs read besides ``/usr``. Of ``/etc`` single names: a token file may lie there, and the
#: worker may be root's.
_SYSTEM: Final = (
    "/sbin",
    "/proc",
    "/sys",
    "/boot",  # the appliance's kernel and modules, and, of what it is built, the package database
    "/lib/modules",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/var/lib/usbutils",  # the list of devices that virt-v2v wants to read, by a link from /usr
    "/etc/dpkg",
    "/etc/group",
    "/etc/libguestfs-tools.conf",
    "/etc/localtime",
    "/etc/lvm",
    "/etc/magic",
    "/etc/mke2fs.conf",
    "/etc/modprobe.d",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/ssl/openssl.cnf",
    "/etc/udev",
)

#: Devices that hold nothing.
_DEVICES: Final = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/kvm", "/dev/ptmx")

#: Source types that are one file always.
_ALONE: Final = frozenset({"raw", "vdi", "ova", "ami"})

#: Backing files behind each other that are looked for.
_MAX_LINKS: Final = 64

#: What the files of one disk have behind its name.
_PART: Final = re.compile(r"-(?:flat|delta|sesparse|[sf]\d{3}|\d{6}|disk-?\d+)$", re.IGNORECASE)


def narrow(directory: Path, order: WorkOrder) -> Problem | None:
    """Confine this process to the guest of ``directory``, for good; a warning where this kernel cannot do all of it.

    Sockets it keeps only where INSPECT or FIX is asked for, for the appliance, and local ones only.

    Makes the outputs' directories, for what is above them will be out of reach. Raises ``OSError``.
    """
    work, artifacts = directory / WORK, directory / ARTIFACTS
    artifacts.mkdir(exist_ok=True)
    appliance = inspect_wanted(order.guest)
    looked_into = tuple(_for_inspect(directory, order)) if appliance else ()
    for variable in ("TMPDIR", "LIBGUESTFS_CACHEDIR"):
        os.environ[variable] = str(work)
    # root's libguestfs has its sockets in /tmp, whatever the variable says
    sockets = socket_directory(work) if appliance and os.geteuid() != 0 else work
    os.environ["XDG_RUNTIME_DIR"] = str(sockets)
    with ExitStack() as stack:
        own = [str(work), str(artifacts), str(sockets), *(str(place.here) for place in _output_places(order, stack))]
        read = (str(directory), *_sources(order), *looked_into)
        run = (*_SYSTEM, *os.get_exec_path(), *_python(), *order.plugin_directories)
        if fix_wanted(order.guest):
            run = (*run, str(windows_drivers()))
        if appliance and os.geteuid() == 0 and hide_tmp((*read, *run), own):
            own.append("/tmp")  # noqa: S108
        prune = () if sockets == work else (str(sockets.parent),)
        confine_self(Confinement(read, _DEVICES, run, tuple(own), prune), appliance=appliance)
    missing = shortcoming()
    return Problem("worker-unconfined", f"a hostile image could make the worker {missing}") if missing else None


def _for_inspect(directory: Path, order: WorkOrder) -> Iterator[str]:
    """The appliance's files, and those with the guest's keys."""
    yield str(appliance_cache(order, directory / WORK))
    if (keys := key_file(order.guest.inspect or {})) is not None:
        yield str(keys)


def _output_places(order: WorkOrder, stack: ExitStack) -> Iterator[OutputDirectory]:
    guest = order.guest
    for parent in sorted({Path(path).parent for path in (*guest.outputs, guest.output_name) if path}):
        with contextlib.suppress(ProblemError):  # CONVERT meets it again and tells of it
            yield stack.enter_context(OutputDirectory.open(parent, Path(guest.output_root), make=True))


def _python() -> Iterator[str]:
    """Where modules lie that are imported later."""
    yield from (sys.prefix, sys.base_prefix)
    yield from (path for path in sys.path if path)
    for name, module in tuple(sys.modules.items()):
        if "." not in name:
            yield from map(str, getattr(module, "__path__", ()))


def _sources(order: WorkOrder) -> Iterator[str]:
    for disk in order.guest.disks:
        path = _resolved(disk.source_path, order)
        for _ in range(_MAX_LINKS):
            if path is None:
                break
            yield from _files_of(disk, path, order)
            path = _backing_file(path, order) if disk.source_type == "qcow2" else None


def _resolved(path: str, order: WorkOrder) -> Path | None:
    try:
        return resolve_source(path, [Path(root) for root in order.source_roots])
    except ProblemError:  # LOAD meets it again and tells of it
        return None


def _backing_file(path: Path, order: WorkOrder) -> Path | None:
    """What a qcow2 image says, without any trust in it: it may be anywhere where sources may be."""
    try:
        fd = open_regular(path)
    except OSError:
        return None
    try:
        name = backing_file(ImageFile.of(fd, path.name))
    except ProblemError:
        return None
    finally:
        os.close(fd)
    return _resolved(str(path.parent / name), order) if name else None


def _files_of(disk: DiskSource, path: Path, order: WorkOrder) -> Iterator[str]:
    """The source and what lies beside it; in the queue's own directories, where others' files lie, of those only
    its companions and what is called like it."""
    yield str(path)
    if disk.source_type in _ALONE:
        return
    if not any(path.is_relative_to(directory) for directory in order.queue):
        yield str(path.parent)
        return
    yield from (str(path.parent / name) for name in order.companions)
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        name = _disk_name(path.name)
        yield from (entry.path for entry in entries if _disk_name(entry.name) == name)


def _disk_name(name: str) -> str:
    """What the files of one disk have in common: ``web01`` of ``web01.vmdk`` and ``web01-000002-s001.vmdk``."""
    stem = Path(name).stem
    while (shorter := _PART.sub("", stem)) != stem:
        stem = shorter
    return stem

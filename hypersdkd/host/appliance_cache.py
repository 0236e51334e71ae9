"""The appliance's own files, made once from the host's packages and used by all guests until those change.

libguestfs would make them anew, or look for seconds whether they are still right, at each launch. They are made before
anything of a guest is looked at, and are only read afterwards, so no guest can change what another is looked at with.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.files import remove_tree
from hypersdkd.host.kvm import kvm_obstacle
from hypersdkd.host.process import run
from hypersdkd.host.sessions import boot_id
from hypersdkd.model.problem import ProblemError, fail

#: Seconds that the making may take: it copies some hundred megabytes.
BUILD_SECONDS: Final = 600.0

#: What the appliance is made of, besides libguestfs' own list: the host's packages and kernels.
_MADE_OF: Final = ("/var/lib/dpkg/status", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/boot", "/lib/modules")

#: Environment variable: where the host's ``/lib/modules`` is shown to a service from which systemd hides that
#: (``ProtectKernelModules=``).
MODULES: Final = "HYPERSDKD_KERNEL_MODULES"

#: By this file libguestfs knows an appliance that is made already, guestfs(3) "FIXED APPLIANCE".
_MARK: Final = "README.fixed"


@dataclass(frozen=True, slots=True)
class ApplianceFiles:
    """A directory with an appliance, and why KVM cannot run it (empty: it can)."""

    directory: Path
    kvm_obstacle: str


def appliance_files(cache: Path, search_path: str) -> ApplianceFiles:
    """The appliance in ``cache``, made now if need be. ``search_path`` is libguestfs' own, ``guestfs_get_path``.

    Raises ``appliance-missing`` and ``appliance-failed``.
    """
    supermin = next(
        (Path(part, "supermin.d") for part in search_path.split(":") if Path(part, "supermin.d").is_dir()), None
    )
    if supermin is None:
        raise fail("appliance-missing", f"there is no supermin.d in {search_path}, of which the appliance is made")
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(cache / "lock"):
            directory = cache / _key(supermin)
            if not (directory / _MARK).exists():
                _build(supermin, directory)
            return ApplianceFiles(directory, _tried_kvm(directory))
    except OSError as error:
        raise fail("appliance-failed", f"the appliance cannot be kept in {cache}: {error.strerror}") from error


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(supermin: Path) -> str:
    """Changes with what the appliance is made of."""
    seen = []
    for place in (supermin, *sorted(supermin.iterdir()), *map(Path, _MADE_OF)):
        if place.exists():
            status = place.stat()
            seen.append((str(place), status.st_mtime_ns, status.st_size))
    return "appliance-" + hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _build(supermin: Path, directory: Path) -> None:
    draft = directory.with_suffix(".draft")
    former = sorted(directory.parent.glob("appliance-*"), key=lambda path: path.stat().st_mtime_ns)
    for left in former[:-1]:  # the newest may still be in use by a worker that is about to launch it
        remove_tree(left)
    remove_tree(draft)
    argv = ["supermin", "--build", "--copy-kernel", "-f", "ext2", "--host-cpu", os.uname().machine]
    try:
        done = run([*argv, str(supermin), "-o", str(draft)], timeout=BUILD_SECONDS, env=_kernel(os.environ))
    except ProblemError as error:
        if error.problem.code == "tool-missing":
            raise fail("appliance-missing", error.problem.message) from error
        raise
    if done.returncode:
        raise fail("appliance-failed", "supermin could not make the appliance", detail=done.stderr)
    (draft / _MARK).write_text("Made by hypersdkd from the host's packages; made anew when they change.\n")
    draft.rename(directory)


def _kernel(environment: Mapping[str, str], boot: Path = Path("/boot")) -> Mapping[str, str]:
    """For supermin, where the host's modules are shown elsewhere: the newest kernel that has some. Empty if they are
    not, or if supermin was told already."""
    place = environment.get(MODULES, "")
    if not place or "SUPERMIN_KERNEL" in environment:
        return {}
    found = [
        (kernel, modules)
        for modules in Path(place).glob("*/")
        if (modules / "modules.dep").is_file() and os.access(kernel := boot / f"vmlinuz-{modules.name}", os.R_OK)
    ]
    if not found:
        return {}
    kernel, modules = max(found, key=lambda pair: _version(pair[1].name))
    return {
        "SUPERMIN_KERNEL": str(kernel),
        "SUPERMIN_MODULES": str(modules),
        "SUPERMIN_KERNEL_VERSION": modules.name,
    }


def _version(release: str) -> list[tuple[int, str]]:
    """Sorts ``6.1.0-9`` before ``6.1.0-10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", release)]


def _tried_kvm(directory: Path) -> str:
    """Tried once in each boot of the host."""
    record = directory / "kvm"
    try:
        boot, _, obstacle = record.read_text().partition("\n")
        if boot == boot_id():
            return obstacle
    except OSError:
        pass
    obstacle = kvm_obstacle(directory / "kernel")
    record.write_text(f"{boot_id()}\n{obstacle}")
    return obstacle

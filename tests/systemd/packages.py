"""The Debian package of this checkout, one of a higher version, and a machine that has nothing but what it depends on.

All of them are kept between runs, under the hash of what they are made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hypersdkd import __version__
from tests.systemd.box import Box
from tests.systemd.installed import ROOT, put

KEPT: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hypersdkd-guests"

CONTROL: Final = ROOT / "packaging/debian/control"

#: Seconds after which nobody, of another checkout perhaps, uses what was kept.
UNUSED: Final = 3600

#: What the package is made of, as script/package has it.
SOURCES: Final = (
    *("CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.cfg"),
    *("docs", "etc", "hypersdkd", "packaging/debian", "plugins", "script", "systemd"),
)

#: The version of the second package.
NEWER: Final = "99.0"

#: What is guarded in the second package: our own modules, and those that workers need late.
GUARDED: Final = ("hypersdkd", "hypersdkd_plugins", "oslo_utils", "backports", "lz4")

#: Behind each of those modules: a process of the first package cannot import it.
GUARD: Final = f"""
from hypersdkd import __version__ as _version_of_the_process
if _version_of_the_process != {NEWER!r}:
    raise ImportError("a module of another version")
"""

#: Without time for compression.
ENVIRONMENT: Final = {**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "none"}


def built() -> Path:
    """The package of this checkout."""
    digest = hashlib.sha256()
    for path in sorted(path for name in SOURCES for path in (ROOT / name, *(ROOT / name).rglob("*"))):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())

    def build(place: Path) -> None:
        subprocess.run(
            [ROOT / "script/package", place], env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True, timeout=300
        )

    return _kept("package", digest.hexdigest(), build) / f"hypersdkd_{__version__}_amd64.deb"


def newer(deb: Path) -> Path:
    """The same as a package of a higher version; whoever mixes modules of both gets an ``ImportError``."""

    def build(place: Path) -> None:
        tree = place / "tree"
        subprocess.run(["dpkg-deb", "--raw-extract", deb, tree], check=True)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"^Version: .*$", f"Version: {NEWER}", control.read_text(), flags=re.MULTILINE))
        (modules,) = tree.glob("usr/lib/hypersdkd/lib/python3*/site-packages")
        (modules / "hypersdkd/__init__.py").write_text(f'__version__ = "{NEWER}"\n')
        places = [modules / name for name in GUARDED]
        for path in (path for place in places for path in place.rglob("*.py")):
            if path != modules / "hypersdkd/__init__.py":
                path.write_text(path.read_text() + GUARD)
        compile_ = ["-m", "compileall", "-q", "-f", "-s", tree, "-p", "/", "--invalidation-mode", "unchecked-hash"]
        subprocess.run(["/usr/bin/python3", *compile_, *places], check=True)
        target = place / f"hypersdkd_{NEWER}_amd64.deb"
        subprocess.run(
            ["dpkg-deb", "-Znone", "--root-owner-group", "--build", tree, target], stdout=subprocess.DEVNULL, check=True
        )
        shutil.rmtree(tree)

    return _kept("newer", deb.parent.name + GUARD + NEWER, build) / f"hypersdkd_{NEWER}_amd64.deb"


def clean_root() -> Path:
    """The root of a machine that was just installed: Debian's least, a systemd, and what the package depends on."""
    field = re.findall(r"^Depends: (.*?)^\S", CONTROL.read_text(), re.MULTILINE | re.DOTALL)[0]
    names = set(re.findall(r"^ *([a-z0-9.-]+)", field.replace(",", "\n"), re.MULTILINE))

    def build(place: Path) -> None:
        include = ",".join(sorted({*names, "systemd-sysv", "dbus"}))
        argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", "bookworm", place / "root"]
        subprocess.run(argv, check=True, timeout=600)
        (place / "root/etc/hosts").write_text("127.0.0.1 localhost\n")  # as Debian's installer does

    return _kept("root", repr(sorted(names)), build) / "root"


def install_package(box: Box, deb: str) -> str:
    """Install it as an operator does; what apt said. ``deb`` is a path in the box."""
    command = 'exec apt-get install --quiet --yes --no-install-recommends "$0" 2>&1'
    return box.run("sh", "-c", command, deb, patience=180)


def start_soon(box: Box) -> None:
    """A drop-in that has the daemon start again quickly after a kill."""
    put(box, "[Service]\nRestartSec=100ms\n", "/etc/systemd/system/hypersdkd.service.d/soon.conf")
    box.run("systemctl", "daemon-reload")


def _kept(name: str, made_of: str, build: Callable[[Path], None]) -> Path:
    """The directory that ``build`` fills, kept until it would be made of something else."""
    place = KEPT / f"deb-{name}-{hashlib.sha256((made_of + inspect.getsource(build)).encode()).hexdigest()[:16]}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"deb-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            draft = KEPT / f"deb-{name}-draft"
            for old in KEPT.glob(f"deb-{name}-*"):
                if old == draft or old.stat().st_mtime < time.time() - UNUSED:
                    shutil.rmtree(old)
            draft.mkdir()
            build(draft)
            draft.rename(place)
        os.utime(place)
    return place

"""A drop-in plugin for daemon and workers in a box: by the guest's name a worker waits, hangs, or tries what it should
not; by a file ``/srv/box/freeze`` the daemon is held up where nothing but its watchdog helps.

Read as text and put into the box; a gate is open when ``go`` lies beside the guest's source.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StatusView, StepContext
from hypersdkd.spec.system import FixContext, Fixer
from hypersdkd.spec.types import Step

#: Of what steps of ours import when they need it; the program may have been upgraded since.
LATER = ("oslo_utils.imageutils.format_inspector", "hypersdkd.model.yaml_document", "lz4.block", "backports.zstd")


def _wait(context: FixContext | StepContext) -> None:
    context.finding("at-the-gate", os.getpid())
    go = Path(context.guest.disks[0].source_path).with_name("go")
    while not go.exists():
        time.sleep(0.02)
    for name in LATER:
        importlib.import_module(name)


def _fix(context: FixContext) -> None:
    context.system.read("/etc/fstab")
    _wait(context)
    context.system.write("/etc/site", b"was here\n")


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
        other.connect(path)


def _try(context: StepContext) -> None:
    """What a worker that was taken over would try."""
    queue = Path("/var/lib/hyper2kvm/manifest-workflow")
    tried: dict[str, Callable[[], object]] = {
        "tokens": lambda: Path("/etc/hypersdkd/tokens").read_bytes(),
        "credentials": lambda: os.listdir("/run/credentials/hypersdkd.service"),
        "keys of other guests": lambda: os.listdir(os.environ["CREDENTIALS_DIRECTORY"]),
        "other guests": lambda: os.listdir(queue / ".hypersdkd/jobs"),
        "the queue": lambda: os.listdir(queue / "to_be_processed"),
        "its own order": lambda: (context.work.parent / "guest.json").write_bytes(b"{}"),
        "its unit's end": lambda: (context.work.parent / "unit.json").write_bytes(b"{}"),
        "passwords": lambda: Path("/etc/shadow").read_bytes(),
        "home directories": lambda: os.listdir("/home"),
        "logs": lambda: os.listdir("/var/log"),
        "processes of others": lambda: Path("/proc/1/environ").read_bytes(),
        "the workers' socket": lambda: _connect("/run/hypersdkd/worker.sock"),
        "the API's socket": lambda: _connect("/run/hypersdkd/api.sock"),
        "the system bus": lambda: _connect("/run/dbus/system_bus_socket"),
        "the service manager": lambda: _connect("/run/systemd/private"),
        "the network": lambda: socket.create_connection(("127.0.0.1", 8080), 1),
        "its connection": lambda: socket.socket(fileno=0).recv(1),
    }
    for name, call in tried.items():
        try:
            call()
        except OSError as error:
            context.finding(f"tried {name}", error.strerror or str(error))
        else:
            context.finding(f"tried {name}", "done")


def _step(context: StepContext) -> None:
    name = context.guest.name
    if name.startswith("wait"):
        context.progress(1, 4)
        _wait(context)
    elif name.startswith("hang"):  # with a child that leaves its session, and may ignore what it can
        script = "trap '' TERM INT HUP; " * name.endswith("stubborn") + "exec setsid sleep 98765"
        with subprocess.Popen(["sh", "-c", script]):
            _wait(context)
    elif name.startswith("hostile"):
        _try(context)


def _sleep_in_the_loop() -> None:
    time.sleep(600)


def _hold_everything() -> None:
    re.match("(a+)+$", "a" * 64 + "b")  # no other thread runs meanwhile


def _found(kind: type) -> Sequence[object]:
    return [each for each in gc.get_objects() if isinstance(each, kind)]


def _freeze(what: str) -> None:
    for loop in _found(asyncio.AbstractEventLoop):
        if what == "loop":
            loop.call_soon_threadsafe(_sleep_in_the_loop)
        elif what == "everything":
            loop.call_soon_threadsafe(_hold_everything)
    for pool in _found(ThreadPoolExecutor):
        if what == "disk" and pool._thread_name_prefix == "spool":
            pool.submit(_sleep_in_the_loop)


@hookimpl
def hypersdkd_status(view: StatusView) -> Mapping[str, object]:
    """Hold the daemon up in the way that a file names."""
    try:
        _freeze(Path("/srv/box/freeze").read_text())
    except FileNotFoundError:
        return {}
    return {"frozen": True}


@hookimpl
def hypersdkd_fixers() -> Sequence[Fixer]:
    """A fixer that waits in the midst of FIX, with the appliance running."""
    return [Fixer("site", "site", _fix)]


@hookimpl
def hypersdkd_steps() -> Sequence[Step]:
    """A step in the midst of CONVERT."""
    return [Step("site", Stage.CONVERT, _step, order=1)]

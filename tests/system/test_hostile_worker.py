"""A worker that was taken over, in a real daemon: a step that tries whatever it should not be able to do.

Each row of ``ATTEMPTS`` is Python that must be refused; ``CAN`` is what is said not to be refused. It stands for code
that a hostile image has run in the worker, with all that the worker may do.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from hypersdkd.host.landlock import version
from tests.images import MIB, raw_disk
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import batch, manifest, outcome, pipeline

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(version() < 6, reason="this kernel's Landlock does not know all that is tried"),
]

SECRET = "a secret that no worker is to see"

#: Names in the attempts: ``queue``, ``base``, ``root``, ``guest`` (its own directory), ``other`` (another guest's),
#: ``daemon`` (its ID), ``port`` (on which somebody listens).
READS = {
    "the tokens": "read(f'{root}/tokens')",
    "the daemon's configuration": "read(f'{root}/config.yaml')",
    "passwords": "read('/etc/shadow')",
    "root's files": "os.listdir('/root')",
    "home directories": "os.listdir('/home')",
    "the journal of the system": "os.listdir('/var/log')",
    "the drop directory": "os.listdir(f'{base}/to_be_processed')",
    "a job that waits": "read(f'{base}/to_be_processed/waits.txt')",
    "jobs that run": "os.listdir(f'{base}/processing')",
    "its own job's file": "read(f'{base}/processing/hostile.json')",
    "records": "os.listdir(f'{base}/processed')",
    "another guest's order": "read(f'{other}/guest.json')",
    "another guest's journal": "read(f'{other}/journal.jsonl')",
    "all jobs": "os.listdir(f'{base}/.hypersdkd/jobs')",
    "another source": "read(f'{root}/other.raw')",
    "the daemon's log": "read(f'{root}/daemon.log')",
    "the daemon's environment": "read(f'/proc/{daemon}/environ')",
    "the daemon's memory": "read(f'/proc/{daemon}/mem')",
    "what the daemon has open": "os.readlink(f'/proc/{daemon}/fd/0')",
    "the daemon's map": "read(f'/proc/{daemon}/maps')",
    "a file by the daemon's root": "read(f'/proc/{daemon}/root{root}/tokens')",
    "a secret by a link": "os.symlink(f'{root}/tokens', f'{guest}/work/link') or read(f'{guest}/work/link')",
    "a secret by a hard link": "os.link(f'{root}/tokens', f'{guest}/work/hard') or read(f'{guest}/work/hard')",
    "a secret by a move": "os.rename(f'{root}/tokens', f'{guest}/work/moved') or read(f'{guest}/work/moved')",
    "a secret by qemu-img": "tool('qemu-img', 'convert', '-f', 'raw', f'{root}/tokens', f'{guest}/work/out')",
    "a secret by a shell": "tool('sh', '-c', f'cat {root}/tokens')",
    "a secret by a mount": "mount(f'{root}', f'{guest}/work')",
    "a disk of the host": "[os.close(os.open(f'/dev/{name}', os.O_RDONLY)) for name in disks()]",
}
WRITES = {
    "outside": "write('/var/tmp/hypersdkd-hostile')",
    "in /tmp": "write('/tmp/hypersdkd-hostile')",
    "in shared memory": "write('/dev/shm/hypersdkd-hostile')",
    "system files": "write('/etc/hypersdkd-hostile')",
    "programs": "write('/usr/local/bin/hypersdkd-hostile')",
    "a new job": "write(f'{base}/to_be_processed/more.json')",
    "another's job away": "os.unlink(f'{base}/to_be_processed/waits.txt')",
    "a record": "write(f'{base}/processed/hostile.report.json')",
    "into processing": "write(f'{base}/processing/x.json')",
    "another guest's order": "write(f'{other}/guest.json')",
    "another guest's journal": "write(f'{other}/journal.jsonl')",
    "its own order": "write(f'{guest}/guest.json')",
    "its own order by a move": "write(f'{guest}/work/x') or os.rename(f'{guest}/work/x', f'{guest}/guest.json')",
    "a module for the next worker": "write(f'{guest}/json.py')",
    "its log away, for a link in its place": "os.unlink(f'{guest}/worker.log')",
    "its work away, for a link in its place": "os.rename(f'{guest}/work', f'{guest}/moved')",
    "its stamp": "write(f'{guest}/worker.json')",
    "its job's claim": "write(f'{guest}/../claim.json')",
    "its source": "write(source)",
    "its source's length": "os.truncate(source, 0)",
    "beside its source": "write(f'{root}/new.raw')",
    "the daemon's plugins": "write(f'{root}/plugins/mine.py')",
    "a bytecode file": "write(json.__cached__)",
    "a device": "os.mknod(f'{guest}/work/sda', 0o60600, os.makedev(8, 0))",
    "and runs a program": "write(f'{guest}/work/x', '#!/bin/sh') or run(f'{guest}/work/x')",
}
TALKS = {
    "by TCP": "socket.create_connection(('127.0.0.1', port), 5)",
    "by TCP of version 6": "socket.socket(socket.AF_INET6).connect(('::1', port))",
    "by UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "by listening": "socket.socket().bind(('127.0.0.1', 0))",
    "with the daemon's own socket": "socket.socket(socket.AF_UNIX).connect(f'{root}/api.sock')",
    "with the system bus": "socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')",
    "by an abstract socket": "socket.socket(socket.AF_UNIX).connect('\\0hypersdkd-hostile')",
    "with the kernel's routing": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "by raw packets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "by a virtual machine's socket": "socket.socket(socket.AF_VSOCK)",
    "by another program": "tool('curl', '-s', '-m', '5', f'http://127.0.0.1:{port}/')",
    "by a ring": "call(425, 8, bytes(120))",
}
HURTS = {
    "by ending the daemon": "os.kill(daemon, signal.SIGKILL)",
    "by stopping the daemon": "os.kill(daemon, signal.SIGSTOP)",
    "by a signal to the daemon's group": "os.killpg(os.getpgid(daemon), signal.SIGTERM)",
    "by a descriptor of the daemon": "signal.pidfd_send_signal(os.pidfd_open(daemon), signal.SIGKILL)",
    "by taking the daemon's descriptors": "call(438, os.pidfd_open(daemon), 3, 0)",
    "by tracing the daemon": "call(101, 16, daemon, 0, 0)",
    "by reading the daemon's memory": "call(310, daemon, 0, 0, 0, 0, 0)",
    "by giving up what confines it": "os.unshare(0x10000000) if hasattr(os, 'unshare') else mount('none', '/')",
    "by becoming root": "os.geteuid() and os.setuid(0) or refuse()",
}
CLASSES = {"reads": READS, "writes": WRITES, "talks": TALKS, "hurts": HURTS}

#: What no rule of ours keeps it from; where that matters, ``docs/sources.md`` says so.
CAN = {
    "write into its work": "write(f'{guest}/work/mine')",
    "write beside its outputs": "write(f'{base}/output/mine')",
    "read its source": "read(source)",
    "see who runs": "read(f'/proc/{daemon}/cmdline')",
    "signal all whom it may signal": "os.kill(-1, signal.SIGKILL)",  # the next test finds the daemon alive
    "tell in its journal what it likes": "journal()",
}

_STEP = """
import ctypes, json, os, signal, socket, subprocess, traceback
from hypersdkd.model.stage import Stage
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Step

ATTEMPTS = json.loads({attempts!r})
PLACES = json.loads({places!r})

def read(path):
    with open(path, "rb") as file:
        return file.read(1 << 20)

def write(path, text="hostile"):
    with open(path, "w") as file:
        file.write(text)

def refuse():
    raise PermissionError

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    checked(libc.syscall(number, *arguments))

def mount(source, target):
    checked(ctypes.CDLL(None, use_errno=True).mount(source.encode(), target.encode(), None, 4096, None))

def disks():
    names = [name for name in os.listdir("/sys/block") if os.path.exists("/dev/" + name)]
    return names or refuse()

def tool(*words):
    done = subprocess.run(words, capture_output=True)
    if done.returncode:
        raise PermissionError(done.stderr)

def run(path):
    os.chmod(path, 0o755)
    tool(path)

def journal():
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + fd).endswith("journal.jsonl"):
                os.write(int(fd), b'no line of ours\\n')
                return
        except OSError:
            pass
    refuse()

def attempt(context):
    if not context.guest.name.startswith("hostile"):
        return
    names = dict(globals(), **PLACES, guest=str(context.work.parent), source=str(context.disks[0].path))
    found = {{}}
    for name, code in ATTEMPTS.items():
        try:
            value = eval(code, names)
            found[name] = "ok"
        except OSError as error:
            found[name] = type(error).__name__
        except Exception as error:
            found[name] = repr(error)
    context.finding("attempts", found)

@hookimpl
def hypersdkd_steps():
    return [Step("attempt", Stage.LOAD, attempt, 999)]
"""


@dataclass(frozen=True)
class Scene:
    """A daemon, and what came of the attempts."""

    daemon: DaemonProcess
    found: Mapping[str, str]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("hostile")
    process = DaemonProcess(root)
    for name in ("tokens", "other.raw", "hostile.raw"):
        raw_disk(root / name, 4 * MIB)
    (root / "tokens").write_text(SECRET)
    os.chmod(root / "tokens", 0o600)
    with socket.socket() as listening, process as daemon:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        daemon.drop("other.json", manifest(root / "other.raw"))
        outcome(daemon, "other.json")
        other = next((daemon.base / ".hypersdkd" / "jobs" / "other.json").glob("0*"))
        places = {
            "base": str(daemon.base),
            "root": str(root),
            "other": str(other),
            "daemon": daemon.pid,
            "port": listening.getsockname()[1],
        }
        codes = {f"{kind} {name}": code for kind, rows in CLASSES.items() for name, code in rows.items()}
        codes |= {f"can {name}": code for name, code in CAN.items()}
        plugin = daemon.plugins / "attempts.py"
        plugin.write_text(_STEP.format(attempts=json.dumps(codes), places=json.dumps(places)))
        plugin.chmod(0o644)
        daemon.reload()
        (daemon.base / "to_be_processed" / "waits.txt").write_text("{}")
        daemon.drop("hostile.json", batch(hostile=pipeline(root / "hostile.raw")))
        ended = outcome(daemon, "hostile.json")
        yield Scene(daemon, ended.record["vms"][0]["guest"]["attempts"])
        assert daemon.stop() == 0


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, rows in CLASSES.items() for name in rows])
def test_it_is_refused(scene: Scene, kind: str, name: str) -> None:
    assert scene.found[f"{kind} {name}"] in {"PermissionError", "OSError"}


@pytest.mark.parametrize("name", CAN)
def test_what_it_can_do(scene: Scene, name: str) -> None:
    assert scene.found[f"can {name}"] == "ok"


def test_nothing_of_it_is_left_and_the_daemon_works_on(scene: Scene) -> None:
    daemon = scene.daemon
    assert daemon.api.healthy()
    assert not [path for path in ("/var/tmp", "/tmp", "/dev/shm", "/etc") if Path(path, "hypersdkd-hostile").exists()]
    assert (daemon.root / "tokens").read_text() == SECRET
    assert SECRET not in daemon.log.read_text()
    until(lambda: daemon.worker_pids() == [], daemon.base)

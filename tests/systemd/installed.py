"""The units as they are shipped, installed in a box; their program comes from this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.systemd.box import PATIENCE, Box, unavailable

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "systemd"
QUEUE = "/var/lib/hyper2kvm/manifest-workflow"
WORKER = "hypersdkd-worker@"

#: What differs from an installed one: the program is one that the units would not see under a home.
DAEMON_DROP_IN = f"""\
[Service]
ExecStart=
ExecStart={ROOT}/.venv/bin/hypersdkd
ExecReload=
ExecReload={ROOT}/.venv/bin/hypersdkd --reload
ProtectHome=tmpfs
BindReadOnlyPaths={ROOT}
RestartSec=100ms
"""

WORKER_DROP_IN = f"""\
[Service]
ExecStart=
ExecStart={ROOT}/.venv/bin/python -P -m hypersdkd.worker_unit
ExecStopPost=
ExecStopPost={ROOT}/.venv/bin/python -P -m hypersdkd.worker_unit ended
ProtectHome=tmpfs
BindReadOnlyPaths={ROOT}
"""


def need_a_box() -> None:
    """Skip the test where there can be none, unless it must run."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(f"this test must run here: {reason}")
    if reason:
        pytest.skip(reason)


def build_vmdk(target: Path, size_mib: int, data_mib: int) -> Path:
    """A small guest that anybody can read, with its content beside it: ``NAME.source.raw``."""
    sys.path.insert(0, str(ROOT / "script"))
    try:
        from guest_disk import build_vmdk as build
    finally:
        sys.path.pop(0)
    build(target, size_mib=size_mib, data_mib=data_mib)
    target.chmod(0o644)
    return target


def put(box: Box, text: str, target: str) -> None:
    """A file of that text in the box."""
    box.run("sh", "-c", 'mkdir -p "${0%/*}" && printf %s "$1" >"$0" && chmod 644 "$0"', target, text)


def install(box: Box) -> None:
    """All units, as docs/install.md has it, and the drop-ins of this checkout."""
    box.run("install", "-D", "-m", "644", f"{UNITS}/hypersdkd.sysusers", "/usr/lib/sysusers.d/hypersdkd.conf")
    box.run("install", "-D", "-m", "644", f"{UNITS}/hypersdkd.tmpfiles", "/usr/lib/tmpfiles.d/hypersdkd.conf")
    box.run("systemd-sysusers")
    box.run("systemd-tmpfiles", "--create", "hypersdkd.conf")
    for unit in sorted(UNITS.glob("hypersdkd*")):
        if unit.suffix in {".service", ".socket", ".slice"}:
            box.run("install", "-m", "644", str(unit), "/etc/systemd/system/")
    put(box, DAEMON_DROP_IN, "/etc/systemd/system/hypersdkd.service.d/checkout.conf")
    templated = DAEMON_DROP_IN.replace("bin/hypersdkd\n", "bin/hypersdkd --config /etc/hypersdkd/%i.yaml\n", 1)
    put(box, templated, "/etc/systemd/system/hypersdkd@.service.d/checkout.conf")
    put(box, WORKER_DROP_IN, f"/etc/systemd/system/{WORKER}.service.d/checkout.conf")
    box.run("systemctl", "daemon-reload")


def show(box: Box, name: str, unit: str = "hypersdkd") -> str:
    """A property of a unit."""
    return box.run("systemctl", "show", "--value", "--property", name, unit).strip()


def journal(box: Box) -> str:
    """What the daemon and its workers said."""
    return box.run("journalctl", "--no-pager", "-u", "hypersdkd", "-u", f"{WORKER}*", "-u", "hypersdkd*.socket")


def until(box: Box, condition: str, seconds: int = PATIENCE) -> None:
    """Wait until a shell condition holds in the box; the journal if it never does."""
    command = box.command("timeout", str(seconds), "sh", "-c", f"until {condition}; do sleep 0.05; done")
    if subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode:
        pytest.fail(f"{condition}\n{journal(box)}")


def start(box: Box) -> None:
    """Start the service; its journal if it does not."""
    try:
        box.run("systemctl", "start", "hypersdkd")
    except RuntimeError:
        pytest.fail(journal(box))


def drop(box: Box, name: str, source: str, **convert: object) -> None:
    """Drop a manifest for one guest, as another user does, whole."""
    pipeline = {
        "load": {"source_type": "vmdk", "source_path": source},
        "convert": {"output_format": "qcow2", **convert},
    }
    put(box, json.dumps({"version": "1.0", "pipeline": pipeline}), f"/srv/{name}")
    box.run("mv", f"/srv/{name}", f"{QUEUE}/to_be_processed/{name}")

"""docs/install.md and docs/first-conversion.md, typed line by line on a machine with systemd; Debian's package is
installed in test_package.py.

The machine has no network: what pip would fetch is there already, beside Debian's own packages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box, unavailable

ROOT = Path(__file__).parents[2]
QUEUE = "/var/lib/hyper2kvm/manifest-workflow"

#: The checkout's copy, as the machine sees it: pip writes into it.
CHECKOUT = "/srv/checkout"

#: What makes up for the network: pip builds with what is there, and apt asks nothing and fetches nothing newer. Another
#: Python comes first on PATH, as where root has one in a home directory: a service could not start it.
PREPARE = f"""
printf '#!/bin/sh\\necho not the Python of the distribution >&2; exit 1\\n' >/usr/local/bin/python3
chmod +x /usr/local/bin/python3
mount --bind {ROOT}/.venv/lib/python3.11/site-packages /usr/local/lib/python3.11/dist-packages
printf 'APT::Get::Assume-Yes "true";\\nAPT::Get::Upgrade "false";\\n' >/etc/apt/apt.conf.d/99box
printf '[install]\\nno-build-isolation = false\\n' >/etc/pip.conf
"""

#: Nothing waits and nothing runs.
UNTIL_IDLE = """
until curl -s localhost:8080/api/workflow/status | grep -q '"queue_depth": 0, "active_jobs": 0,'; do sleep 0.05; done
"""

#: Seconds that a guest may take in which something is fixed: without KVM libguestfs's appliance is emulated.
IDLE_SECONDS = 300

pytestmark = pytest.mark.system


def commands(page: str) -> dict[str, list[str]]:
    """The lines of each section's boxes."""
    text = (ROOT / "docs" / page).read_text()
    sections = re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    boxes = {name: re.findall(r"^```sh\n(.*?)^```", body, re.MULTILINE | re.DOTALL) for name, body in sections}
    return {name: "".join(found).splitlines() for name, found in boxes.items() if found}


INSTALL, CONVERSION = commands("install.md"), commands("first-conversion.md")

INSTALLED = ("The program", "The configuration", "The service")


class Machine:
    """Types lines, and knows the IDs of the jobs that were submitted."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.jobs: dict[str, str] = {}

    def type(self, line: str) -> str:
        """One line; what it printed. It must succeed. Jobs have ended when this returns."""
        line = re.sub(r"([\w-]+)-20260102-030405\.json", lambda found: self.jobs[found[1]], line)
        done = subprocess.run(
            self.box.command("env", "-C", CHECKOUT, "bash", "-c", line),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=IDLE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{self.log()}"
        ids = re.findall(r"^Job ID: (\S+)$", done.stdout, re.MULTILINE)
        self.jobs |= {job.rsplit("-", 2)[0]: job for job in ids}
        if line.startswith(("hyperctl", "mv")):
            self.box.run("timeout", str(IDLE_SECONDS), "sh", "-c", UNTIL_IDLE, patience=IDLE_SECONDS + 10)
        return done.stdout

    def log(self) -> str:
        """What the service said."""
        return self.box.run("journalctl", "--no-pager", "-u", "hypersdkd", check=False)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Installed as the page says, with two disks to be converted."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(f"this test must run here: {reason}")
    if reason:
        pytest.skip(reason)
    sys.path.insert(0, str(ROOT / "script"))
    try:
        from guest_disk import build_vmdk
    finally:
        sys.path.pop(0)
    shared, exports = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("exports")
    for directory in (shared, exports):
        directory.chmod(0o755)
    leave = shutil.ignore_patterns(".*", "tests", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, shared, ignore=leave, dirs_exist_ok=True)
    build_vmdk(exports / "web01.vmdk", size_mib=64, data_mib=4)
    (exports / "db01.source.raw").write_bytes(os.urandom(510) + bytes(2) + os.urandom(4 << 20))  # data, and no system
    words = ["-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", "db01.source.raw", "db01.vmdk"]
    subprocess.run(["qemu-img", "convert", *words], cwd=exports, check=True)
    with Box({shared: CHECKOUT, exports: "/srv/exports"}, [ROOT]) as box:
        box.run("sh", "-ec", PREPARE)
        machine = Machine(box)
        for section in INSTALLED:
            for line in INSTALL[section]:
                machine.type(line)
        yield machine


def test_the_installation(machine: Machine) -> None:
    assert machine.box.run("systemctl", "is-enabled", "hypersdkd") == "enabled\n"
    assert machine.box.run("readlink", "-f", "/usr/local/bin/hyperctl") == "/opt/hypersdkd/bin/hyperctl\n"
    found = "import hypersdkd; print(hypersdkd.__file__)"
    assert machine.box.run("/opt/hypersdkd/bin/python", "-c", found).startswith("/opt/hypersdkd/lib/")


def test_who_may_what(machine: Machine) -> None:
    """As the page says: any user asks and steers, only root and the service's own drop files."""
    assert "Running" in machine.box.run("hyperctl", "workflow", "status", user="daemon")
    assert machine.box.run("hyperctl", "pause", "--json", user="daemon") != ""
    assert machine.box.run("hyperctl", "resume", "--json", user="daemon") != ""
    writable = f"test -w {QUEUE}/to_be_processed && echo yes || echo no"
    for user, may in {"daemon": "no", "hypersdkd": "yes", "root": "yes"}.items():
        assert machine.box.run("sh", "-c", writable, user=user) == f"{may}\n", user


def test_the_first_conversion(machine: Machine) -> None:
    said = {line: machine.type(line) for lines in CONVERSION.values() for line in lines}
    assert len(said) >= 14
    report = json.loads(machine.box.run("sh", "-c", f"cat {QUEUE}/processed/*/{machine.jobs['web01']}.report.json"))
    assert report["status"] == "completed"
    assert "/etc/fstab" in {change["path"] for change in report["vms"][0]["changes"]}
    machine.box.run("qemu-img", "check", f"{QUEUE}/output/web01.qcow2")
    machine.box.run("qemu-img", "compare", "-f", "raw", "/srv/exports/web01.source.raw", "/srv/exports/web01.vmdk")
    machine.box.run("qemu-img", "compare", "-f", "raw", "/srv/exports/db01.source.raw", f"{QUEUE}/output/db01.qcow2")
    (shown,) = [text for line, text in said.items() if line.startswith("hyperctl job show late01")]
    assert "late01.vmdk" in shown
    (listed,) = [text for line, text in said.items() if line == "hyperctl workflow list --status failed"]
    assert machine.jobs["late01"] in listed
    assert machine.jobs["late01"] in machine.type("hyperctl workflow list --status completed")


def test_a_newer_version_and_away_with_it(machine: Machine) -> None:
    for line in INSTALL["A newer version"]:
        machine.type(line)
    assert machine.box.run("systemctl", "is-active", "hypersdkd") == "active\n"
    for line in INSTALL["Away with it"]:
        machine.type(line)
    left = "command -v hyperctl hypersdkd; ls -d /opt/hypersdkd; systemctl cat hypersdkd"
    assert machine.box.run("sh", "-c", left, check=False) == ""
    assert machine.box.run("ls", QUEUE) != ""


def test_every_section_with_commands_is_typed() -> None:
    assert set(INSTALL) == {*INSTALLED, "A newer version", "Away with it", "Debian's package"}

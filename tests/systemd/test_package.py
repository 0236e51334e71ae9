"""The Debian package on a machine that has nothing but what it depends on: from its installation to its purge."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd import __version__
from tests.images import MIB, raw_disk
from tests.systemd.box import Box
from tests.systemd.installed import QUEUE, ROOT, WORKER, journal, put, show, until
from tests.systemd.packages import NEWER, built, clean_root, install_package, newer
from tests.systemd.test_install import commands

pytestmark = pytest.mark.system

DEB = f"/srv/box/hypersdkd_{__version__}_amd64.deb"

#: Where apt, dpkg, systemd and the box itself keep what is theirs.
OTHERS = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log")

#: The user and the group stay: the queue is theirs. The copies are those of the tool that made them.
STAYS = r"/etc/(passwd|group|shadow|gshadow)-?|/var/lib/systemd/.*|/srv(/.*)?|/var/lib/hyper2kvm(/.*)?"


@pytest.fixture(scope="module")
def shared(shared: Path) -> Path:
    """With this package, one of a higher version, and disks in it."""
    (shared / Path(DEB).name).hardlink_to(built())
    (shared / "newer.deb").hardlink_to(newer(built()))
    raw_disk(shared / "web01.raw", 2 * MIB).chmod(0o644)
    return shared


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    with Box({shared: "/srv/box"}, root=clean_root()) as box:
        put(box, 'APT::Get::Assume-Yes "true";\nAPT::Install-Recommends "false";\n', "/etc/apt/apt.conf.d/99box")
        yield box


@pytest.fixture(scope="module")
def before(box: Box) -> set[str]:
    """The files before the package is there; then it is installed, as docs/install.md has it."""
    found = files(box)
    for line in commands("install.md")["Debian's package"]:
        box.run("env", "-C", "/srv/box", "sh", "-ec", line, patience=180)
    return found


@pytest.fixture
def installed(box: Box, before: set[str]) -> Box:
    return box


def files(box: Box) -> set[str]:
    """All files and directories in the box but those of the system's own state."""
    pruned = [word for place in OTHERS for word in ("-path", place, "-prune", "-o")]
    return set(box.run("find", "/", "-mindepth", "1", *pruned, "-print").splitlines())


def gate(shared: Path, opened: bool) -> None:
    (shared / "go").touch() if opened else (shared / "go").unlink(missing_ok=True)


def drop(box: Box, name: str) -> None:
    """Drop a manifest, whole, that belongs to another user."""
    load = {"source_type": "raw", "source_path": "/srv/box/web01.raw"}
    convert = {"output_format": "qcow2", "output_path": f"{name}.qcow2"}
    manifest = {"version": "1.0", "name": name, "pipeline": {"load": load, "convert": convert}}
    put(box, json.dumps(manifest), f"/srv/{name}.json")
    box.run("mv", f"/srv/{name}.json", f"{QUEUE}/to_be_processed/")


def report(box: Box, name: str) -> dict:
    """The report of a job that has ended."""
    until(box, f"ls {QUEUE}/processed/*/{name}.json.*.json {QUEUE}/failed/*/{name}.json.*.json 2>/dev/null | grep -q .")
    found: dict = json.loads(box.run("sh", "-c", f"cat {QUEUE}/*/*/{name}.json.*.json"))
    return found


def test_it_starts_when_it_is_installed(installed: Box) -> None:
    for unit in ("hypersdkd.service", "hypersdkd.socket", "hypersdkd-worker.socket"):
        assert installed.run("systemctl", "is-enabled", unit) == "enabled\n"
        assert installed.run("systemctl", "is-active", unit) == "active\n"
    installed.run("systemctl", "restart", "hypersdkd")
    assert "Running" in installed.run("hyperctl", "workflow", "status", user="daemon")
    listed = json.loads(installed.run("hyperctl", "plugins", "--json"))
    assert {plugin["state"] for plugin in listed["plugins"]} == {"loaded"}, listed
    assert __version__ in installed.run("hypersdkd", "--version")


#: What each package that came along requires is there, in a version that it takes. Only building needs setuptools.
REQUIREMENTS = """
import sys
from importlib.metadata import distributions, version
from packaging.requirements import Requirement

checked = 0
for distribution in distributions(path=[path for path in sys.path if path.startswith("/usr/lib/hypersdkd")]):
    for line in distribution.requires or ():
        required = Requirement(line)
        if required.name != "setuptools" and (required.marker is None or required.marker.evaluate({"extra": ""})):
            found = version(required.name)
            assert required.specifier.contains(found, prereleases=True), (distribution.name, line, found)
            checked += 1
print(checked)
"""


def test_all_that_it_requires_is_there(installed: Box) -> None:
    checked = installed.run("/usr/lib/hypersdkd/bin/python", "-c", REQUIREMENTS)
    assert int(checked) > 25


def test_a_dropped_manifest_is_converted_in_a_workers_unit(installed: Box) -> None:
    drop(installed, "first")
    assert report(installed, "first")["status"] == "completed"
    installed.run("qemu-img", "compare", "/srv/box/web01.raw", f"{QUEUE}/output/first.qcow2")
    said = installed.run("journalctl", "--no-pager", "-u", f"{WORKER}*")
    assert "job first.json, guest first" in said


def test_nothing_lies_there_that_dpkg_does_not_know(installed: Box) -> None:
    """No bytecode that somebody compiled later, and nothing altered but what was configured."""
    known = set(installed.run("dpkg", "-L", "hypersdkd").splitlines())
    assert set(installed.run("find", "/usr/lib/hypersdkd").splitlines()) <= known
    assert installed.run("dpkg", "--verify", "hypersdkd") == ""
    assert "/usr/share/man/man1/hyperctl.1.gz" in known
    assert "/usr/share/bash-completion/completions/hyperctl" in known


def test_an_upgrade_under_load(installed: Box, shared: Path) -> None:
    """Daemons are other ones when apt returns; no caller was refused, and what was dropped meanwhile is done."""
    put(installed, LAB, "/etc/hypersdkd/lab.yaml")
    installed.run("systemctl", "start", "hypersdkd@lab")
    put(installed, (ROOT / "tests/systemd/site_plugin.py").read_text(), "/etc/hypersdkd/plugins.d/site.py")
    installed.run("systemctl", "reload", "hypersdkd")
    gate(shared, opened=False)
    drop(installed, "wait-through")
    until(installed, f"grep -q at-the-gate {QUEUE}/.hypersdkd/jobs/*/*/journal.jsonl")
    running = installed.run("systemctl", "list-units", "--plain", "--no-legend", f"{WORKER}*").split()[0]
    daemons = {name: show(installed, "MainPID", name) for name in ("hypersdkd", "hypersdkd@lab")}
    callers = subprocess.Popen(
        installed.command("python3", "-c", CALLER), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    drop(installed, "meanwhile")
    install_package(installed, "/srv/box/newer.deb")
    put(installed, "", "/srv/box/called")
    said, _ = callers.communicate()
    assert re.fullmatch(r"\d+ of \d+ answered", said.strip())
    assert len(set(re.findall(r"\d+", said))) == 1, said
    for name, process in daemons.items():
        assert show(installed, "ActiveState", name) == "active"
        assert show(installed, "MainPID", name) != process
    # needrestart would have whatever uses replaced files restarted.
    assert installed.run("sh", "-c", f"systemctl restart {running} 2>&1", check=False) != ""
    assert show(installed, "ActiveState", running) == "active"
    assert NEWER in installed.run("hypersdkd", "--version")
    gate(shared, opened=True)
    ended = report(installed, "wait-through")
    assert (ended["status"], ended["vms"][0]["attempts"]) == ("completed", 1), (ended, journal(installed))
    # Its worker may have been starting when its files were replaced: then it is begun again.
    assert report(installed, "meanwhile")["status"] == "completed"


LAB = "workflow: {base_dir: /var/lib/hyper2kvm/lab}\napi: {socket: /run/hypersdkd/lab.sock}\n"

#: Asks until a file is there, every time by a connection of its own.
CALLER = """
import http.client, os
asked = answered = 0
while not os.path.exists("/srv/box/called"):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    asked += 1
    connection.request("GET", "/healthz", headers={"Connection": "close"})
    answered += connection.getresponse().status == 200
print(f"{answered} of {asked} answered")
"""


def test_it_is_stopped_and_removed_in_the_midst_of_work(installed: Box, shared: Path) -> None:
    """What ran is run again when the package is back."""
    gate(shared, opened=False)
    drop(installed, "wait-removed")
    until(installed, f"grep -q at-the-gate {QUEUE}/.hypersdkd/jobs/wait-removed*/*/journal.jsonl")
    installed.run("systemctl", "stop", "hypersdkd")
    assert (show(installed, "ActiveState"), show(installed, "Result")) == ("inactive", "success")
    installed.run("systemctl", "start", "hypersdkd")
    installed.run("apt-get", "remove", "--quiet", "hypersdkd", patience=180)
    assert installed.run("pgrep", "-u", "hypersdkd", check=False) == ""
    assert installed.run("systemctl", "list-units", "--plain", "--no-legend", "hypersdkd*") == ""
    install_package(installed, DEB)
    gate(shared, opened=True)
    assert report(installed, "wait-removed")["status"] == "completed"


def test_a_purge_leaves_the_queue_and_the_outputs(installed: Box, before: set[str]) -> None:
    kept = installed.run("find", "/var/lib/hyper2kvm").splitlines()
    installed.run("rm", "/etc/hypersdkd/plugins.d/site.py", "/etc/hypersdkd/lab.yaml")
    installed.run("rmdir", "/etc/hypersdkd/plugins.d")
    installed.run("apt-get", "purge", "--quiet", "hypersdkd", patience=180)
    left = {path for path in files(installed) - before if not re.fullmatch(STAYS, path)}
    assert left == set()
    assert installed.run("sh", "-c", "ls -d /run/hypersdkd /var/log/hypersdkd", check=False) == ""
    assert before - files(installed) == set()
    assert installed.run("find", "/var/lib/hyper2kvm").splitlines() == kept


def test_it_takes_no_queue_that_another_daemon_works(box: Box, before: set[str]) -> None:
    box.run("chown", "-R", "root:root", "/var/lib/hyper2kvm")
    owners = box.run("find", "/var/lib/hyper2kvm", "-printf", "%u %p\\n")
    said = install_package(box, DEB)
    assert "the service is not started" in said
    for unit in ("hypersdkd.service", "hypersdkd.socket", "hypersdkd-worker.socket"):
        assert box.run("systemctl", "is-enabled", unit, check=False) == "disabled\n"
        assert box.run("systemctl", "is-active", unit, check=False) == "inactive\n"
    assert box.run("find", "/var/lib/hyper2kvm", "-printf", "%u %p\\n") == owners
    install_package(box, "/srv/box/newer.deb")
    assert box.run("systemctl", "is-active", "hypersdkd", check=False) == "inactive\n", (
        "an upgrade starts nothing either"
    )
    box.run("systemctl", "enable", "--now", "hypersdkd")
    assert box.run("systemctl", "is-active", "hypersdkd") == "active\n"

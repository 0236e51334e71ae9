"""Each guest's worker in a unit of its own, under a real systemd: what outlives the daemon, what ends it, and how."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.engine.journal_entries import MESSAGE_IDS
from tests.guests.tiny import encrypted_guest
from tests.images import MIB, raw_disk
from tests.plugins.test_boot_test import sector
from tests.systemd.box import Box
from tests.systemd.installed import QUEUE, ROOT, WORKER, journal, put, show, start, until
from tests.systemd.packages import built, install_package, newer, start_soon

pytestmark = pytest.mark.system

#: The tiny guest has no kernel that could be given drivers. libvirt's own stand-in needs no daemon of it.
CONFIG = "plugins: {disabled: [fix_initramfs], define_domain: {uri: 'test:///default'}}\n"

#: Of the encrypted guest, handed to its worker as a credential of the unit.
KEY = "open-sesame-and-close"
KEYS = "$CREDENTIALS_DIRECTORY/hypersdkd.luks"

#: Seconds that the appliance may take where it is emulated and others work as well.
APPLIANCE_SECONDS = 300

LIMIT = f"/run/systemd/system/{WORKER}.service.d/limit.conf"


@pytest.fixture(scope="module")
def shared(shared: Path) -> Path:
    """With this package, one of a higher version, and disks in it."""
    (shared / "hypersdkd.deb").hardlink_to(built())
    (shared / "newer.deb").hardlink_to(newer(built()))
    encrypted_guest(shared / "fix01.raw", KEY, filler=0)
    raw_disk(shared / "wait01.raw", 2 * MIB)
    for path in shared.glob("*.raw"):
        path.chmod(0o644)
    return shared


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    with Box({shared: "/srv/box"}) as box:
        box.run("rm", "-f", "/usr/sbin/policy-rc.d")  # which keeps packages in containers from starting anything
        install_package(box, "/srv/box/hypersdkd.deb")
        start_soon(box)
        put(box, CONFIG, "/etc/hypersdkd/hypersdkd.yaml")
        put(box, f"{KEY}\n", "/etc/credstore/hypersdkd.luks")
        box.run("chmod", "-R", "go=", "/etc/credstore")
        put(box, (ROOT / "tests/systemd/site_plugin.py").read_text(), "/etc/hypersdkd/plugins.d/site.py")
        box.run("systemctl", "restart", "hypersdkd")
        yield box


@pytest.fixture
def shut(shared: Path) -> Iterator[Path]:
    """The gate, shut until it is touched."""
    gate = shared / "go"
    gate.unlink(missing_ok=True)
    yield gate
    gate.touch()


def submit(box: Box, name: str, source: str = "wait01.raw", **stages: object) -> str:
    """Submit a guest; its job."""
    pipeline = {
        "load": {"source_type": "raw", "source_path": f"/srv/box/{source}"},
        "convert": {"output_format": "qcow2", "output_path": f"{name}.qcow2"},
        **stages,
    }
    body = json.dumps({"version": "1.0", "name": name, "pipeline": pipeline})
    url = "http://localhost:8080/api/workflow/manifest/submit"
    job: str = json.loads(box.run("curl", "-sS", "--json", body, url))["job_id"]
    return job


def guest(job: str) -> str:
    return f"{QUEUE}/.hypersdkd/jobs/{job}/00001"


def until_at_the_gate(box: Box, *jobs: str) -> None:
    for job in jobs:
        until(box, f"grep -q at-the-gate {guest(job)}/journal.jsonl", APPLIANCE_SECONDS)


def record(box: Box, job: str) -> dict:
    """The job's record, once it has ended."""
    until(
        box,
        f"ls {QUEUE}/processed/*/{job}.*.json {QUEUE}/failed/*/{job}.*.json 2>/dev/null | grep -q .",
        APPLIANCE_SECONDS,
    )
    found: dict = json.loads(box.run("sh", "-c", f"cat {QUEUE}/*/*/{job}.*.json"))
    return found


def units(box: Box) -> list[str]:
    """Workers' units that are there."""
    listed = box.run("systemctl", "list-units", "--plain", "--no-legend", "--all", f"{WORKER}*.service")
    return sorted(line.split()[0] for line in listed.splitlines())


def progress(box: Box) -> dict[str, int]:
    jobs = json.loads(box.run("curl", "-sS", "http://localhost:8080/api/workflow/jobs/active"))["jobs"]
    return {job["id"]: job["progress"] for job in jobs}


def test_conversions_outlive_a_restart_a_kill_and_an_upgrade_of_the_daemon(box: Box, shut: Path) -> None:
    fixed = {"inspect": {"enabled": True, "luks_key_file": KEYS}, "fix": {"enabled": True}}
    jobs = submit(box, "fix01", "fix01.raw", **fixed), submit(box, "wait01")
    until_at_the_gate(box, *jobs)
    running, seen = units(box), [progress(box)]
    assert len(running) == 2
    limits = [show(box, name, running[0]) for name in ("Slice", "MemoryMax", "CPUWeight", "IOWeight", "TasksMax")]
    assert limits == ["hypersdkd.slice", str(8 << 30), "50", "50", "512"]
    assert show(box, "ControlGroup", running[0]) != show(box, "ControlGroup", running[1])
    box.run("systemctl", "restart", "hypersdkd")
    seen.append(progress(box))
    assert units(box) == running
    box.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "hypersdkd")
    until(box, "test $(systemctl show --value -p NRestarts hypersdkd) = 1")
    until(box, "systemctl is-active -q hypersdkd")
    seen.append(progress(box))
    assert units(box) == running
    install_package(box, "/srv/box/newer.deb")  # none of whose modules the workers can import
    seen.append(progress(box))
    assert units(box) == running
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert set(seen[0]) == set(jobs)
    shut.touch()
    before = seen[-1]
    while now := progress(box):
        assert all(now[job] >= before[job] for job in now), (before, now)
        before = now
    for job in jobs:
        report = record(box, job)
        assert (report["status"], report["vms"][0]["attempts"]) == ("completed", 1), report
        assert [stage["status"] for stage in report["stages"].values()].count("completed") >= 3
        events = box.run("cat", f"{guest(job)}/journal.jsonl")
        assert (events.count('"started"'), events.count('"recovered"')) == (1, 0)
        adopted = [line for line in journal(box).splitlines() if "adopted" in line and job in line]
        assert len(adopted) == 3
    (change,) = [change for change in record(box, jobs[0])["vms"][0]["changes"] if change["fixer"] == "site"]
    assert change["path"] == "/etc/site"
    status = json.loads(box.run("curl", "-sS", "http://localhost:8080/api/workflow/status"))
    (define,) = [record for record in status["plugins"] if record["name"] == "define_domain"]
    assert (define["state"], define["errors"]) == ("loaded", 0), "virsh runs in the daemon's sandbox"
    until(box, f"! systemctl list-units --plain --no-legend --all '{WORKER}*.service' | grep -q .")
    box.run("systemctl", "reset-failed", "hypersdkd")


def test_a_worker_that_ends_while_there_is_no_daemon_is_not_run_again(box: Box, shut: Path) -> None:
    job = submit(box, "wait-alone")
    until_at_the_gate(box, job)
    box.run("systemctl", "stop", "hypersdkd")
    assert len(units(box)) == 1, "a stop leaves conversions to finish"
    shut.touch()
    until(box, f"! systemctl list-units --plain --no-legend --all '{WORKER}*.service' | grep -q .")
    start(box)
    report = record(box, job)
    assert (report["status"], report["vms"][0]["attempts"]) == ("completed", 1)


def test_a_cancel_ends_all_of_the_unit(box: Box, shut: Path) -> None:
    job = submit(box, "hang-stubborn")
    until_at_the_gate(box, job)
    assert box.run("pgrep", "-f", "^sleep 98765") != ""
    box.run("curl", "-sSf", "-X", "POST", f"http://localhost:8080/api/workflow/jobs/{job}/cancel")
    assert record(box, job)["status"] == "cancelled"
    assert units(box) == []
    assert box.run("pgrep", "-f", "^sleep 98765", check=False) == ""


def test_a_cancel_ends_a_worker_of_a_former_daemon(box: Box, shut: Path) -> None:
    job = submit(box, "hang02")
    until_at_the_gate(box, job)
    box.run("systemctl", "restart", "hypersdkd")
    box.run("curl", "-sSf", "-X", "POST", f"http://localhost:8080/api/workflow/jobs/{job}/cancel")
    assert record(box, job)["status"] == "cancelled"
    assert units(box) == []
    assert box.run("pgrep", "-f", "^sleep 98765", check=False) == ""


@pytest.mark.parametrize("restart", [False, True])
def test_a_time_limit_ends_the_unit_and_fails_the_guest(box: Box, shut: Path, restart: bool) -> None:
    put(box, "[Service]\nRuntimeMaxSec=3\n", LIMIT)
    box.run("systemctl", "daemon-reload")
    try:
        job = submit(box, f"hang-for-long-{restart}")
        until_at_the_gate(box, job)
        if restart:  # the next daemon learns of it as well
            box.run("systemctl", "restart", "hypersdkd")
        failed = record(box, job)
    finally:
        box.run("rm", LIMIT)
        box.run("systemctl", "daemon-reload")
    assert (failed["status"], failed["code"]) == ("failed", "worker-timeout"), failed
    assert "RuntimeMaxSec" in failed["remedy"]
    assert units(box) == []
    assert box.run("pgrep", "-f", "^sleep 98765", check=False) == ""


@pytest.mark.parametrize("restart", [False, True])
def test_want_of_memory_ends_the_unit_and_fails_the_guest(box: Box, shut: Path, restart: bool) -> None:
    """In the way of systemd-oomd, which marks the unit's cgroup and kills all in it; systemd asks for the mark as it
    asks the kernel. MemoryMax itself limits nothing in a box: it has no memory controller."""
    job = submit(box, f"hang-hungry-{restart}")
    until_at_the_gate(box, job)
    (unit,) = units(box)
    group = f"/sys/fs/cgroup{show(box, 'ControlGroup', unit)}"
    if restart:  # the next daemon learns of it as well
        box.run("systemctl", "stop", "hypersdkd")
    box.run("python3", "-c", f"import os; os.setxattr({group!r}, 'user.oomd_ooms', b'1')")
    box.run("systemctl", "kill", "--signal=KILL", unit)
    if restart:
        until(box, f"! systemctl list-units --plain --no-legend --all '{WORKER}*.service' | grep -q .")
        start(box)
    failed = record(box, job)
    assert (failed["status"], failed["code"]) == ("failed", "worker-out-of-memory"), failed
    assert "MemoryMax" in failed["remedy"]
    assert failed["vms"][0]["attempts"] == 1, "it would only end in the same way"
    assert units(box) == []
    assert box.run("pgrep", "-f", "^sleep 98765", check=False) == ""
    assert f"job {job}, guest hang-hungry-{restart}: ended, oom-kill killed KILL" in journal(box)


def test_a_hung_worker_is_found_and_ended(box: Box, shut: Path) -> None:
    put(box, CONFIG.replace("{", "{executor_systemd: {hung_seconds: 2}, ", 1), "/etc/hypersdkd/hypersdkd.yaml")
    box.run("systemctl", "reload", "hypersdkd")
    try:
        job = submit(box, "wait-frozen")
        until_at_the_gate(box, job)
        box.run("systemctl", "kill", "--signal=STOP", *units(box))
        failed = record(box, job)
    finally:
        put(box, CONFIG, "/etc/hypersdkd/hypersdkd.yaml")
        box.run("systemctl", "reload", "hypersdkd")
    assert (failed["status"], failed["code"]) == ("failed", "worker-hung"), failed
    assert units(box) == []
    status = f"0 running, 0 queued; the last job failed: {job}: the worker did nothing for 2 s"
    until(box, f"systemctl show --value -p StatusText hypersdkd | grep -qF '{status}'")
    assert f"job {job}, guest wait-frozen: ended, signal killed KILL" in journal(box)


def test_a_worker_that_somebody_stops_is_run_again(box: Box, shut: Path) -> None:
    job = submit(box, "wait-stopped")
    until_at_the_gate(box, job)
    box.run("systemctl", "stop", *units(box))
    until(box, f"test $(grep -c at-the-gate {guest(job)}/journal.jsonl) = 2")
    shut.touch()
    report = record(box, job)
    assert report["status"] == "completed"
    assert '"interruption"' in box.run("cat", f"{guest(job)}/journal.jsonl")


def test_guests_wait_where_systemd_starts_no_workers(box: Box, shut: Path) -> None:
    shut.touch()
    box.run("systemctl", "stop", "hypersdkd-worker.socket")
    job = submit(box, "patient")
    until(box, "journalctl -u hypersdkd | grep -q 'systemd starts no worker'")
    box.run("systemctl", "start", "hypersdkd-worker.socket")
    assert record(box, job)["status"] == "completed"


def entries(box: Box, *match: str) -> list[dict[str, str]]:
    """Entries of the journal."""
    said = box.run("journalctl", "--no-pager", "-o", "json", "-u", "hypersdkd", *match)
    return [json.loads(line) for line in said.splitlines()]


def test_a_jobs_entries_are_found_in_the_journal(box: Box, shut: Path) -> None:
    shut.touch()
    good, bad = submit(box, "said"), submit(box, "unsaid", "missing.raw")
    for job in (good, bad):
        record(box, job)
    (completed,) = [row for row in entries(box, f"HYPERSDKD_JOB={good}") if "guest completed" in row["MESSAGE"]]
    assert (completed["PRIORITY"], completed["HYPERSDKD_GUEST"]) == ("6", "said")
    assert completed["SYSLOG_IDENTIFIER"] == "hypersdkd"
    found = entries(box, f"HYPERSDKD_JOB={bad}", "HYPERSDKD_CODE=source-missing", "-p", "warning")
    assert {(row["HYPERSDKD_STAGE"], row["PRIORITY"]) for row in found} == {("load", "4")}
    assert {row["MESSAGE_ID"] for row in found} == {MESSAGE_IDS[kind] for kind in ("guest failed", "job ended")}
    jobs = {row["HYPERSDKD_JOB"] for row in entries(box, f"MESSAGE_ID={MESSAGE_IDS['job ended']}")}
    assert {good, bad} <= jobs


def test_a_boot_test_in_the_sandbox(box: Box, shared: Path, shut: Path) -> None:
    shut.touch()
    disk = bytearray(2 * MIB)
    disk[:512] = sector("Debian GNU/Linux 12 vm1 ttyS0\r\n\r\nvm1 login: ")
    (shared / "boots.raw").write_bytes(disk)
    (shared / "boots.raw").chmod(0o644)
    boots = {"inspect": {"enabled": False}, "validate": {"enabled": True, "boot_test": True}}
    report = record(box, submit(box, "boots", "boots.raw", **boots))
    assert report["status"] == "completed", report
    assert report["vms"][0]["guest"]["boot"]["verdict"] == "login"


def test_children_are_drained_for_longer_than_a_stop_may_take(box: Box, shut: Path) -> None:
    """``executor: local`` with its drop-in: the daemon asks for more time as long as a guest runs."""
    drop_in = (ROOT / "systemd/examples/local.conf").read_text() + "TimeoutStopSec=2\n"
    put(box, drop_in, "/etc/systemd/system/hypersdkd.service.d/local.conf")
    put(box, f"executor: local\n{CONFIG}", "/etc/hypersdkd/hypersdkd.yaml")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "restart", "hypersdkd")
    try:
        job = submit(box, "wait-drained")
        until_at_the_gate(box, job)
        assert units(box) == []
        with subprocess.Popen(box.command("systemctl", "stop", "hypersdkd"), stdin=subprocess.DEVNULL) as stopping:
            box.run("sleep", "3")  # over TimeoutStopSec
            running, status = stopping.poll() is None, show(box, "StatusText")
            shut.touch()
        assert (running, status) == (True, "1 running, 0 queued, draining")
        assert show(box, "Result") == "success"
        start(box)
        report = record(box, job)
        assert (report["status"], report["vms"][0]["attempts"]) == ("completed", 1)
    finally:
        box.run("rm", "/etc/systemd/system/hypersdkd.service.d/local.conf")
        put(box, CONFIG, "/etc/hypersdkd/hypersdkd.yaml")
        box.run("systemctl", "daemon-reload")
        box.run("systemctl", "restart", "hypersdkd")


def test_a_hostile_worker_reaches_nothing(box: Box) -> None:
    put(box, "a secret", "/etc/hypersdkd/tokens")
    report = record(box, submit(box, "hostile"))
    tried = {key: value for key, value in report["vms"][0]["guest"].items() if key.startswith("tried ")}
    assert len(tried) == 17
    assert "done" not in tried.values(), tried


def test_no_key_is_in_the_journal_or_in_what_is_left_of_jobs(box: Box) -> None:
    """Nor in the environment: it is a file's name that is handed on."""
    assert KEY not in box.run("journalctl", "--no-pager", "-a", "-o", "json")
    left = box.run("grep", "-rlF", KEY, QUEUE, "/var/log", "/etc/hypersdkd", check=False)
    assert left == ""


def test_nobody_else_can_have_a_worker_started(box: Box) -> None:
    code = "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect('/run/hypersdkd/worker.sock')"
    with pytest.raises(RuntimeError, match="PermissionError"):
        box.run("python3", "-c", code, user="daemon")
    assert box.run("stat", "-c", "%a %U", "/run/hypersdkd/worker.sock", "/run/hypersdkd/api.sock").split() == [
        *("600", "hypersdkd"),
        *("660", "hypersdkd"),
    ]


def test_no_caller_is_refused_while_the_daemon_restarts(box: Box, shared: Path) -> None:
    """By TCP and by the unix socket, a connection a request, from before the first restart to after the second."""
    code = """
import http.client, os, socket, sys

class ByUnix(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect("/run/hypersdkd/api.sock")

kind = ByUnix if sys.argv[1] == "unix" else http.client.HTTPConnection
while not os.path.exists("/srv/box/enough"):
    connection = kind("127.0.0.1", 8080, timeout=60)
    connection.request("GET", "/healthz", headers={"Connection": "close"})
    assert connection.getresponse().status == 200
    connection.close()
    print(flush=True)
"""
    callers = [
        subprocess.Popen(
            box.command("python3", "-c", code, how),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for how in ("tcp", "unix") * 2
    ]
    for caller in callers:
        assert caller.stdout is not None and caller.stdout.readline() == "\n", "each has begun"
    for _ in range(2):
        box.run("systemctl", "restart", "hypersdkd")
    (shared / "enough").touch()
    said = [caller.communicate()[0] for caller in callers]
    assert [caller.returncode for caller in callers] == [0] * 4, said
    assert {word for text in said for word in text.split()} == set(), said
    assert sum(text.count("\n") for text in said) > 20

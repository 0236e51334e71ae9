"""The unit as it is shipped, under a real systemd: started, given work, stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import make_certificate
from tests.systemd.box import Box
from tests.systemd.installed import (
    QUEUE,
    ROOT,
    build_vmdk,
    install,
    put,
    show,
    start,
    until,
)

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def shared(shared: Path) -> Path:
    """With a small guest in it."""
    build_vmdk(shared / "web01.vmdk", size_mib=64, data_mib=4)
    return shared


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    with Box({shared: "/srv/box"}, [ROOT]) as box:
        install(box)
        yield box


@pytest.fixture
def service(box: Box) -> Iterator[Box]:
    """The service, started; ``systemctl start`` has seen its READY=1 when it returns."""
    start(box)
    yield box
    box.run("systemctl", "stop", "hypersdkd", check=False)


def test_it_starts_says_how_it_is_and_runs_as_little(service: Box) -> None:
    assert show(service, "ActiveState") == "active"
    assert show(service, "StatusText") != ""
    process = service.run("cat", f"/proc/{show(service, 'MainPID')}/status")
    facts = dict(line.split(":\t", 1) for line in process.splitlines() if ":\t" in line)
    assert facts["CapEff"] == f"{1 << 28:016x}", "CAP_LEASE and nothing else"
    assert facts["NoNewPrivs"] == "1"
    assert facts["Uid"].split()[0] == service.run("id", "-u", "hypersdkd").strip()


def test_a_dropped_manifest_of_another_user_becomes_a_checked_qcow2(service: Box, shared: Path) -> None:
    pipeline = {
        "load": {"source_type": "vmdk", "source_path": "/srv/box/web01.vmdk"},
        "convert": {"output_format": "qcow2"},
    }
    (shared / "web01.json").write_text(json.dumps({"version": "1.0", "pipeline": pipeline}))
    service.run("mv", "/srv/box/web01.json", f"{QUEUE}/to_be_processed/")
    until(
        service,
        f"ls {QUEUE}/processed/*/web01.json.report.json {QUEUE}/failed/*/web01.json.error.json 2>&1 | grep -q ^/",
    )
    report = json.loads(service.run("sh", "-c", f"cat {QUEUE}/*/*/web01.json.*.json"))
    assert report["status"] == "completed", report
    (output,) = report["artifacts"]["outputs"]
    described = json.loads(service.run("qemu-img", "info", "--output=json", output))
    assert (described["format"], described["virtual-size"]) == ("qcow2", 64 << 20)
    service.run("qemu-img", "compare", "/srv/box/web01.source.raw", output)


def status_of(service: Box) -> dict[str, object]:
    status: dict[str, object] = json.loads(service.run("curl", "-sS", "http://localhost:8080/api/workflow/status"))
    return status


def test_a_reload_is_in_force_and_a_bad_file_changes_nothing(service: Box) -> None:
    drop_in = (
        "from hypersdkd.spec.hooks import hookimpl\n@hookimpl\ndef hypersdkd_status(view):\n    return {'site': 1}\n"
    )
    put(service, drop_in, "/etc/hypersdkd/plugins.d/site.py")
    config = "/etc/hypersdkd/hypersdkd.yaml"
    process = show(service, "MainPID")

    def reload(text: str) -> dict[str, object]:
        put(service, text, config)
        service.run("systemctl", "reload", "hypersdkd")
        return status_of(service)

    status = reload("workflow: {max_workers: 7}\nmode: disk\n")
    assert (status["max_workers"], status["site"]) == (7, 1), "in force when the command returns"
    assert "restart to apply mode" in show(service, "StatusText")
    with pytest.raises(RuntimeError, match="exit 1"):
        reload("workflow: {max_workers: 8, pol_interval: 1}\n")
    status = status_of(service)
    assert (status["max_workers"], status["running"], status["site"]) == (7, True, 1)
    assert "not reloaded: workflow.pol_interval: unknown key" in show(service, "StatusText")
    assert "did you mean poll_interval" in service.run("journalctl", "--no-pager", "-u", "hypersdkd")
    assert (show(service, "MainPID"), show(service, "ActiveState")) == (process, "active")
    service.run("rm", config, "/etc/hypersdkd/plugins.d/site.py")


def test_the_configuration_is_checked_as_the_service_would_have_it(service: Box) -> None:
    config, check = "/etc/hypersdkd/hypersdkd.yaml", [f"{ROOT}/.venv/bin/hypersdkd", "--check-config"]

    def told(text: str) -> str:
        put(service, text, config)
        return service.run("sh", "-c", '"$@" 2>&1; echo "exit $?"', "-", *check)

    try:
        said = told("executor: systemd\n")
        assert "checked with the rights of hypersdkd" in said
        assert "fine; manifest mode" in said
        assert "guests would have to wait" not in said
        said = told("executor: systemd\nworkflow: {base_dir: /srv/nowhere}\n")
        assert "/srv/nowhere/to_be_processed cannot be made: /srv cannot be written by user" in said
        assert said.endswith("exit 78\n")
        with pytest.raises(RuntimeError, match="exit 1"):
            service.run("systemctl", "reload", "hypersdkd")
        service.run("systemctl", "stop", "hypersdkd-worker.socket")
        said = told("executor: systemd\n")
        missing = (
            "executor: guests would have to wait: systemd starts no worker: /run/hypersdkd/worker.sock: No such file"
        )
        assert missing in said
        assert said.endswith("exit 0\n")
        service.run("systemctl", "reload", "hypersdkd")
        assert "systemd starts no worker: /run/hypersdkd/worker.sock" in service.run("journalctl", "-u", "hypersdkd")
    finally:
        service.run("rm", "-f", config)
        service.run("systemctl", "start", "hypersdkd-worker.socket")


def test_it_stops_clean_and_leaves_nothing(service: Box) -> None:
    service.run("systemctl", "stop", "hypersdkd")
    assert (show(service, "ActiveState"), show(service, "Result")) == ("inactive", "success")
    assert service.run("pgrep", "-u", "hypersdkd", check=False) == ""


def test_other_machines_are_let_in_as_the_page_says(box: Box, shared: Path) -> None:
    section = (ROOT / "docs/access.md").read_text().split("## Under systemd")[1].split("\n## ")[0]
    (unit,), (config,), (lines,) = (
        re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("ini", "yaml", "sh")
    )
    place = re.findall(r"^# (/etc/systemd/\S+)$", unit, re.MULTILINE)[0]
    make_certificate(shared, ["192.0.2.1"])
    bin_ = f"{ROOT}/.venv/bin"
    box.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
    box.run("ip", "address", "add", "198.51.100.1/32", "dev", "lo")
    box.run("sh", "-c", f"umask 077; {bin_}/hypersdkd --make-token operate ci /root/ci.token >/root/tokens")
    for name, target in (("crt", "cert.pem"), ("key", "key.pem")):
        box.run("install", "-m", "600", f"/srv/box/server.{name}", f"/root/{target}")
    box.run("sh", "-ec", f"cd /root\n{lines}")
    put(box, config, "/etc/hypersdkd/hypersdkd.yaml")
    put(box, unit, place)
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "stop", "hypersdkd")
    try:
        start(box)
        options = ("--ca", "/root/cert.pem", "--url", "https://192.0.2.1:8443")
        said = box.run(f"{bin_}/hyperctl", *options, "--token-file", "/root/ci.token", "workflow", "status")
        assert "Running" in said
        assert "token-required" in box.run(f"{bin_}/hyperctl", *options, "--json", "workflow", "status", check=False)
        assert "Running" in box.run(f"{bin_}/hyperctl", "workflow", "status"), "by the local socket"
        # A network that the drop-in does not name: the kernel drops what comes from there.
        address = ("--max-time", "1", "https://198.51.100.1:8443/healthz")
        assert box.run("curl", "-sk", "--interface", "198.51.100.1", *address, check=False) == ""
        assert "ok" in box.run("curl", "-sk", "https://192.0.2.1:8443/healthz")
        # What the unit handed over it reads itself, and no word of it is in the journal.
        token = box.run("cat", "/root/ci.token").strip()
        digest = box.run("cat", "/etc/credstore/hypersdkd.tokens").split("sha256:")[1].strip()
        refused = box.run(
            "curl", "-sk", "-H", f"Authorization: Bearer {token}x", "https://192.0.2.1:8443/api/capabilities"
        )
        assert "token-unknown" in refused
        log = box.run("journalctl", "--no-pager", "-a", "-o", "json")
        assert "token refused" in log
        assert [word for word in (token, digest, "PRIVATE KEY") if word in log] == []
    finally:
        box.run("systemctl", "stop", "hypersdkd", check=False)
        box.run("rm", "-rf", place, "/etc/hypersdkd/hypersdkd.yaml", "/etc/credstore")
        box.run("systemctl", "daemon-reload")


def test_an_observer_leaves_the_queue_to_its_owner(box: Box, shared: Path) -> None:
    """As it is told in docs/beside-hyper2kvm.md: the drop-in, and the permission to submit."""
    base = QUEUE.rpartition("/")[0]
    (shared / "observer.yaml").write_text(f"mode: manifest\nworkflow: {{base_dir: {QUEUE}}}\nexecutor: observe\n")
    (shared / "new.json").write_text(
        '{"version": "1.0", "pipeline": {"load": {"source_type": "vmdk", "source_path": '
        '"/srv/box/web01.vmdk"}, "convert": {"output_format": "qcow2"}}}'
    )
    drop_in, config = "/etc/systemd/system/hypersdkd.service.d/observe.conf", "/etc/hypersdkd/hypersdkd.yaml"
    box.run("systemctl", "stop", "hypersdkd", check=False)
    box.run("rm", "-rf", base)
    for place in ("to_be_processed", "processing", "processed", "failed"):
        box.run("mkdir", "-p", f"{QUEUE}/{place}")
    box.run("install", "-m", "644", "/srv/box/new.json", f"{QUEUE}/processing/theirs.json")
    box.run("install", "-D", "-m", "644", f"{ROOT}/systemd/observe.conf", drop_in)
    box.run("install", "-D", "-m", "644", "/srv/box/observer.yaml", config)
    try:
        box.run("systemctl", "daemon-reload")
        box.run("systemctl", "start", "hypersdkd")
        until(box, "systemctl show --value -p StatusText hypersdkd | grep -q 'observing: 1 running'")
        owners = box.run("find", base, "-printf", "%u %f\\n").splitlines()
        assert "root theirs.json" in owners
        assert {line.split()[0] for line in owners} == {"root"}, "systemd has given nothing to our user"
        submit = ("curl", "-sS", "--json", "@/srv/box/new.json", "http://localhost:8080/api/workflow/manifest/submit")
        assert json.loads(box.run(*submit))["code"] == "queue-unusable"
        box.run("chgrp", "hypersdkd", QUEUE, f"{QUEUE}/to_be_processed")
        box.run("chmod", "g+w", QUEUE, f"{QUEUE}/to_be_processed")
        job = json.loads(box.run(*submit))["job_id"]
        until(box, "systemctl show --value -p StatusText hypersdkd | grep -q '1 running, 1 queued'")
        assert box.run("ls", f"{QUEUE}/to_be_processed").split() == [job]
    finally:
        box.run("systemctl", "stop", "hypersdkd", check=False)
        box.run("rm", "-rf", drop_in, config, base)
        box.run("systemctl", "daemon-reload")

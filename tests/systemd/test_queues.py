"""Queues in other places than the units' own: a user's, and a further one beside it, as docs/systemd.md has them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import MIB, raw_disk
from tests.systemd.box import Box
from tests.systemd.installed import ROOT, UNITS, WORKER, install, journal, put, until

pytestmark = pytest.mark.system

UNIT_DIRECTORY = "/etc/systemd/system"


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    raw_disk(shared / "web01.raw", 2 * MIB).chmod(0o644)
    with Box({shared: "/srv/box"}, [ROOT]) as box:
        install(box)
        yield box


def manifest(name: str) -> str:
    load = {"source_type": "raw", "source_path": "/srv/box/web01.raw"}
    convert = {"output_format": "qcow2", "output_path": f"{name}.qcow2"}
    return json.dumps({"version": "1.0", "pipeline": {"load": load, "convert": convert}})


def commands(section: str) -> list[str]:
    text = (ROOT / "docs/systemd.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).splitlines()


def test_a_queue_that_a_user_made_stays_theirs(box: Box) -> None:
    box.run("useradd", "--user-group", "--no-create-home", "alice")
    box.run("install", "-d", "-o", "alice", "-g", "alice", "/srv/queue")
    for name in ("to_be_processed", "processing", "processed", "failed"):
        box.run("mkdir", f"/srv/queue/{name}", user="alice")
    for line in commands("A queue of your own"):
        box.run("sh", "-c", line)
    for unit in ("hypersdkd", WORKER):
        put(box, (UNITS / "examples/queue.conf").read_text(), f"{UNIT_DIRECTORY}/{unit}.service.d/queue.conf")
    put(box, "workflow: {base_dir: /srv/queue}", "/etc/hypersdkd/hypersdkd.yaml")
    box.run("systemctl", "daemon-reload")
    box.run("systemctl", "start", "hypersdkd")
    put(box, manifest("alices"), "/srv/box/web01.json")
    box.run(
        "sh",
        "-c",
        "cp /srv/box/web01.json /srv/queue/.web01 && mv /srv/queue/.web01 /srv/queue/to_be_processed/web01.json",
        user="alice",
    )
    until(box, "ls /srv/queue/processed/*/web01.json.report.json 2>/dev/null | grep -q .")
    box.run("qemu-img", "check", "-q", "/srv/queue/output/alices.qcow2", user="alice")
    box.run("sh", "-c", "rm /srv/queue/output/alices.qcow2 /srv/queue/processed/*/web01.json*", user="alice")
    box.run("systemctl", "stop", "hypersdkd")


def test_a_further_queue_beside_it(box: Box) -> None:
    put(
        box,
        "workflow: {base_dir: /var/lib/hyper2kvm/lab}\napi: {socket: /run/hypersdkd/lab.sock}\n",
        "/etc/hypersdkd/lab.yaml",
    )
    box.run("systemctl", "start", "hypersdkd", "hypersdkd@lab")
    hyperctl = f"{ROOT}/.venv/bin/hyperctl"
    put(box, manifest("labs"), "/srv/box/lab.json")
    said = box.run(hyperctl, "--socket", "/run/hypersdkd/lab.sock", "manifest", "submit", "-file", "/srv/box/lab.json")
    (job,) = re.findall(r"Job ID: (\S+)", said)
    until(box, f"ls /var/lib/hyper2kvm/lab/processed/*/{job}.report.json 2>/dev/null | grep -q .")
    assert "not listened on" not in journal(box)
    status = json.loads(
        box.run("curl", "-sS", "--unix-socket", "/run/hypersdkd/lab.sock", "http://x/api/workflow/status")
    )
    assert (status["base_dir"], status["processed_today"]) == ("/var/lib/hyper2kvm/lab", 1)
    status = json.loads(box.run("curl", "-sS", "http://localhost:8080/api/workflow/status"))
    assert status["base_dir"] == "/srv/queue"
    box.run("systemctl", "stop", "hypersdkd@lab", "hypersdkd")
    assert box.run("sh", "-c", "ls /run/hypersdkd").split() == ["worker.sock"]

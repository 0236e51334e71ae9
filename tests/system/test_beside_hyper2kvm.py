"""Beside the real hyper2kvm: its queue is shown as it changes and not touched; and a queue that both work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images import qemu_img
from tests.privileges import NOBODY
from tests.problems import raises_problem
from tests.system.daemon_process import DaemonProcess, until
from tests.system.hyper2kvm import Hyper2kvm, require
from tests.system.jobs import manifest, row
from tests.system.sightings import Sightings, Stay, View, sightings

pytestmark = pytest.mark.system

require()

JOBS = 20

#: Seconds within which each state must be seen.
PROMISED = 1.0

#: Seconds that a job with a good source takes at least, so that its states can be seen by people and by hyperctl.
PACE = 1.4


@pytest.fixture
def root() -> Iterator[Path]:
    """A directory that every user may look into, as pytest's own are not."""
    root = Path(tempfile.mkdtemp(prefix="hypersdkd-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


def disk(path: Path) -> Path:
    """A small disk that both can read."""
    qemu_img("create", "-q", "-f", "vmdk", path, "1M")
    return path


def jobs(root: Path, mode: str) -> dict[str, bytes]:
    """What is dropped: most take their time and end well, some fail at once."""
    source = disk(root / "source.vmdk")
    if mode == "manifest":
        good = {f"good-{number:02}.json": manifest(source, "vmdk") for number in range(10)}
        bad = {f"lost-{number}.json": manifest(root / "lost.vmdk", "vmdk") for number in range(8)}
        return {**good, **bad, "not-a.yaml": b"- list", "half.json": b'{"version'}
    good = {f"disk-{number:02}.vmdk": source.read_bytes() for number in range(7)}
    configs = {f"job-{number}.yaml": f"input: {source}\n".encode() for number in range(9)}
    bad = {"none.json": b"{}", "list.json": b"[]", "broken.ova": b"no tar", "lost.yaml": b"input: /lost.vmdk\n"}
    return {**good, **configs, **bad}


def fingerprints(base: Path) -> dict[str, tuple[object, ...]]:
    """Of every file of the queue what a touch would change."""
    found = {}
    for path in sorted(base.rglob("*")):
        if path.is_file():
            stat = path.stat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(base))] = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_uid, digest)
    return found


def drop(base: Path, name: str, content: bytes) -> None:
    draft = base.parent / f"draft-{name}"
    draft.write_bytes(content)
    draft.rename(base / "to_be_processed" / name)


@pytest.mark.parametrize("mode", ["manifest", "disk"])
def test_every_state_of_twenty_jobs_is_seen_within_a_second_and_no_file_is_touched(root: Path, mode: str) -> None:
    owner = Hyper2kvm(root, mode, pace=PACE)
    owner.base.mkdir()
    dropped = jobs(root, mode)
    assert len(dropped) == JOBS
    with owner, onlooker(root, mode, owner.base) as observer:
        with sightings(observer, owner.base, lambda: drop(owner.base, "last.json", b"[")) as seen:
            watch(seen, owner.base, dropped)
            assert seen.page.locator("#state").text_content() == "Observing"
            assert seen.page.locator("#workers").text_content() == "another daemon's"
            for name in ("Pause", "Resume", "Cancel", "Retry"):
                assert seen.page.get_by_role("button", name=name, exact=True).count() == 0, "not ours to offer"
        with raises_problem("queue-observed" if mode == "manifest" else "job-unknown"):
            observer.api.cancel_job("good-00.json")
        with raises_problem("queue-unusable", "cannot be made"):
            observer.api.submit_manifest(dropped["good-00.json" if mode == "manifest" else "job-0.yaml"])
        until(lambda: any(owner.base.glob("failed/*/last.json.error.json")), owner.base)
        before = fingerprints(owner.base)
        until(lambda: observer.api.status()["active_jobs"] == 0, owner.base)
        status = observer.api.status()
        assert observer.stop() == 0
    stays = [stay for stay in seen.directories.stays if stay.job != "last.json"]
    assert {stay.state for stay in stays} == {"pending", "processing", "completed", "failed"}
    assert {stay.job for stay in stays} == dropped.keys()
    for view in seen.views:
        check(view, stays)
    assert fingerprints(owner.base) == before
    for name, content in dropped.items():
        (file,) = owner.base.glob(f"*/????-??-??/{name}")
        assert file.read_bytes() == content
    failed = len(list(owner.base.glob("failed/*/*.error.json")))
    assert 3 < failed < JOBS
    shown = {key: status[key] for key in ("executor", "running", "queue_depth", "processed_today", "failed_today")}
    ended = {"processed_today": JOBS + 1 - failed, "failed_today": failed}
    assert shown == {"executor": "observe", "running": True, "queue_depth": 0, **ended}


def onlooker(root: Path, mode: str, base: Path) -> DaemonProcess:
    """An observer that may look at the queue and no more: what it would touch, the kernel would refuse."""
    (root / "observer").mkdir()
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        os.chown(root / "observer", NOBODY, NOBODY)
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")
    return DaemonProcess(root / "observer", mode=mode, executor="observe", prefix=prefix, base_dir=str(base))


def watch(seen: Sightings, base: Path, dropped: dict[str, bytes]) -> None:
    """Drop half of the jobs, and the rest once some have ended; look on until long after the last one's end."""
    crowd = list(dropped)
    for number, name in enumerate(crowd):
        if number == JOBS // 2:
            while len(seen.ended()) < JOBS // 4:
                seen.look()
        drop(base, name, dropped[name])
    while len(seen.ended()) < JOBS:
        seen.look()
    last = max(stay.since for stay in seen.directories.stays)
    while any(view.looks[-1][1] < last + 1.5 * PROMISED for view in seen.views if view.name != "events"):
        seen.look()


def check(view: View, stays: list[Stay]) -> None:
    """Whoever looked a second into a state saw it; and each state that lasted, and each end, was seen in time."""
    promised = PROMISED + (view.longest if view.name == "hyperctl" else 0)  # a process that has to start, each time
    lasted = [stay for stay in stays if stay.until - stay.since > promised]
    assert {stay.state for stay in lasted} >= {"pending", "completed", "failed"}
    for stay in stays:
        assert view.stale(stay, PROMISED) == [], f"{view.name} did not show {stay}"
    late = {(stay.job, stay.state): view.delay(stay) for stay in lasted if view.delay(stay) > promised}
    assert late == {}, f"{view.name} showed these late, in seconds"


def test_a_submission_is_worked_by_the_owner(root: Path) -> None:
    with Hyper2kvm(root, "manifest") as owner, DaemonProcess(root, executor="observe") as observer:
        receipt = observer.api.submit_manifest(manifest(disk(root / "source.vmdk"), "vmdk"))
        job = str(receipt["job_id"])
        assert row(observer, job, "completed")["foreign"] is False
        (record,) = owner.base.glob(f"processed/*/{job}.report.json")
        until(lambda: bool(record.read_text()), owner.base)
        assert observer.api.job_report(job) == json.loads(record.read_text())
        assert json.loads(record.read_text())["manifest"] == job.removesuffix(".json")
        for action in (observer.api.pause, observer.api.resume, lambda: observer.api.cancel_job(job)):
            with raises_problem("queue-observed"):
                action()
        assert observer.stop() == 0
    ours = {".hypersdkd-observe"}
    theirs = {"to_be_processed", "processing", "processed", "failed", ".stats"}
    assert set(os.listdir(owner.base)) == ours | theirs


@pytest.mark.parametrize(("mode", "count"), [("manifest", 40), ("disk", 16)])
def test_of_two_that_work_one_queue_each_file_is_worked_by_one(root: Path, mode: str, count: int) -> None:
    source = disk(root / "source.vmdk")
    with Hyper2kvm(root, mode, pace=0.2) as owner, DaemonProcess(root, mode=mode) as daemon:
        names = [f"job-{number:02}.json" for number in range(count)]
        contents = {}
        for name in names:
            own = shutil.copy(source, root / f"{name}.vmdk")  # neither may keep the other from its source
            config = json.dumps({"input": str(own)}).encode()
            contents[name] = manifest(own, "vmdk") if mode == "manifest" else config
            drop(owner.base, name, contents[name])
        until(lambda: len(daemon.ended()) == count, owner.base)
        until(lambda: len(records(owner.base)) == count, owner.base)
        assert {job["id"] for job in daemon.api.jobs("all", limit=1000)["jobs"]} == set(names)
        assert daemon.stop() == 0
    found = records(owner.base)
    ours = {name for name, record in found.items() if "id" in record}
    assert ours
    assert set(names) - ours, "hyper2kvm has worked none"
    assert {path.name for path in (owner.base / ".hypersdkd" / "jobs").iterdir()} == ours
    for name in names:
        (file,) = [path for path in owner.base.rglob(name) if ".hypersdkd" not in path.parts]
        assert file.parent.parent.name == (
            "processed" if found[name]["status"] in {"completed", "success"} else "failed"
        )
        assert file.read_bytes() == contents[name]
        assert (owner.base / "output" / f"{Path(name).stem}.qcow2").exists() == (name in ours)
    for place in ("to_be_processed", "processing"):
        assert os.listdir(owner.base / place) == []


def records(base: Path) -> dict[str, dict]:
    """The record of each ended job, once it is whole; one with two is an error."""
    found: dict[str, dict] = {}
    for path in base.glob("*/????-??-??/*"):
        for suffix in (".report.json", ".meta.json", ".error.json"):
            if path.name.endswith(suffix) and (text := path.read_text()):
                name = path.name.removesuffix(suffix)
                assert name not in found, f"{name} was worked twice"
                found[name] = json.loads(text)
    return found

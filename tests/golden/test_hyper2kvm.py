"""Jobs recorded with hyper2kvm 0.2.1, dropped into a real daemon: the same files move to the same places, and
the records beside them say the same."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath

import pytest
from inotify_simple import INotify, flags

from tests.golden.departures import HYPER2KVM, HYPER2KVM_JOB_IDS, HYPER2KVM_MESSAGES, LEFT, WAITING
from tests.images import MIB, qemu_img
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import outcome, until_shown

RECORDINGS = Path(__file__).parent / "hyper2kvm"

#: What a record begins with, by the mode and the outcome.
HEADS = {
    ("manifest", "processed"): ("manifest", "status", "completed_at"),
    ("disk", "processed"): ("job_id", "original_name", "completed_at", "status"),
    ("disk", "failed"): ("job_id", "original_name", "failed_at", "error", "exception", "status"),
}
DONE = {"manifest": "completed", "disk": "success"}
#: Recorded with the original's fixer switched off, for the disks hold no system; so are ours. (Switched on, they fail.)
FIXER_OFF = "manifest/fixer-off"
FIXERS = [path.stem for path in (Path(__file__).parents[2] / "plugins").glob("fix_*.py")] + ["inspect_guest"]
SIDECARS = {"manifest": ".report.json", "disk": ".meta.json"}


@dataclass(frozen=True)
class Job:
    """A recorded job. ``base`` is where its run's sidecars are."""

    run: str
    recorded: dict

    @property
    def name(self) -> str:
        return self.recorded["name"]

    @property
    def key(self) -> str:
        return f"{self.run}/{self.name}"

    @property
    def early(self) -> bool:
        return self.recorded["dropped"] == "before the start"

    @property
    def outcome(self) -> str:
        """What becomes of it here."""
        return HYPER2KVM.get(self.key, (self.recorded["outcome"], ""))[0]

    @property
    def mode(self) -> str:
        return self.run.partition("/")[0]

    @property
    def sidecar(self) -> str:
        """The suffix of its record here."""
        return ".error.json" if self.outcome == "failed" else SIDECARS[self.mode]

    @property
    def job_id(self) -> str:
        stem = PurePath(self.name).stem
        return stem if self.key in HYPER2KVM_JOB_IDS else self.recorded.get("job_id", stem)

    def content(self, root: Path) -> bytes:
        if self.recorded["content"] is None:  # a disk, whose content was not recorded
            return (
                b""
                if self.recorded["bytes"] == 0
                else (root / "src" / f"empty{PurePath(self.name).suffix}").read_bytes()
            )
        return (RECORDINGS / self.run / self.recorded["content"]).read_bytes().replace(b"${BASE}", os.fsencode(root))

    def record(self) -> dict:
        """The recorded sidecar."""
        return json.loads((RECORDINGS / self.run / self.recorded["sidecar"]).read_text())


def recorded_jobs() -> list[Job]:
    runs = sorted(path.parent for path in RECORDINGS.glob("*/*/index.json"))
    return [
        Job(str(run.relative_to(RECORDINGS)), job)
        for run in runs
        for job in json.loads((run / "index.json").read_text())["jobs"]
    ]


JOBS = recorded_jobs()
STAYS = {LEFT: "ignored", WAITING: "waiting"}
ENDED = [job for job in JOBS if job.outcome not in STAYS]
STAYING = [job for job in JOBS if job.outcome in STAYS]


def name_of(job: Job) -> str:
    return job.key


class Replay:
    """All jobs of a run, dropped one after the other into a daemon of its own."""

    def __init__(self, root: Path, jobs: list[Job]) -> None:
        self.root = root
        (root / "src").mkdir()
        for suffix in ("vmdk", "raw", "img", "vhd", "qcow2", "vdi"):
            form = {"img": "raw", "vhd": "vpc"}.get(suffix, suffix)
            qemu_img("create", "-q", "-f", form, root / "src" / f"empty.{suffix}", str(MIB))
        mode = jobs[0].mode
        self.daemon = DaemonProcess(
            root,
            mode=mode,
            output_dir=str(root / "output"),
            output_dirs=[str(root / "wanted")],
            disabled=FIXERS if jobs[0].run == FIXER_OFF else (),
        )
        self.processing: list[str] = []
        self.outcomes = {}
        self.reasons: dict[str, str] = {}
        drop = self.daemon.base / "to_be_processed"
        drop.mkdir(parents=True)
        for job in filter(lambda job: job.early, jobs):
            self.daemon.drop(job.name, job.content(root))
        (self.daemon.base / "processing").mkdir()
        with INotify() as moves:
            moves.add_watch(self.daemon.base / "processing", flags.MOVED_TO)
            self._play(jobs)
            self.processing = [event.name for event in moves.read(timeout=0)]

    def _play(self, jobs: list[Job]) -> None:
        with self.daemon as daemon:
            for job in jobs:
                if not job.early:
                    daemon.drop(job.name, job.content(self.root))
                self._follow(job)
            assert daemon.stop() == 0

    def _follow(self, job: Job) -> None:
        if job.outcome in STAYS:
            self.reasons[job.name] = until_shown(self.daemon, STAYS[job.outcome], job.name)[job.name]
            return
        ended = self.outcomes[job.name] = outcome(self.daemon, job.name)
        # many recorded jobs name one output, which the original never wrote; ours is never replaced
        for output in ended.record["artifacts"]["outputs"]:
            Path(output).unlink()


@pytest.fixture(scope="module")
def replays(tmp_path_factory):
    runs: dict[str, list[Job]] = {}
    for job in JOBS:
        runs.setdefault(job.run, []).append(job)
    return {run: Replay(tmp_path_factory.mktemp(run.replace("/", "-")), jobs) for run, jobs in runs.items()}


@pytest.mark.system
@pytest.mark.parametrize("job", ENDED, ids=name_of)
def test_the_file_and_its_record_are_where_hyper2kvm_puts_them(replays, job):
    replay = replays[job.run]
    ended = replay.outcomes[job.name]
    time = ended.record["completed_at" if job.outcome == "processed" else "failed_at"]
    date = datetime.fromisoformat(time).astimezone().date().isoformat()
    place = replay.daemon.base / job.outcome / date / job.name
    assert ended.kind == job.outcome, ended.record
    assert place.read_bytes() == job.content(replay.root)
    sidecar = place.with_name(job.name + job.sidecar)
    text = sidecar.read_text()
    assert text == json.dumps(json.loads(text), indent=2)
    if job.key not in HYPER2KVM:
        assert sidecar.relative_to(replay.root) == Path(job.recorded["sidecar"].replace("DATE", date))


@pytest.mark.system
@pytest.mark.parametrize("job", ENDED, ids=name_of)
def test_the_record_says_what_hyper2kvm_says_and_more(replays, job):
    ours = replays[job.run].outcomes[job.name].record
    theirs = dict.fromkeys(HEADS[job.mode, job.outcome]) if job.key in HYPER2KVM else job.record()
    assert list(ours)[: len(theirs)] == list(theirs)
    for key, value in theirs.items():
        if key in {"completed_at", "failed_at"}:
            age = datetime.now(UTC) - datetime.fromisoformat(ours[key])
            assert ours[key].endswith("Z") and 0 <= age.total_seconds() < 600
        elif job.key not in HYPER2KVM and key not in {"error", "exception", "job_id"}:  # texts: see below
            assert ours[key] == value
    assert (ours["job_id"], ours["id"]) == (job.job_id, job.name)
    assert ours["status"] == (DONE[job.mode] if job.outcome == "processed" else "failed")
    assert ours.get("manifest", job.job_id) == job.job_id


@pytest.mark.system
@pytest.mark.parametrize("job", [job for job in ENDED if job.outcome == "failed"], ids=name_of)
def test_a_failure_names_the_same_file(replays, job):
    replay = replays[job.run]
    error = replay.outcomes[job.name].record["error"]
    assert error and error.isprintable()
    named = re.findall(r"\$\{BASE\}(\S+)", job.recorded.get("error", ""))
    if job.key not in HYPER2KVM_MESSAGES:
        assert all(f"{replay.root}{path}" in error for path in named)


@pytest.mark.system
@pytest.mark.parametrize("job", STAYING, ids=name_of)
def test_what_is_left_lies_untouched_and_is_explained(replays, job):
    replay = replays[job.run]
    assert (replay.daemon.base / "to_be_processed" / job.name).read_bytes() == job.content(replay.root)
    assert replay.reasons[job.name]


@pytest.mark.system
def test_every_job_and_nothing_else_went_through_processing(replays):
    for run, replay in replays.items():
        taken = [job.name for job in ENDED if job.run == run]
        assert replay.processing == taken
        base = replay.daemon.base
        assert os.listdir(base / "processing") == []
        assert set(os.listdir(base / "to_be_processed")) == {job.name for job in STAYING if job.run == run}
        assert set(replay.daemon.ended()) == set(taken)


def test_every_departure_is_one():
    recorded = {job.key: job.recorded for job in JOBS}
    for key, (ours, reason) in HYPER2KVM.items():
        assert ours != recorded[key]["outcome"] and reason
    assert all("${BASE}" in recorded[key]["error"] for key in HYPER2KVM_MESSAGES)
    for key, reason in HYPER2KVM_JOB_IDS.items():
        assert recorded[key]["job_id"] != PurePath(recorded[key]["name"]).stem and reason

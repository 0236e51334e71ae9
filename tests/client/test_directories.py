"""A queue without its daemon."""

from __future__ import annotations

import os
from datetime import date, timedelta

import pytest

from hypersdkd.client.directories import OfflineQueue, find_queues, is_job_name
from tests.privileges import unprivileged


@pytest.fixture
def queue(tmp_path) -> OfflineQueue:
    base = tmp_path / "manifest-workflow"
    today, yesterday = date.today(), date.today() - timedelta(days=1)
    for name in (
        "to_be_processed/b.json",
        "to_be_processed/a.json",
        "to_be_processed/.hidden.json",
        "to_be_processed/half.vmdk.PART",
        "to_be_processed/x~",
        "to_be_processed/disk.vmdk",
        "to_be_processed/subdir/inner.json",
        "to_be_processed/a.json.error.json",
        "processing/run.json",
        f"processed/{today}/ok.json",
        f"processed/{today}/ok.json.report.json",
        f"processed/{yesterday}/old.json",
        "processed/undated.json",
        f"failed/{today}/bad.json",
        f"failed/{today}/bad.json.error.json",
        f"failed/{today}/disk.vmdk.meta.json",
    ):
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (base / "to_be_processed/link.json").symlink_to("a.json")
    os.mkfifo(base / "to_be_processed/pipe.json")
    return OfflineQueue(base, "manifest")


COUNTS = {"to_be_processed": 2, "processing": 1, "processed": 1, "failed": 1, "cancelled": 0}


def test_counts(queue):
    assert queue.counts() == COUNTS


def test_status_in_the_apis_shape(queue):
    assert queue.status() == {
        "mode": "manifest",
        "running": False,
        "queue_depth": 2,
        "active_jobs": 1,
        "processed_today": 1,
        "failed_today": 1,
        "max_workers": 0,
        "uptime_seconds": 0,
        "cancelled_today": 0,
        "base_dir": str(queue.base),
    }


def test_jobs_in_the_apis_shape(queue):
    rows = queue.jobs()
    assert [(row["id"], row["status"]) for row in rows] == [
        ("a.json", "pending"),
        ("b.json", "pending"),
        ("run.json", "processing"),
        ("ok.json", "completed"),
        ("bad.json", "failed"),
    ]
    assert rows[0]["started_at"] is None
    assert rows[2]["started_at"].endswith("Z")
    assert (rows[3]["date"], rows[3]["started_at"]) == (date.today().isoformat(), None)


def test_queue_in_the_apis_shape(queue):
    reply = queue.queue()
    assert [entry["name"] for entry in reply["pending"]] == ["a.json", "b.json"]
    assert reply["counts"] == COUNTS
    assert reply["waiting"] == reply["ignored"] == reply["foreign"] == []


def test_a_queue_that_is_not_there(tmp_path):
    queue = OfflineQueue(tmp_path / "none")
    assert set(queue.counts().values()) == {0}
    (tmp_path / "file").write_text("")
    assert OfflineQueue(tmp_path / "file").jobs() == []
    assert OfflineQueue(tmp_path / "none").trouble() == f"The directory {tmp_path}/none does not exist"
    assert OfflineQueue(tmp_path / "file").trouble().endswith("Not a directory")


def test_a_queue_that_may_not_be_read_is_not_an_empty_one(queue):
    assert queue.trouble() == ""
    (queue.base / "failed").chmod(0)
    with unprivileged():
        trouble = queue.trouble()
    assert trouble.startswith(str(queue.base))
    assert trouble.endswith("cannot be read, so its files are not counted: Permission denied")


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        ("manifest", ["a.json", "b.json"]),
        ("disk", ["a.json", "b.json", "disk.vmdk"]),
        ("", ["a.json", "b.json", "disk.vmdk"]),
    ],
)
def test_the_mode_decides_what_is_counted(queue, mode, names):
    found = OfflineQueue(queue.base, mode)
    assert [row["id"] for row in found.jobs("pending")] == names
    assert (found.status()["mode"], found.counts()["to_be_processed"]) == (mode, len(names))


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ('{"status": "cancelled", "error": "why"}', "cancelled"),
        ('{"status": "failed"}', "failed"),
        ('{"status": "cancelled"', "failed"),
        ("[" * 200_000, "failed"),
        ("[]", "failed"),
        (None, "failed"),
    ],
)
def test_a_record_tells_a_cancelled_job_from_a_failed_one(queue, record, state):
    (sidecar,) = queue.base.glob("failed/*/bad.json.error.json")
    sidecar.unlink()
    if record is None:
        os.mkfifo(sidecar)  # is not waited for
    else:
        sidecar.write_text(record)
    assert [row["id"] for row in queue.jobs(state)] == ["bad.json"]
    status = queue.status()
    assert status[f"{state}_today"] == 1
    assert status["failed_today"] + status["cancelled_today"] == 1


def test_jobs_are_filtered(queue):
    yesterday = (date.today() - timedelta(days=1)).isoformat()
    assert [row["id"] for row in queue.jobs(date=yesterday)] == ["old.json"]
    assert [row["date"] for row in queue.jobs(date=yesterday)] == [yesterday]
    assert queue.jobs("pending", date=yesterday) == []
    assert [row["id"] for row in queue.jobs("active")] == ["run.json"]
    assert [row["id"] for row in queue.jobs(q="B")] == ["b.json", "bad.json"]


def test_a_running_job_runs_since_it_was_claimed(queue):
    os.utime(queue.base / "processing/run.json", (0, 0))
    (row,) = queue.jobs("active")
    assert row["started_at"] > "2020"
    assert 0 <= row["elapsed_seconds"] < 60


def test_names_that_are_not_utf8(tmp_path):
    (tmp_path / "to_be_processed").mkdir()
    with open(os.path.join(os.fsencode(tmp_path), b"to_be_processed", b"\xff.VMDK"), "w"):
        pass
    (row,) = OfflineQueue(tmp_path).jobs()
    assert row["id"] == "\\xff.VMDK"


def test_which_queues(tmp_path, monkeypatch):
    assert find_queues(tmp_path) == [OfflineQueue(tmp_path)]
    assert find_queues(tmp_path, "disk") == [OfflineQueue(tmp_path, "disk")]
    assert find_queues(tmp_path / "manifest-workflow")[0].mode == "manifest"
    both = (tmp_path / "manifest-workflow", tmp_path / "workflow")
    both[1].mkdir()
    monkeypatch.setattr("hypersdkd.client.directories.DEFAULT_QUEUES", both)
    assert find_queues() == [OfflineQueue(both[1], "disk")]


@pytest.mark.parametrize("name", ["a.json", "report.json", "-rf", "a.part.json", "meta.json"])
def test_job_names(name):
    assert is_job_name(name)

"""A queue without its daemon."""

from __future__ import annotations

import os
from datetime import date, timedelta

import pytest

from hypersdkd.client.directories import OfflineQueue, find_queues, is_job_name


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
    return OfflineQueue(base)


COUNTS = {"to_be_processed": 2, "processing": 1, "processed": 1, "failed": 1}


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
        "base_dir": str(queue.base),
    }


def test_jobs_in_the_apis_shape(queue):
    page = queue.jobs()
    rows = page["jobs"]
    assert page["total"] == len(rows) == 5
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
    assert queue.mode == "disk"
    (tmp_path / "file").write_text("")
    assert OfflineQueue(tmp_path / "file").jobs()["total"] == 0


def test_names_that_are_not_utf8(tmp_path):
    (tmp_path / "to_be_processed").mkdir()
    with open(os.path.join(os.fsencode(tmp_path), b"to_be_processed", b"\xff.VMDK"), "w"):
        pass
    (row,) = OfflineQueue(tmp_path).jobs()["jobs"]
    assert row["id"] == "\\xff.VMDK"


def test_which_queues(tmp_path, monkeypatch):
    assert find_queues(tmp_path) == [OfflineQueue(tmp_path)]
    both = (tmp_path / "manifest-workflow", tmp_path / "workflow")
    both[1].mkdir()
    monkeypatch.setattr("hypersdkd.client.directories.DEFAULT_QUEUES", both)
    assert find_queues() == [OfflineQueue(both[1])]


@pytest.mark.parametrize("name", ["a.json", "report.json", "-rf", "a.part.json", "meta.json"])
def test_job_names(name):
    assert is_job_name(name)

"""The artifacts of a job: all are listed, and those are sent that the guest left for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.engine import artifacts
from hypersdkd.engine.artifacts import artifacts_of, content_of
from hypersdkd.model.event import EventType
from tests.engine.fake_executor import FakeExecutor, write
from tests.engine.workbench import disk, manifest, workbench
from tests.problems import raises_problem


def record(*paths: object) -> dict[str, object]:
    """A job's record of one guest with these files."""
    files = [{"kind": "screenshot", "path": str(path), "bytes": 3} for path in paths]
    return {"vms": [{"vm": "web01", "files": files}]}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the guest leaves files; beside it a secret."""
    directory = tmp_path / "jobs/a.json/00001/artifacts"
    directory.mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return directory


def test_numbers_go_on_from_guest_to_guest(place: Path) -> None:
    (place / "boot.PNG").write_bytes(b"png")
    (place / "console").write_bytes(b"text")
    two = {"vms": [*record("/srv/a.vmdk", place / "boot.PNG")["vms"], *record(place / "console")["vms"]]}  # type: ignore[misc]
    found = artifacts_of(two, [place.parent])
    assert [(each.number, each.media_type) for each in found] == [
        (0, ""),
        (1, "image/png"),
        (2, "application/octet-stream"),
    ]
    assert (found[1].vm, found[1].size, content_of(found[1]).content) == ("web01", 3, b"png")
    assert [each.media_type for each in artifacts_of(two, [])] == [""] * 3, "not kept any more"


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "{0}/../../../../secret.png", "{0}/../journal.jsonl", "{0}/", "{0}/a/b.png", ""]
)
def test_a_journal_that_names_another_file_gets_nothing(place: Path, path: str) -> None:
    (found,) = artifacts_of(record(path.format(place)), [place.parent])
    with raises_problem("artifact-unavailable"):
        content_of(found)


def test_nothing_is_followed(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "link.png").symlink_to(tmp_path / "secret.png")
    os.mkfifo(place / "pipe.png")
    (place / "long.png").write_bytes(b"12345")
    monkeypatch.setattr(artifacts, "SENT_LIMIT", 4)
    for found in artifacts_of(
        record(*(place / f"{name}.png" for name in ("link", "pipe", "long", "gone"))), [place.parent]
    ):
        with raises_problem("artifact-unavailable"):
            content_of(found)
    (found,) = artifacts_of(record(place / "secret.png"), [place.parent])
    for child in place.iterdir():
        child.unlink()
    place.rmdir()
    place.symlink_to(tmp_path)  # as a worker that was taken over could
    with raises_problem("artifact-unavailable"):
        content_of(found)


@pytest.mark.parametrize(
    "bad", [{}, {"vms": None}, {"vms": [3, {"files": 7}, {"files": ["x", {"path": 1, "bytes": "z"}]}]}]
)
def test_a_record_of_another_daemon_may_have_anything(bad: dict[str, object]) -> None:
    assert all(each.media_type == "" for each in artifacts_of(bad, []))


async def test_of_a_job_that_ended(tmp_path: Path) -> None:
    def leave(directory: Path) -> int:
        (directory / "artifacts").mkdir()
        (directory / "artifacts/boot.png").write_bytes(b"png")
        write(directory, EventType.STARTED)
        write(directory, EventType.ARTIFACT, kind="screenshot", path=f"{directory}/artifacts/boot.png")
        write(directory, EventType.FINISHED)
        return 0

    async with workbench(tmp_path / "base", FakeExecutor([leave])) as bench:
        bench.drop("a.json", manifest(disk(tmp_path / "base")))
        bench.drop("bad.json", b"{}")
        await bench.ended("a.json")
        await bench.ended("bad.json")
        assert [each.kind for each in await bench.service.artifacts("a.json")] == ["screenshot"]
        assert (await bench.service.artifact("a.json", 0)).content == b"png"
        assert await bench.service.artifacts("bad.json") == ()
        for job, number, code in (("a.json", 1, "artifact-unknown"), ("none.json", 0, "job-unknown")):
            with raises_problem(code):
                await bench.service.artifact(job, number)

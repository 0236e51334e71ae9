"""The one door into the queue: whole, never over anything, and only under a name that will be taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.engine.door import Door
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.readiness import Readiness
from hypersdkd.host import files
from tests.engine.queue_state import make_queue, spool_of
from tests.problems import raises_problem


@pytest.fixture
def layout(tmp_path: Path) -> QueueLayout:
    return make_queue(tmp_path)


@pytest.fixture
def door(layout: QueueLayout) -> Door:
    return Door(layout, spool_of(layout).taken, Readiness("manifest", 1).not_for_us)


def test_a_file_appears_whole(door: Door, layout: QueueLayout) -> None:
    receipt = door.put("web 01.json", b"{}")
    assert (receipt.job_id, receipt.manifest_path) == ("web 01.json", str(layout.drop / "web 01.json"))
    assert (layout.drop / "web 01.json").read_bytes() == b"{}"
    assert os.listdir(layout.scratch) == []


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b.json", "../a.json", "a\0.json", "a\n.json", "\udcff.json", "x" * 196 + ".json"),
        *(".a.json", "a.vmdk", "a.json.part", "a.report.json", "json", "\u202ea.json"),
    ],
)
def test_names_that_would_never_be_taken(door: Door, layout: QueueLayout, name: str) -> None:
    with raises_problem("name-invalid"):
        door.put(name, b"{}")
    assert os.listdir(layout.drop) == []


@pytest.mark.parametrize("place", ["drop", "processing", "claim", "link"])
def test_a_taken_name_is_refused(door: Door, layout: QueueLayout, place: str) -> None:
    if place == "link":
        (layout.drop / "a.json").symlink_to("nowhere")
    elif place == "processing":
        (layout.processing / "a.json").touch()
    else:
        (layout.drop / "a.json").write_text("first")
        if place == "claim":
            spool_of(layout).claim("a.json")
    with pytest.raises(FileExistsError):
        door.put("a.json", b"second")


def test_a_name_that_is_taken_in_that_moment_is_refused(
    door: Door, layout: QueueLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = files._write_draft

    def another_is_faster(directory: Path, content: bytes, mode: int) -> Path:
        (layout.drop / "a.json").write_text("first")
        return real(directory, content, mode)

    monkeypatch.setattr(files, "_write_draft", another_is_faster)
    with pytest.raises(FileExistsError):
        door.put("a.json", b"second")
    assert (layout.drop / "a.json").read_text() == "first"
    assert os.listdir(layout.scratch) == []


def test_a_queue_that_cannot_be_written(door: Door, layout: QueueLayout) -> None:
    layout.scratch.rmdir()
    with raises_problem("queue-unusable"):
        door.put("a.json", b"{}")


def test_a_job_that_is_claimed_between_the_looks_is_seen(
    door: Door, layout: QueueLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    (layout.drop / "a.json").write_text("{}")
    look = os.path.lexists

    def claimed_after(path: Path) -> bool:
        found = look(path)
        if found and path.parent == layout.drop:
            path.rename(layout.processing / path.name)
        return found

    monkeypatch.setattr(os.path, "lexists", claimed_after)
    with pytest.raises(FileExistsError):
        door.put("a.json", b"{}")

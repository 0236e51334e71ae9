"""What steps say becomes events: bounded in number, never in meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from hypersdkd.engine import step_context
from hypersdkd.engine.journal import JournalWriter, read_journal
from hypersdkd.engine.step_context import GuestContext
from hypersdkd.model.event import Event, EventType
from hypersdkd.model.problem import Problem
from tests.engine.guests import folded, make_guest
from tests.problems import raises_problem


class Clock:
    """A monotonic clock that stands still."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def strftime(self, _form: str) -> str:
        return "10:00:00"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(step_context, "time", made)
    return made


def events(directory: Path, type_: EventType) -> list[Event]:
    return [event for event in read_journal(directory) if event.type is type_]


def test_a_file_is_attached(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
        for content in (b"first", b"a later attempt's"):
            context.attach("screenshot", "boot.png", content)
        for name in ("", "..", "a/b", "../guest.json", "a\0"):
            with raises_problem("name-invalid"):
                context.attach("screenshot", name, b"")
    assert (directory / "artifacts/boot.png").read_bytes() == b"a later attempt's"
    told = events(directory, EventType.ARTIFACT)[-1].data
    assert told == {"kind": "screenshot", "path": f"{directory}/artifacts/boot.png", "bytes": 17}


def test_progress_comes_four_times_a_second_at_most_and_its_end_once(tmp_path: Path, clock: Clock) -> None:
    directory, order = make_guest(tmp_path)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
        context.begin_stage("convert")
        for done in range(1001):
            clock.now += 0.001
            context.progress(done, 1000)
        for _ in range(5):
            clock.now += 1
            context.progress(1000, 1000)
    rows = events(directory, EventType.PROGRESS)
    assert 4 <= len(rows) <= 6
    last = rows[-1].data
    assert (last["percent"], last["bytes_done"], last["eta_seconds"]) == (100, 1000, 0)
    assert sum(row.data["percent"] == 100 for row in rows) == 1
    middle = rows[2].data
    assert middle["bytes_per_second"] in range(990, 1011)
    assert middle["eta_seconds"] == 0
    assert rows[0].stage == "convert"


@pytest.mark.parametrize(("done", "total", "percent"), [(0, 0, 100), (5, 0, 100), (1, 3, 33), (4, 3, 100)])
def test_odd_progress(tmp_path: Path, clock: Clock, done: int, total: int, percent: int) -> None:
    directory, order = make_guest(tmp_path)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
        context.begin_stage("convert")
        context.progress(done, total)
    (row,) = events(directory, EventType.PROGRESS)
    assert (row.data["percent"], row.data["bytes_per_second"], row.data["eta_seconds"]) == (percent, 0, None)


def test_everything_that_a_step_says_is_in_the_report(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
        context.begin_stage("validate")
        context.finding("os", {"name": "Debian"})
        context.check("boots", False, "kernel panic")
        context.warn(Problem("image-unclean", "dirty"))
        context.tool("qemu-img", "7.2")
        context.end_stage()
    report = folded(directory).report()
    assert report["guest"] == {"os": {"name": "Debian"}, "tool.qemu-img": "7.2"}
    assert report["checks"] == [{"name": "boots", "passed": False, "detail": "kernel panic", "stage": "validate"}]
    assert report["tools"] == {"qemu-img": "7.2"}
    assert report["warnings"][0]["code"] == "image-unclean"  # type: ignore[index]


def test_a_step_sees_its_guest_and_writes_beside_its_outputs(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path, disks=2)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
    first, second = context.temporary_for(0), context.temporary_for(1)
    assert first != second
    assert first.parent == second.parent == tmp_path / "output"
    assert first.name.startswith(".")
    assert context.guest == order.guest
    assert list(context.source_roots) == [tmp_path]
    assert (list(context.disks), list(context.outputs)) == ([], [])
    assert context.work == directory / "work"


def test_the_log_cannot_be_forged(tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    directory, order = make_guest(tmp_path)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
        context.log("evil\n10:00:00 load all is well\x1b[2J é\udcff")
    assert capsys.readouterr().err == "10:00:00 evil\\n10:00:00 load all is well\\x1b[2J é\\udcff\n"


def test_a_document_is_written_beside_the_outputs_and_never_in_anothers_place(tmp_path: Path) -> None:
    directory, order = make_guest(tmp_path)
    output = Path(order.guest.output_name or order.guest.outputs[0])
    output.parent.mkdir(parents=True, exist_ok=True)
    with JournalWriter(directory, "web01") as journal:
        context = GuestContext(directory, order, journal)
        assert context.add_document(".xml", b"<domain/>") == output.with_suffix(".xml")
        [document] = context.documents
        assert document.temporary.read_bytes() == b"<domain/>"
        assert document.temporary.name.startswith(".hypersdkd-") and not document.path.exists()
        output.with_suffix(".txt").write_bytes(b"another's")
        with raises_problem("output-exists"):
            context.add_document(".txt", b"ours")
    assert output.with_suffix(".txt").read_bytes() == b"another's"

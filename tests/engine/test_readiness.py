"""What is ready, what waits and why, and what is never ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypersdkd.engine import readiness
from hypersdkd.engine.readiness import Entry, Readiness, Verdict
from tests.images import cut, make
from tests.privileges import NOBODY, unprivileged

HERE = Path()  # pytest's directories lie below one that no other user may enter
MANIFESTS, DISKS = Readiness("manifest", 2.0), Readiness("disk", 2.0)


def judge(
    directory: Path,
    name: str,
    before: Entry | None = None,
    clock: float = 100.0,
    *,
    moved: bool = False,
    mode: str = "",
) -> Entry | None:
    rules = DISKS if mode == "disk" else MANIFESTS
    return rules.judge(directory, name, before, clock, moved)


def verdict(entry: Entry | None) -> tuple[str, str]:
    assert entry is not None
    return entry.verdict.value, entry.reason


@contextmanager
def writer(path: Path) -> Iterator[None]:
    """Another process has the file open for writing."""
    command = ["sh", "-c", 'exec 3>>"$0"; echo open; read line', str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.communicate(b"\n")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".hidden.json", "hidden"),
        ("a.json.part", "partial"),
        ("a.json.PART", "partial"),
        ("a.json~", "partial"),
        ("a.json.crdownload", "partial"),
        ("a.tmp", "partial"),
        ("a.filepart", "partial"),
        ("a.report.json", "sidecar"),
        ("a.META.json", "sidecar"),
        ("a.json.error.json", "sidecar"),
        ("a.vmdk", "manifest mode"),
        ("json", "suffix"),
        ("a.json.", "suffix"),
        ("a", "suffix"),
    ],
)
def test_names_that_are_never_jobs(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / name).write_text("{}")
    kind, why = verdict(judge(tmp_path, name))
    assert kind == "ignored"
    assert reason in why


@pytest.mark.parametrize(
    ("mode", "name", "reason"),
    [
        ("disk", "debian.tar.xz", "not of disk mode, by its suffix; call a cloud image debian.ami"),
        ("disk", "disk.RAW.GZ", "not of disk mode, by its suffix; call a cloud image disk.ami"),
        ("disk", "image.tgz", "not of disk mode, by its suffix; call a cloud image image.ami"),
        ("disk", "web.vmx", "not of disk mode, by its suffix"),
        ("manifest", "web.VMDK", "not of manifest mode, by its suffix; name the disk in a manifest"),
        ("manifest", "debian.tar.xz", "not of manifest mode, by its suffix"),
        ("manifest", "web.yaml", ""),
    ],
)
def test_what_is_no_job_by_its_suffix_is_told_what_would_be(mode: str, name: str, reason: str) -> None:
    assert Readiness(mode, 1.0).not_for_us(name) == reason


@pytest.mark.parametrize("name", ["a.json", "A.JSON", "-.json", "a b.json", os.fsdecode(b"\xff\n.json")])
def test_a_whole_object_is_ready_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"version": "1.0"}')
    entry = judge(tmp_path, name)
    assert verdict(entry) == ("ready", "")
    assert entry is not None
    assert entry.size == 18
    assert entry.arrived == (tmp_path / name).stat().st_ctime_ns


def test_what_is_no_regular_file_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    (tmp_path / "directory.json").mkdir()
    os.mkfifo(tmp_path / "fifo.json")
    assert verdict(judge(tmp_path, "link.json")) == ("ignored", "a symbolic link")
    assert verdict(judge(tmp_path, "directory.json")) == ("ignored", "a directory")
    assert verdict(judge(tmp_path, "fifo.json")) == ("ignored", "not a regular file")
    assert judge(tmp_path, "gone.json") is None
    assert judge(tmp_path / "link.json", "a.json") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a device")
def test_a_device_is_never_opened(tmp_path: Path) -> None:
    os.mknod(tmp_path / "tape.json", 0o600 | 0o020000, os.makedev(1, 5))
    assert verdict(judge(tmp_path, "tape.json")) == ("ignored", "not a regular file")


@pytest.mark.parametrize("moved", [True, False])
def test_a_writer_in_another_process_is_waited_for(tmp_path: Path, moved: bool) -> None:
    path = tmp_path / "a.json"
    path.write_text("{}")
    with writer(path):
        before = judge(tmp_path, "a.json", moved=moved)
        assert verdict(before) == ("waiting", "another process has it open for writing")
        assert verdict(judge(tmp_path, "a.json", before, clock=1e9)) == verdict(before)
    assert verdict(judge(tmp_path, "a.json", before)) == ("ready", "")


json_objects = st.dictionaries(
    st.text(max_size=4),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(json_objects, st.booleans(), st.sampled_from([None, 2]))
def test_no_part_of_an_object_is_ready_before_its_time(
    tmp_path: Path, value: dict[str, object], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    path = tmp_path / "a.json"
    before = None
    for end in range(0, len(text), max(1, len(text) // 12)):
        path.write_bytes(text[:end])
        first = judge(tmp_path, "a.json", before)
        assert verdict(first)[0] == "waiting", text[:end]
        before = judge(tmp_path, "a.json", first, clock=119.9)
        assert verdict(before)[0] == "waiting", text[:end]
    path.write_bytes(text)
    assert verdict(judge(tmp_path, "a.json", before)) == ("ready", "")


def test_patience_has_an_end_and_begins_anew_with_each_change(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"version"')
    first = judge(tmp_path, "a.json", clock=0.0)
    assert verdict(first) == ("waiting", "its JSON is not complete yet")
    path.write_text('{"version": ')
    second = judge(tmp_path, "a.json", first, clock=19.0)
    third = judge(tmp_path, "a.json", second, clock=38.9)
    assert verdict(third)[0] == "waiting"
    assert verdict(judge(tmp_path, "a.json", third, clock=39.0)) == ("ready", "")


def test_a_file_that_was_moved_in_is_whole_even_if_broken(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"version"')
    entry = judge(tmp_path, "a.json", moved=True)
    assert verdict(entry) == ("ready", "")
    assert verdict(judge(tmp_path, "a.json", entry)) == ("ready", ""), "a later look remembers it"
    (tmp_path / "a.json").write_text('{"versio')
    assert verdict(judge(tmp_path, "a.json", entry))[0] == "waiting", "until it is written to"


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "version: '1.0'\n"), ("a.json", "[1, 2]"), ("a.yml", "")])
def test_what_has_no_end_of_its_own_settles(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    first = judge(tmp_path, name, clock=10.0)
    assert verdict(first) == ("waiting", "settling for 2 s")
    second = judge(tmp_path, name, first, clock=11.9)
    assert verdict(second)[0] == "waiting"
    assert verdict(judge(tmp_path, name, second, clock=12.0)) == ("ready", "")
    os.utime(path, ns=(1, 1))
    assert verdict(judge(tmp_path, name, second, clock=12.0))[0] == "waiting", "its mtime changed"
    assert verdict(judge(tmp_path, name, moved=True)) == ("ready", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "a.json").chmod(0o600)
    for directory in (HERE, tmp_path):  # the second lies below one that nobody may enter
        with unprivileged():
            assert verdict(judge(directory, "a.json")) == ("waiting", "cannot be read: Permission denied")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_without_leases_even_a_moved_file_settles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    (tmp_path / "a.yaml").write_text("version: '1.0'\n")
    with unprivileged():
        first = judge(HERE, "a.yaml", clock=10.0, moved=True)
        assert verdict(first) == ("waiting", "settling for 2 s")
        assert verdict(judge(HERE, "a.yaml", first, clock=12.0)) == ("ready", "")
    os.chown(tmp_path / "a.yaml", NOBODY, NOBODY)
    with unprivileged():
        assert verdict(judge(HERE, "a.yaml", moved=True)) == ("ready", "")


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi"])
def test_a_disk_waits_for_its_own_end(tmp_path: Path, form: str) -> None:
    path = make(tmp_path / f"a.{form}")
    size = path.stat().st_size
    first = judge(tmp_path, path.name, moved=True, mode="disk")
    assert verdict(first) == ("waiting", "settling for 2 s (a file that needs it may come next)")
    assert verdict(judge(tmp_path, path.name, first, clock=102.0, mode="disk")) == ("ready", "")
    cut(path, size // 2)
    kind, why = verdict(judge(tmp_path, path.name, moved=True, mode="disk"))
    assert kind == "waiting"
    assert path.name in why
    cut(path, 0)
    assert verdict(judge(tmp_path, path.name, mode="disk")) == ("waiting", f"{path.name} is empty")


def test_a_document_of_disk_mode_is_judged_as_in_manifest_mode(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text('{"input": "a.vmdk"')
    kind, why = verdict(judge(tmp_path, "job.json", mode="disk"))
    assert (kind, why) == ("waiting", "its JSON is not complete yet")
    assert verdict(judge(tmp_path, "job.json", moved=True, mode="disk")) == ("ready", "")
    (tmp_path / "job.json").write_text('{"input": "a.vmdk"}')
    assert verdict(judge(tmp_path, "job.json", mode="disk")) == ("ready", "")
    (tmp_path / "job.YML").touch()
    first = judge(tmp_path, "job.YML", clock=10.0, mode="disk")
    assert verdict(first) == ("waiting", "settling for 2 s")
    assert verdict(judge(tmp_path, "job.YML", first, clock=12.0, mode="disk")) == ("ready", "")
    (tmp_path / "web.vmdk.meta.json").write_text("{}")
    assert verdict(judge(tmp_path, "web.vmdk.meta.json", mode="disk")) == ("ignored", "a sidecar, by its name")


def test_a_raw_disk_settles(tmp_path: Path) -> None:
    path = make(tmp_path / "a.img", form="raw")
    first = judge(tmp_path, path.name, clock=10.0, mode="disk")
    assert verdict(first) == ("waiting", "settling for 2 s")
    assert verdict(judge(tmp_path, path.name, first, clock=12.0, mode="disk")) == ("ready", "")


class Counted:
    """Stands for a costly look: says the same each time, and counts."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.calls = 0

    def __call__(self, _content: object, **_options: object) -> object:
        self.calls += 1
        return self.answer


@pytest.mark.parametrize("end", ["OBJECT", "OTHER"])
def test_the_same_content_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    read = Counted(readiness.JsonEnd[end])
    monkeypatch.setattr(readiness, "json_end", read)
    path = tmp_path / "a.json"
    path.write_text("{}")
    entry = None
    for clock in range(0, 1000, 100):
        entry = judge(tmp_path, "a.json", entry, float(clock))
    assert (verdict(entry), read.calls) == (("ready", ""), 1)
    path.write_text("{} ")
    judge(tmp_path, "a.json", entry, 1000.0)
    assert read.calls == 2


def test_an_incomplete_disk_is_looked_at_ever_more_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Counted("a.img lacks its end")
    monkeypatch.setattr(readiness, "incomplete", look)
    path = tmp_path / "a.img"
    path.write_bytes(b"x")
    entry, looks = None, []
    for clock in range(0, 300):
        before = look.calls
        entry = judge(tmp_path, "a.img", entry, float(clock), mode="disk")
        assert verdict(entry) == ("waiting", "a.img lacks its end")
        looks += [clock] if look.calls > before else []
    assert looks == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    look.answer = ""
    assert verdict(judge(tmp_path, "a.img", entry, 303.0, mode="disk")) == ("ready", "")


def test_each_change_of_an_incomplete_disk_is_looked_at_for_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Counted("a.img lacks its end")
    monkeypatch.setattr(readiness, "incomplete", look)
    path = tmp_path / "a.img"
    entry = None
    for clock in range(0, 300):
        path.write_bytes(b"x" * clock)
        entry = judge(tmp_path, "a.img", entry, float(clock), mode="disk")
    assert 60 <= look.calls <= 66
    path.unlink()
    path.write_bytes(b"another")
    (tmp_path / "b").write_bytes(b"")
    (tmp_path / "b").replace(path)
    before = look.calls
    judge(tmp_path, "a.img", entry, 300.0, mode="disk")
    assert look.calls == before + 1, "another file under the same name"


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), OSError(5, "Input/output error")])
def test_a_file_that_changes_or_fails_in_the_midst_of_it_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def failing(_path: Path, **_options: object) -> str:
        raise error

    (tmp_path / "a.img").write_bytes(b"x")
    monkeypatch.setattr(readiness, "incomplete", failing)
    kind, why = verdict(judge(tmp_path, "a.img", mode="disk"))
    assert kind == Verdict.WAITING
    assert why == ("changing" if error.errno == 2 else "cannot be read: Input/output error")


def test_a_file_larger_than_any_manifest_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"{")
    os.truncate(path, readiness.MAX_BYTES + 1)
    monkeypatch.setattr(os, "pread", None)
    assert verdict(judge(tmp_path, "a.json")) == ("waiting", "settling for 2 s")

"""Hostile and broken files dropped into the queue of a real daemon: each has its outcome, and none is lost."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
from datetime import datetime
from pathlib import Path

import pytest

from hypersdkd.client.http import DaemonRefusedError
from tests.images import MIB, qemu_img, raw_disk
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import batch, entries, manifest, outcome, pipeline, row, run, until_shown

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with DaemonProcess(tmp_path_factory.mktemp("bad")) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def source(daemon):
    return raw_disk(daemon.root / "disk.raw", 4 * MIB)


MISSING = "/srv/hypersdkd-test/there/is/no/such.raw"

DOCUMENTS = {
    "malformed.json": (b'{"version": "1.0", "pipeline": }', "document-syntax", "line 1, column 32"),
    "cut.json": (b'{"version": "1.0", "pipeline": {"load": ', "document-syntax", "line 1"),
    "comment.json": (b'// a comment\n{"version": "1.0"}', "document-syntax", "line 1, column 1"),
    "marked.json": (b'\xef\xbb\xbf{"version": "1.0"}', "document-syntax", "byte order mark"),
    "number.json": (b'{"version": NaN}', "document-syntax", "NaN"),
    "malformed.yaml": (b"version: [1.0\n", "document-syntax", "line"),
    "tabs.yml": (b"version: '1.0'\npipeline:\n\tload: x\n", "document-syntax", "line 3"),
    "tag.yaml": (b"!!python/object/apply:os.system ['touch /tmp/owned']\n", "document-syntax", "python"),
    "empty.json": (b"", "document-syntax", "empty"),
    "empty.yaml": (b"\n\n", "document-syntax", "empty"),
    "list.json": (b"[]", "document-shape", "object"),
    "text.yaml": (b"just words\n", "document-shape", "object"),
    "nothing.json": (b"{}", "manifest-required", "version is required"),
    "duplicate.json": (b'{"version": "1.0", "version": "2.0"}', "document-duplicate-key", "version"),
    "duplicate.yaml": (b'version: "1.0"\nname: a\nname: b\n', "document-duplicate-key", "name"),
    "deep.json": (b'{"a":' * 40 + b"1" + b"}" * 40, "document-too-deep", "32"),
    "very-deep.json": (b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "document-too-deep", "32"),
    "deep.yaml": (b"a: " + b"[" * 2000 + b"]" * 2000 + b"\n", "document-too-deep", "32"),
    "typed.json": (
        b'{"version": "1.0", "pipeline": {"load": {"source_type": "raw", "source_path": 7}, "convert": []}}',
        "manifest-type",
        "pipeline.load.source_path",
    ),
    "flat.json": (b'{"version": "1.0", "pipeline": "all of it"}', "manifest-type", "pipeline"),
    "version.json": (b'{"version": 1.0, "pipeline": {}}', "manifest-type", "version"),
    "bomb.yaml": (
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (i + 1, i + 1, b", ".join([b"*%c" % i] * 9)) for i in range(97, 110)),
        "document-aliases",
        "alias",
    ),
    "circle.yaml": (b"a: &a [*a]\n", "document-aliases", "alias"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_bad_document_fails_with_its_place_and_a_remedy(daemon, name):
    content, code, words = DOCUMENTS[name]
    failed = run(daemon, name, content)
    failed.assert_failed(code, words)
    assert failed.record["vms"] == []
    assert row(daemon, name, "failed")["problem"]["code"] == code


def test_all_problems_of_a_manifest_are_in_its_record(daemon):
    failed = run(daemon, "many.json", b'{"version": "9", "pipeline": {"load": {"source_type": "vmdx"}, "convert": {}}}')
    paths = {problem["path"] for problem in failed.record["problems"]}
    assert paths == {
        "version",
        "pipeline.load.source_type",
        "pipeline.load.source_path",
        "pipeline.convert.output_format",
    }


def peak_memory(pid: int) -> int:
    """Most bytes that a process ever had in memory."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_fifty_megabytes_fail_by_their_size_without_being_read(daemon):
    before = peak_memory(daemon.pid)
    failed = run(daemon, "fifty.json", b"[" + b'"0123456789",' * (50 * MIB // 13) + b"1]")
    failed.assert_failed("document-too-large", "10485760")
    assert peak_memory(daemon.pid) - before < 64 * MIB


def test_text_that_is_not_utf8_is_a_warning_and_never_a_crash(daemon):
    content = manifest(MISSING).replace(b'"version"', b'"na\xffme": "\xfe", "version"')
    failed = run(daemon, "latin.json", content)
    failed.assert_failed("source-missing", MISSING)
    assert "manifest-encoding" in {warning["code"] for warning in failed.record["warnings"]}


NAMES = {
    "newline": b"new\nline.json",
    "escape": b"\x1b]0;title\x07\x1b[31mred.json",
    "longest": b"x" * 250 + b".json",
    "dash": b"-rf.json",
    "not UTF-8": b"caf\xe9.json",
    "right to left": "a\u202enosj.json".encode(),
    "spaces": b"  two  spaces  .json",
    "percent": b"%s%n{0}$HOME`id`;'\".json",
    "backslash": b"a\\..\\b.json",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_hostile_name_is_worked_under_a_harmless_one(daemon, kind):
    content = manifest(f"{MISSING}/{kind}")
    before = set(daemon.ended())
    daemon.drop(NAMES[kind], content)
    until(lambda: any(path.read_bytes() == content for path in daemon.ended().values()), daemon.base)
    (name,) = set(daemon.ended()) - before
    assert name.isprintable() and len(name.encode()) <= 200
    ended = outcome(daemon, name)
    ended.assert_failed("source-missing")
    assert ended.record["original_name"].isprintable()
    assert ended.record["id"] == row(daemon, name, "failed")["id"] == name
    assert not os.path.lexists(os.path.join(os.fsencode(daemon.base / "to_be_processed"), NAMES[kind]))
    assert all(json.loads(line) and line.isprintable() for line in daemon.logged())


def test_names_inside_a_manifest_never_lead_out_of_the_output_directory(daemon, source):
    names = ["-rf", "y" * 255, "a\u202eb", "50% of $HOME"]
    before = set(daemon.root.rglob("*.qcow2"))
    done = run(daemon, "names.json", batch(**{name: pipeline(source) for name in names}))
    assert done.kind == "processed"
    outputs = done.record["artifacts"]["outputs"]
    assert len(set(outputs)) == len(names)
    assert set(daemon.root.rglob("*.qcow2")) - before == set(map(Path, outputs))
    for output in map(Path, outputs):
        assert output.parent == daemon.base / "output"
        assert output.name.isprintable() and not output.name.startswith(".")
        qemu_img("compare", "-f", "raw", "-F", "qcow2", source, output)
    assert {guest["vm"] for guest in done.record["vms"]} == set(names)


def test_names_inside_a_manifest_that_cannot_name_a_file_are_all_told(daemon, source):
    names = ["../../../up", "/etc/x", "new\nline", "\x1b[31mred", "n\0ul", "..", ".hidden"]
    before = set(daemon.root.rglob("*.qcow2"))
    done = run(daemon, "bad-names.json", batch(**{name: pipeline(source) for name in names}))
    done.assert_failed("name-invalid", "vms[0].name")
    assert [problem["path"] for problem in done.record["problems"]] == [f"vms[{row}].name" for row in range(len(names))]
    assert set(daemon.root.rglob("*.qcow2")) == before


def test_what_is_no_regular_file_of_ours_is_shown_as_ignored_and_never_touched(daemon):
    drop = daemon.base / "to_be_processed"
    target = daemon.root / "target.json"
    target.write_bytes(manifest(MISSING))
    (drop / "link.json").symlink_to(target)
    (drop / "dangling.json").symlink_to("/nowhere/at/all")
    os.mkfifo(drop / "pipe.json")
    (drop / "directory.json").mkdir()
    (drop / "directory.json" / "inner.json").write_bytes(manifest(MISSING))
    with socket.socket(socket.AF_UNIX) as listener:
        directory = os.open(drop, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{directory}/socket.json")  # the whole path may be too long for a socket
        os.close(directory)
    reasons = {
        "link.json": "a symbolic link",
        "dangling.json": "a symbolic link",
        "pipe.json": "not a regular file",
        "directory.json": "a directory",
        "socket.json": "not a regular file",
    }
    if os.geteuid() == 0:
        os.mknod(drop / "device.json", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        reasons["device.json"] = "not a regular file"
    for name, reason in {
        ".hidden.json": "hidden",
        "copy.json.part": "a partial file",
        "old.json.error.json": "a sidecar",
        "old.json.report.json": "a sidecar",
        "notes.txt": "not of manifest mode",
        "disk.vmdk": "not of manifest mode",
        "no-suffix": "not of manifest mode",
    }.items():
        (drop / name).write_bytes(manifest(MISSING))
        reasons[name] = reason
    before = {path.name: path.lstat() for path in drop.iterdir()}
    shown = until_shown(daemon, "ignored", *reasons)
    run(daemon, "after-the-odd-ones.json", manifest(MISSING)).assert_failed("source-missing", MISSING)
    assert {name: shown[name].partition(",")[0] for name in reasons} == reasons
    assert {path.name: path.lstat() for path in drop.iterdir()} == before
    assert not set(reasons) & {job["id"] for job in daemon.api.jobs()["jobs"]}
    assert daemon.api.status()["queue_depth"] == 0


@pytest.mark.parametrize("name", ["..", "a/b", "a/../b", "\0", "x" * 5000, "caf\udce9.json"])
def test_a_job_that_cannot_exist_is_unknown(daemon, name):
    with pytest.raises(DaemonRefusedError) as refused:
        daemon.api.job(name)
    assert (refused.value.status, refused.value.problem.code) == (404, "job-unknown")


RECORDS = {
    "types": b'{"id": 5, "stage": {"a": 1}, "error": [1], "claimed_at": 7, "failed_at": {}, "attempts": "x"}',
    "list": b"[]",
    "null": b"null",
    "empty": b"",
    "deep": b"[" * 100_000,
    "numbers": b'{"claimed_at": NaN, "error": Infinity, "attempts": 1e999}',
    "long": b'{"attempts": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"error": "\\ud800", "id": "x"}',
    "bytes": b'{"error": "\xff"}',
    "times": b'{"claimed_at": "2020-01-02T00:00:00", "failed_at": "tomorrow", "error": "x"}',
    "hyper2kvm": b'{"job_id": "hyper2kvm", "failed_at": "2020-01-02T03:04:05.678901", "error": "x"}',
}


def test_records_that_others_wrote_never_break_a_list(daemon):
    """Nor do links and pipes in a record's place, which are not read, or files of any age."""
    day = daemon.base / "failed" / "2020-01-02"
    day.mkdir()
    for name, record in RECORDS.items():
        (day / f"{name}.json.error.json").write_bytes(record)
    os.mkfifo(day / "pipe.json.error.json")
    (day / "link.json.error.json").symlink_to("/etc/passwd")
    names = {f"{name}.json" for name in (*RECORDS, "pipe", "link", "none")}
    for age, name in enumerate(names):
        (day / name).write_bytes(b"{}")
        os.utime(day / name, (0, (-1) ** age * 10 ** (age + 5)))
    until(lambda: daemon.api.jobs(date="2020-01-02")["total"] == len(names), daemon.base)
    rows = daemon.api.jobs(date="2020-01-02")["jobs"]
    assert {job["id"] for job in rows} == names
    for job in rows:
        assert all(job[key] is None or datetime.fromisoformat(job[key]).tzinfo for key in ("started_at", "finished_at"))
        assert daemon.api.job(job["id"])["status"] == "failed"
        try:
            assert json.dumps(daemon.api.job_report(job["id"]), allow_nan=False)
        except DaemonRefusedError as error:
            assert error.status == 404
    with pytest.raises(DaemonRefusedError, match="no record beside"):
        daemon.api.job_report("link.json")


def test_the_daemon_is_as_quick_and_as_empty_as_before(daemon):
    assert entries(daemon, "pending") == entries(daemon, "waiting") == entries(daemon, "foreign") == {}
    assert os.listdir(daemon.base / "processing") == os.listdir(daemon.base / ".hypersdkd" / "tmp") == []
    assert "Traceback" not in daemon.log.read_text()

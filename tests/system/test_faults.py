"""Faults around a job, each provoked for real: sources, outputs, space, tools, cancels, retries, stops."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from hypersdkd.client.http import DaemonRefusedError
from hypersdkd.host.sessions import ProcessStamp
from hypersdkd.model.problem import ProblemError
from tests.images import MIB, qemu_img, raw_disk
from tests.privileges import NOBODY
from tests.system.daemon_process import DaemonProcess, until
from tests.system.gates import Gates
from tests.system.jobs import batch, entries, holds, manifest, outcome, pipeline, row, run, until_shown

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def gates(root):
    return Gates(root)


@pytest.fixture(scope="module")
def small_place(root):
    """A file system with less room than most outputs need, where it can be had."""
    place = root / "full"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False, capture_output=True)
    yield place
    if place.is_mount():
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def full(small_place):
    if not small_place.is_mount():
        pytest.skip("a small file system cannot be mounted here: that takes root")
    return small_place


@pytest.fixture(scope="module")
def running(root, gates, small_place):
    output_dirs = [str(small_place), str(root / "base")]
    with DaemonProcess(root, environment=gates.environment, output_dirs=output_dirs) as daemon:
        yield daemon


@pytest.fixture
def daemon(running, gates):
    """The daemon, with nothing of the test before it and nothing left of the test."""
    yield running
    assert gates.shut_now() == []
    until(lambda: running.api.status()["active_jobs"] == 0, running.base)
    assert running.worker_pids() == []
    assert leftovers(running.base / "output") == []


@pytest.fixture(scope="module")
def source(root):
    return raw_disk(root / "disk.raw", 4 * MIB)


def leftovers(directory: Path) -> list[Path]:
    """Hidden files: temporary outputs and reservations."""
    return list(directory.rglob(".*")) if directory.exists() else []


# -- sources ------------------------------------------------------------------------------------------


def test_a_source_that_vanishes_while_its_job_is_pending(daemon, source):
    gone = shutil.copy(source, daemon.root / "gone.raw")
    daemon.api.pause()
    daemon.drop("gone.json", manifest(gone))
    until_shown(daemon, "pending", "gone.json")
    gone.unlink()
    daemon.api.resume()
    outcome(daemon, "gone.json").assert_failed("source-missing", str(gone))


@pytest.mark.parametrize("command", ["info", "measure", "convert"])
def test_a_source_that_vanishes_while_it_is_read(daemon, gates, source, command):
    gone = shutil.copy(source, daemon.root / f"gone-{command}.raw")
    with gates.shut(command):
        daemon.drop(f"gone-{command}.json", manifest(gone))
        gates.until_waiting(command)
        gone.unlink()
    failed = outcome(daemon, f"gone-{command}.json")
    failed.assert_failed("source-changed", gone.name)
    assert failed.record["stage"] == ("load" if command == "info" else "convert")
    assert not (daemon.base / "output" / f"gone-{command}.qcow2").exists()


def test_a_source_that_is_written_to_while_it_is_read(daemon, gates, source):
    busy = shutil.copy(source, daemon.root / "busy.raw")
    with gates.shut("convert"):
        daemon.drop("busy.json", manifest(busy))
        gates.until_waiting("convert")
        with busy.open("r+b") as file:
            file.seek(2 * MIB)
            file.write(b"changed")
    outcome(daemon, "busy.json").assert_failed("source-changed", "busy.raw")


def test_a_source_that_someone_still_writes(daemon, source):
    busy = shutil.copy(source, daemon.root / "open.raw")
    with busy.open("ab"):
        run(daemon, "open.json", manifest(busy)).assert_failed("source-busy", "open.raw")


def test_sources_outside_their_directories(daemon, root):
    link = root / "innocent.raw"
    link.symlink_to("/etc/passwd")
    for name, path in {"outside": "/etc/passwd", "link": link, "dots": f"{root}{'/..' * 12}/etc/passwd"}.items():
        failed = run(daemon, f"{name}.json", manifest(path))
        failed.assert_failed("source-outside", "/etc/passwd")
        assert "source_dirs" in failed.record["remedy"]
    for name, path in {"directory": root, "device": "/dev/zero", "fifo": root / "fifo"}.items():
        if name == "fifo":
            os.mkfifo(path)
        assert run(daemon, f"{name}.json", manifest(path)).code in {"source-not-regular", "source-outside"}


def test_a_source_of_another_type_than_claimed(daemon, source):
    run(daemon, "type.json", manifest(source, "vmdk")).assert_failed("source-type-mismatch", "disk.raw")


# -- outputs ------------------------------------------------------------------------------------------


def test_an_output_that_exists_is_never_touched(daemon, source):
    output = daemon.base / "output" / "mine.qcow2"
    output.parent.mkdir(exist_ok=True)
    output.write_bytes(b"dear to its owner")
    dangling = output.with_name("dangling.qcow2")
    dangling.symlink_to(daemon.root / "through-a-link")
    for name in ("mine", "dangling"):
        failed = run(daemon, f"{name}.json", manifest(source, output_path=f"{name}.qcow2"))
        failed.assert_failed("output-exists", str(output.with_name(f"{name}.qcow2")))
    assert output.read_bytes() == b"dear to its owner"
    assert not (daemon.root / "through-a-link").exists()


def test_an_output_that_appears_while_it_is_written_is_never_replaced(daemon, gates, source):
    output = daemon.base / "output" / "late.qcow2"
    with gates.shut("convert"):
        daemon.drop("late.json", manifest(source, output_path="late.qcow2"))
        gates.until_waiting("convert")
        output.write_bytes(b"somebody was faster")
    outcome(daemon, "late.json").assert_failed("output-exists", str(output))
    assert output.read_bytes() == b"somebody was faster"


def test_two_jobs_at_once_never_write_one_output(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("first.json", manifest(source, output_path="one.qcow2"))
        gates.until_waiting("convert")
        run(daemon, "second.json", manifest(source, output_path="one.qcow2")).assert_failed(
            "output-exists", "one.qcow2"
        )
    assert outcome(daemon, "first.json").kind == "processed"


def test_outputs_outside_their_directories(daemon, source, root):
    outside = root / "outside"
    outside.mkdir()
    (daemon.base / "output").mkdir(exist_ok=True)
    (daemon.base / "output" / "way-out").symlink_to(outside)
    paths = {
        "up": "../../up.qcow2",
        "absolute": str(outside / "x.qcow2"),
        "link": "way-out/x.qcow2",
        "deep": "a/../../../b",
        "queue": "../to_be_processed/x.qcow2",
        "record": "../failed/2020-01-01/x.json.error.json",
        "own": str(daemon.base / ".hypersdkd" / "lock2"),
    }
    for name, path in paths.items():
        failed = run(daemon, f"{name}-out.json", manifest(source, output_path=path))
        failed.assert_failed("output-outside")
        assert failed.record["path"] == "pipeline.convert.output_path"
    assert list(outside.iterdir()) == []


def test_an_output_path_that_is_the_output_directory_means_a_file_in_it(tmp_path):
    """Also before that directory is there."""
    source = raw_disk(tmp_path / "disk.raw", 4 * MIB)
    with DaemonProcess(tmp_path) as daemon:
        for name, path in {"dot": ".", "whole": str(daemon.base / "output"), "slash": "new/"}.items():
            done = run(daemon, f"{name}.json", manifest(source, output_path=path))
            assert done.kind == "processed", done.record
            assert Path(done.record["artifacts"]["output"]).name == f"{name}.qcow2"
        assert (daemon.base / "output" / "dot.qcow2").exists()


def test_an_output_directory_that_cannot_be_made(daemon, source):
    file = daemon.base / "output" / "a-file"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"not a directory")
    failed = run(daemon, "below.json", manifest(source, output_path="a-file/below/x.qcow2"))
    failed.assert_failed("output-unwritable", str(file))
    assert file.read_bytes() == b"not a directory"


def test_no_space_left_says_how_much_to_free_and_leaves_nothing(daemon, source, full):
    failed = run(daemon, "full.json", manifest(source, output_path=str(full / "x.qcow2")))
    failed.assert_failed("no-space", str(full))
    assert any(word.isdigit() and int(word) > 0 for word in failed.record["remedy"].split())
    assert list(full.iterdir()) == []


def test_space_that_runs_out_while_the_output_is_written(daemon, source, full, gates):
    small = raw_disk(daemon.root / "small.raw", 4 * MIB)
    with small.open("r+b") as file:  # 256 KiB of data: fits, until another takes the room
        file.truncate(MIB + (256 << 10))
        file.truncate(4 * MIB)
    with gates.shut("convert"):
        daemon.drop("filled.json", manifest(small, output_path=str(full / "x.qcow2")))
        gates.until_waiting("convert")
        with contextlib.suppress(OSError), (full / "other").open("wb") as file:
            file.write(bytes(MIB))
    failed = outcome(daemon, "filled.json")
    assert [path.name for path in full.iterdir()] == ["other"]
    (full / "other").unlink()
    failed.assert_failed("no-space", str(full))


# -- names and records --------------------------------------------------------------------------------


def test_two_submissions_of_one_name_in_one_second_are_two_jobs(daemon):
    texts = [json.loads(manifest("/srv/nothing.raw", output_path=path)) | {"name": "twin"} for path in ("1", "2")]
    first, second = (daemon.api.submit_manifest(json.dumps(text).encode())["job_id"] for text in texts)
    assert first != second
    for name, text in ((first, texts[0]), (second, texts[1])):
        ended = outcome(daemon, name)
        ended.assert_failed("source-missing", "/srv/nothing.raw")
        assert json.loads(ended.file.read_text()) == text


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "a/b", "..", "new\nline", "n\0ul", "x" * 180])
def test_a_submitted_name_that_is_no_file_name_is_refused_and_written_nowhere(daemon, name):
    text = json.loads(manifest("/srv/nothing.raw")) | {"name": name}
    before = set(daemon.root.parent.rglob("*evil*"))
    with pytest.raises(DaemonRefusedError) as refused:
        daemon.api.submit_manifest(json.dumps(text).encode())
    assert (refused.value.status, refused.value.problem.code) == (400, "name-invalid")
    assert os.listdir(daemon.base / "to_be_processed") == []
    assert set(daemon.root.parent.rglob("*evil*")) == before


def test_the_same_name_again_on_one_day_keeps_both_records(daemon):
    first = run(daemon, "again.json", manifest("/srv/first.raw"))
    daemon.drop("again.json", manifest("/srv/second.raw"))
    second = outcome(daemon, "again-2.json")
    first.assert_failed("source-missing", "/srv/first.raw")
    second.assert_failed("source-missing", "/srv/second.raw")
    assert first.file.read_bytes() == manifest("/srv/first.raw")
    assert second.record["original_name"] == "again.json"
    shown = [row(daemon, name, "failed")["problem"]["message"] for name in ("again.json", "again-2.json")]
    assert "/srv/first.raw" in shown[0] and "/srv/second.raw" in shown[1]


# -- cancel and retry ---------------------------------------------------------------------------------


def test_cancel_ends_a_hung_program_and_all_of_its_session(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("hung.json", manifest(source))
        (pid,) = gates.until_waiting("convert")
        assert {pid} < set(daemon.worker_pids())
        began = time.monotonic()
        daemon.api.cancel_job("hung.json")
        cancelled = outcome(daemon, "hung.json")
        assert time.monotonic() - began < 5
        assert daemon.worker_pids() == [] and ProcessStamp.of(pid) is None
    assert (cancelled.kind, cancelled.record["status"], cancelled.code) == ("failed", "cancelled", "cancelled")
    assert cancelled.record["remedy"]
    assert not (daemon.base / "output" / "hung.qcow2").exists()
    with pytest.raises(DaemonRefusedError) as refused:
        row(daemon, "hung.json", "cancelled")
        daemon.api.cancel_job("hung.json")
    assert (refused.value.status, refused.value.problem.code) == (409, "job-state")


def test_cancel_of_a_pending_job_never_starts_it(daemon, gates, source):
    daemon.api.pause()
    daemon.drop("early.json", manifest(source))
    until_shown(daemon, "pending", "early.json")
    daemon.api.cancel_job("early.json")
    cancelled = outcome(daemon, "early.json")
    daemon.api.resume()
    assert cancelled.record["status"] == "cancelled"
    assert cancelled.record["attempts"] == 0
    assert cancelled.file.read_bytes() == manifest(source)


def test_cancel_of_a_batch_ends_each_guest(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("many.json", batch(**{name: pipeline(source) for name in "abcd"}))
        gates.until_waiting("convert", 2)
        daemon.api.cancel_job("many.json")
        cancelled = outcome(daemon, "many.json")
    assert cancelled.record["status"] == "cancelled"
    assert [guest["status"] for guest in cancelled.record["vms"]] == ["cancelled"] * 4
    assert [guest["attempts"] for guest in cancelled.record["vms"]] == [1, 1, 0, 0]
    assert list((daemon.base / "output").glob("[abcd].qcow2")) == []


def test_retry_of_a_failed_job_counts_and_keeps_the_first_record(daemon, root, source):
    late = root / "arrives-later.raw"
    run(daemon, "retry.json", manifest(late)).assert_failed("source-missing", str(late))
    row(daemon, "retry.json", "failed")
    shutil.copy(source, late)
    daemon.api.retry_job("retry.json")
    until(lambda: "retry.json" in daemon.ended("processed"), daemon.base)
    done = outcome(daemon, "retry.json")
    assert (done.record["runs"], done.record["id"]) == (2, "retry.json")
    assert done.file.read_bytes() == manifest(late)
    assert "retry.json" not in daemon.ended("failed")
    first = json.loads((daemon.base / ".hypersdkd" / "jobs" / "retry.json" / "error-1.json").read_text())
    assert first["code"] == "source-missing"
    qemu_img("compare", "-f", "raw", "-F", "qcow2", source, done.record["artifacts"]["output"])
    with pytest.raises(DaemonRefusedError) as refused:
        row(daemon, "retry.json", "completed")
        daemon.api.retry_job("retry.json")
    assert refused.value.problem.code == "job-state"


def test_retry_of_a_cancelled_job(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("second-thoughts.json", manifest(source))
        gates.until_waiting("convert")
        daemon.api.cancel_job("second-thoughts.json")
        row(daemon, "second-thoughts.json", "cancelled")
    daemon.api.retry_job("second-thoughts.json")
    until(lambda: "second-thoughts.json" in daemon.ended("processed"), daemon.base)
    assert outcome(daemon, "second-thoughts.json").record["runs"] == 2


def test_a_batch_with_one_bad_guest_converts_the_others_and_a_retry_only_that_one(daemon, root, source):
    late = root / "late-guest.raw"
    guests = {"left": pipeline(source), "bad": pipeline(late), "right": pipeline(source)}
    failed = run(daemon, "three.json", batch(**guests))
    failed.assert_failed("batch-failed", "1 of 3", "bad", str(late))
    by_name = {guest["vm"]: guest for guest in failed.record["vms"]}
    ends = {"left": "completed", "bad": "failed", "right": "completed"}
    assert {name: guest["status"] for name, guest in by_name.items()} == ends
    assert by_name["bad"]["problem"]["code"] == "source-missing"
    outputs = [daemon.base / "output" / f"{name}.qcow2" for name in ("left", "right")]
    assert failed.record["artifacts"]["outputs"] == [str(path) for path in outputs]
    for output in outputs:
        qemu_img("compare", "-f", "raw", "-F", "qcow2", source, output)
    before = [output.stat() for output in outputs]

    shutil.copy(source, late)
    row(daemon, "three.json", "failed")
    daemon.api.retry_job("three.json")
    row(daemon, "three.json", "completed")
    done = outcome(daemon, "three.json")
    assert {guest["vm"]: guest["status"] for guest in done.record["vms"]} == dict.fromkeys(guests, "completed")
    assert [output.stat() for output in outputs] == before
    qemu_img("compare", "-f", "raw", "-F", "qcow2", source, daemon.base / "output" / "bad.qcow2")


# -- the queue and its daemon -------------------------------------------------------------------------


def test_a_second_daemon_on_the_queue_is_refused(daemon, tmp_path):
    other = DaemonProcess(tmp_path, base_dir=str(daemon.base))
    status, said = other.refuse()
    assert status == 1
    assert "queue-locked" in said and str(daemon.base) in said
    assert daemon.api.healthy() == {"status": "ok"}


def test_foreign_files_and_a_pause_survive_a_restart_unchanged(daemon, source):
    foreign = daemon.base / "processing" / "foreign.json"
    foreign.write_bytes(manifest(source))
    before = foreign.stat()
    assert "claim" in until_shown(daemon, "foreign", "foreign.json")["foreign.json"]
    daemon.api.pause()
    daemon.drop("paused.json", manifest("/srv/nothing.raw"))
    daemon.drop("foreign.json", manifest("/srv/nothing.raw"))
    assert daemon.stop() == 0  # while it is paused
    daemon.start()
    assert daemon.api.status()["paused"] is True
    with pytest.raises(ProblemError, match="paused"):
        daemon.api.ready()
    assert holds(lambda: len(os.listdir(daemon.base / "to_be_processed")) == 2, daemon.base / "to_be_processed", 0.3)
    assert set(entries(daemon, "pending")) == {"paused.json", "foreign.json"}
    daemon.api.resume()
    outcome(daemon, "paused.json").assert_failed("source-missing")
    outcome(daemon, "foreign-2.json").assert_failed("source-missing")  # the name was taken
    for ask in (daemon.api.cancel_job, daemon.api.retry_job):
        with pytest.raises(DaemonRefusedError, match=r"foreign\.json"):
            ask("foreign.json")
    assert set(until_shown(daemon, "foreign", "foreign.json")) == {"foreign.json"}
    assert foreign.stat() == before
    foreign.unlink()


def test_directories_that_somebody_tidied_away_come_back(daemon):
    directories = [daemon.base / name for name in ("processed", "failed", "processing", "to_be_processed")]
    for directory in directories:
        shutil.rmtree(directory)
    until(lambda: all(directory.is_dir() for directory in directories), daemon.base)
    run(daemon, "after-the-tidying.json", manifest("/srv/nothing.raw")).assert_failed("source-missing")
    assert [job["id"] for job in daemon.api.jobs()["jobs"]] == ["after-the-tidying.json"]


def test_a_job_whose_file_its_owner_takes_back_is_converted_all_the_same(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("taken-back.json", manifest(source))
        gates.until_waiting("convert")
        shutil.move(daemon.base / "processing" / "taken-back.json", daemon.root / "taken-back.json")
    until(lambda: list(daemon.base.glob("processed/*/taken-back.json.report.json")) != [], daemon.base)
    assert (daemon.root / "taken-back.json").read_bytes() == manifest(source)
    assert (daemon.base / "output" / "taken-back.qcow2").exists()


def test_sigterm_lets_a_running_guest_finish(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("running.json", manifest(source))
        gates.until_waiting("convert")
        daemon.drop("not-started.json", manifest(source))
        os.kill(daemon.pid, signal.SIGTERM)
        until(
            lambda: "draining" in str(daemon.api.status()["draining"]) or daemon.api.status()["draining"], daemon.base
        )
    assert daemon.wait() == 0
    done = daemon.ended("processed")
    assert "running.json" in done and "not-started.json" not in done
    daemon.start()
    assert outcome(daemon, "not-started.json").kind == "processed"


def test_a_second_sigterm_ends_running_guests_and_they_run_again(daemon, gates, source):
    with gates.shut("convert"):
        daemon.drop("hurry.json", manifest(source))
        gates.until_waiting("convert")
        os.kill(daemon.pid, signal.SIGTERM)
        until(lambda: daemon.api.status()["draining"] is True, daemon.base)
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.wait(timeout=12) == 0
        assert daemon.worker_pids() == []
    assert (daemon.base / "processing" / "hurry.json").exists()
    daemon.start()
    done = outcome(daemon, "hurry.json")
    assert (done.kind, done.record["attempts"], done.record["runs"]) == ("processed", 2, 1)


# -- another user, another pace -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def ordinary():
    """A daemon that is not root."""
    root = Path(tempfile.mkdtemp(prefix="hypersdkd-"))
    prefix = ()
    if os.geteuid() == 0:
        root.chmod(0o755)
        os.chown(root, NOBODY, NOBODY)
        prefix = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all")
    daemon = DaemonProcess(root, prefix=prefix)
    try:
        with daemon:
            yield daemon
            assert daemon.stop() == 0
    finally:
        shutil.rmtree(root)


def test_a_source_that_may_not_be_read(ordinary, source):
    secret = Path(shutil.copy(source, ordinary.root / "secret.raw"))
    secret.chmod(0o000)
    failed = run(ordinary, "secret.json", manifest(secret))
    failed.assert_failed("source-unreadable", "secret.raw")
    assert "permission" in failed.record["remedy"]


def test_an_output_directory_that_may_not_be_written(ordinary, source):
    readable = Path(shutil.copy(source, ordinary.root / "readable.raw"))
    readable.chmod(0o644)
    locked = ordinary.base / "output" / "locked"
    locked.mkdir(parents=True)
    locked.chmod(0o555)
    ordinary.base.joinpath("output").chmod(0o755)
    failed = run(ordinary, "locked.json", manifest(readable, output_path="locked/x.qcow2"))
    failed.assert_failed("output-unwritable", str(locked))
    assert list(locked.iterdir()) == []


def test_a_dropped_file_that_may_not_be_read_waits_and_says_so(ordinary):
    name = "private.json"
    ordinary.drop(name, manifest("/srv/nothing.raw"))
    outcome(ordinary, name)
    draft = ordinary.root / "unreadable"
    draft.write_bytes(manifest("/srv/nothing.raw"))
    draft.chmod(0o000)
    draft.rename(ordinary.base / "to_be_processed" / "unreadable.json")
    reasons = until_shown(ordinary, "waiting", "unreadable.json")
    assert "cannot be read" in reasons["unreadable.json"]
    (ordinary.base / "to_be_processed" / "unreadable.json").chmod(0o644)
    outcome(ordinary, "unreadable.json").assert_failed("source-missing")


def test_a_queue_that_may_not_be_written_is_refused_at_start(ordinary):
    base = ordinary.root / "of-another"
    base.mkdir()
    base.chmod(0o555)
    root = ordinary.root / "second"
    root.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
    status, said = DaemonProcess(root, prefix=ordinary.prefix, base_dir=str(base)).refuse()
    assert status == 1
    assert "queue-unusable" in said and str(base) in said
    assert list(base.iterdir()) == []


def test_a_queue_on_a_full_file_system_waits_for_space(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", base], check=False, capture_output=True
    ).returncode:
        pytest.skip("a small file system cannot be mounted here: that takes root")
    gates = Gates(tmp_path)
    source = raw_disk(tmp_path / "disk.raw", 4 * MIB)
    try:
        with DaemonProcess(tmp_path, environment=gates.environment, output_dir=str(tmp_path / "out")) as daemon:
            with gates.shut("convert"):
                for name in ("finishes", "cancelled"):
                    (base / "to_be_processed" / f"{name}.json").write_bytes(manifest(source))
                gates.until_waiting("convert", 2)
                (base / "to_be_processed" / "waits.json").write_bytes(b"{")
                until_shown(daemon, "waiting", "waits.json")
                with contextlib.suppress(OSError), (base / "filler").open("wb", buffering=0) as filler:
                    while True:
                        filler.write(bytes(4096))
                with pytest.raises(DaemonRefusedError, match="No space left"):
                    daemon.api.submit_manifest(manifest(source))
                with pytest.raises(DaemonRefusedError, match="storage fails: No space left"):
                    daemon.api.cancel_job("waits.json")
                daemon.api.cancel_job("cancelled.json")
                until(lambda: len(set(gates.waiting("convert")) & set(daemon.worker_pids())) == 1, tmp_path)
            until(lambda: (tmp_path / "out" / "finishes.qcow2").exists() or daemon.worker_pids() == [], tmp_path)
            assert daemon.api.healthy() and daemon.ended() == {}
            (base / "filler").unlink()
            ended = {name: outcome(daemon, f"{name}.json").record["status"] for name in ("finishes", "cancelled")}
            assert ended == {"finishes": "completed", "cancelled": "cancelled"}
            assert os.listdir(tmp_path / "out") == ["finishes.qcow2"]
            assert daemon.stop() == 0
    finally:
        subprocess.run(["umount", base], check=True)


@pytest.mark.parametrize("log", ["2>/dev/full", ">&- 2>&-"], ids=["full", "closed"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, log):
    buffered = {"PYTHONUNBUFFERED": ""}  # as it is unless somebody sets it: what is buffered is flushed at the end
    with DaemonProcess(tmp_path, prefix=("/bin/sh", "-c", f'exec "$0" "$@" {log}'), environment=buffered) as daemon:
        run(daemon, "unlogged.json", manifest("/srv/nothing.raw")).assert_failed("source-missing")
        assert daemon.stop() == 0


def test_events_that_the_kernel_dropped_are_made_up_for(tmp_path):
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 1 << 20:
        pytest.skip("this kernel's queue of events is too long to fill")
    with DaemonProcess(tmp_path, poll_interval=3600.0) as daemon:  # the safety check does not help here
        drop = daemon.base / "to_be_processed"
        os.kill(daemon.pid, signal.SIGSTOP)
        noise = [drop / ".a", drop / ".b"]
        noise[0].touch()
        for number in range(limit // 2 + 100):
            noise[number % 2].rename(noise[1 - number % 2])
        for number in range(20):
            daemon.drop(f"lost-{number}.json", manifest("/srv/nothing.raw"))
        os.kill(daemon.pid, signal.SIGCONT)
        daemon.until_ended(*(f"lost-{number}.json" for number in range(20)), patience=20)
        assert any("overflow" in line for line in daemon.logged())
        assert daemon.stop() == 0

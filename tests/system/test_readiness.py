"""Files that are still on their way: a real daemon never takes one before it is whole."""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import appliances
from tests.images import MIB, make, qemu_img, raw_disk
from tests.privileges import NOBODY
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import holds, manifest, outcome, until_shown

pytestmark = pytest.mark.system

#: Seconds that a file must rest where nothing better tells that it is whole, and a writer's pause: three of them.
SETTLE = 0.2
PAUSE = 3 * SETTLE

#: The large disk and how fast it comes: 13 seconds.
LARGE = 256 * MIB
BYTES_PER_SECOND = 20 * MIB


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    with DaemonProcess(
        tmp_path_factory.mktemp("disks"), mode="disk", settle_seconds=SETTLE, poll_interval=0.1
    ) as daemon:
        yield daemon
        assert daemon.stop() == 0


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    root = tmp_path_factory.mktemp("manifests")
    root.chmod(0o755)
    with DaemonProcess(root, settle_seconds=SETTLE, poll_interval=0.1) as daemon:
        yield daemon
        assert daemon.stop() == 0


class SlowCopy(threading.Thread):
    """Copies a file at a steady pace into the drop directory, as ``cp`` does, and sees whether it is taken."""

    def __init__(self, source: Path, daemon: DaemonProcess, name: str) -> None:
        super().__init__()
        self._source = source
        self._target = daemon.base / "to_be_processed" / name
        self._processing = daemon.base / "processing" / name
        self.taken_at: int | None = None
        self.seconds = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        copied = 0
        with self._source.open("rb") as source, self._target.open("wb", buffering=0) as target:
            while chunk := source.read(MIB):
                target.write(chunk)
                copied += len(chunk)
                if self.taken_at is None and (self._processing.exists() or not self._target.exists()):
                    self.taken_at = copied
                self.done.wait(max(0.0, began + copied / BYTES_PER_SECOND - time.monotonic()))
            if not self._target.exists():
                self.taken_at = copied
        self.seconds = time.monotonic() - began


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A monolithicSparse VMDK full of noise."""
    raw = tmp_path_factory.mktemp("large") / "large.raw"
    chance = random.Random(20)
    with raw.open("wb") as file:
        for _ in range(LARGE // (16 * MIB)):
            file.write(chance.randbytes(16 * MIB))
    qemu_img("convert", "-W", "-f", "raw", "-O", "vmdk", raw, raw.with_suffix(".vmdk"))
    raw.unlink()
    return raw.with_suffix(".vmdk")


@pytest.fixture(scope="module", autouse=True)
def slow_copy(disks, large):
    """Starts with the module and goes on during its tests."""
    copy = SlowCopy(large, disks, "large.vmdk")
    copy.start()
    yield copy
    copy.done.set()
    copy.join()


@contextmanager
def other_user_writes(path: Path) -> Iterator[Callable[[bytes], None]]:
    """Another user creates ``path`` and keeps it open; each call writes some more, the end closes it."""
    user = NOBODY if os.geteuid() == 0 else None
    with subprocess.Popen(
        ["/bin/sh", "-c", 'exec cat > "./$0"', path.name],
        cwd=path.parent,  # entered before the user changes: only this directory is open to it
        stdin=subprocess.PIPE,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    ) as writer:

        def write(part: bytes) -> None:
            assert writer.stdin is not None
            expected = (path.stat().st_size if path.exists() else 0) + len(part)
            writer.stdin.write(part)
            writer.stdin.flush()
            until(lambda: path.exists() and path.stat().st_size == expected, path.parent)

        yield write
    assert writer.returncode == 0


def waits(daemon: DaemonProcess, name: str) -> bool:
    """Whether a file stays in the drop directory for a writer's pause."""
    drop = daemon.base / "to_be_processed"
    return holds((drop / name).exists, drop, PAUSE)


def test_a_file_that_another_user_still_writes_is_left_alone(manifests):
    drop = manifests.base / "to_be_processed"
    drop.chmod(0o777)
    with other_user_writes(drop / "slow.yaml") as write:
        write(b'version: "1.0"\npipeline:\n  convert: {output_format: raw}\n')
        write(b"  load: {source_type: raw, source_path: /srv/first}\n")  # a whole manifest, by its looks
        shown = until_shown(manifests, "waiting", "slow.yaml")
        assert shown["slow.yaml"] == "another process has it open for writing"
        assert waits(manifests, "slow.yaml")
        write(b"name: second\n")
        assert waits(manifests, "slow.yaml")
    failed = outcome(manifests, "slow.yaml")
    failed.assert_failed("source-missing", "/srv/first")
    assert failed.file.read_bytes().endswith(b"name: second\n")
    assert failed.record["vms"][0]["vm"] == "second"


def test_json_whose_writer_closes_and_comes_back(manifests):
    whole = manifest("/srv/whole.raw")
    path = manifests.base / "to_be_processed" / "halves.json"
    path.write_bytes(whole[:60])
    assert until_shown(manifests, "waiting", path.name)[path.name] == "its JSON is not complete yet"
    assert waits(manifests, path.name)
    with path.open("ab") as file:
        file.write(whole[60:])
    failed = outcome(manifests, path.name)
    failed.assert_failed("source-missing", "/srv/whole.raw")
    assert failed.file.read_bytes() == whole


def test_json_that_never_gets_its_end_fails_in_the_end(manifests):
    path = manifests.base / "to_be_processed" / "torn.json"
    path.write_bytes(b'{"version": "1.0", ')
    until_shown(manifests, "waiting", path.name)
    assert waits(manifests, path.name)
    outcome(manifests, path.name).assert_failed("document-syntax")


def test_yaml_that_is_written_in_place_settles_first(manifests):
    path = manifests.base / "to_be_processed" / "settles.yaml"
    path.write_bytes(b'version: "1.0"\n')
    for _ in range(4):  # each change begins the settling anew
        assert holds(path.exists, path.parent, SETTLE / 2)
        with path.open("ab") as file:
            file.write(b"# more\n")
    failed = outcome(manifests, path.name)
    failed.assert_failed("manifest-required", "pipeline")
    assert failed.file.read_bytes().count(b"# more") == 4


def test_a_partial_name_counts_once_it_is_renamed(manifests):
    drop = manifests.base / "to_be_processed"
    (drop / "upload.json.part").write_bytes(manifest("/srv/renamed.raw"))
    until_shown(manifests, "ignored", "upload.json.part")
    (drop / "upload.json.part").rename(drop / "upload.json")
    outcome(manifests, "upload.json").assert_failed("source-missing", "/srv/renamed.raw")


def test_a_file_that_vanishes_while_it_waits_is_forgotten(manifests):
    path = manifests.base / "to_be_processed" / "changed-its-mind.json"
    path.write_bytes(b"{")
    until_shown(manifests, "waiting", path.name)
    path.unlink()
    until(lambda: manifests.api.status()["queue_depth"] == 0, manifests.base)


@pytest.mark.parametrize(
    "options",
    [(), ("subformat=streamOptimized",)],
    ids=["monolithicSparse", "streamOptimized"],
)
def test_half_a_disk_whose_writer_comes_back(disks, tmp_path, options):
    name = f"half-{len(options)}.vmdk"
    whole = make(tmp_path / name, *options, size=4 * MIB).read_bytes()
    path = disks.base / "to_be_processed" / name
    path.write_bytes(whole[: len(whole) // 2])
    assert name in until_shown(disks, "waiting", name)
    assert waits(disks, name)
    with path.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    done = outcome(disks, name)
    assert done.kind == "processed"
    assert done.file.read_bytes() == whole
    qemu_img("compare", "-f", "vmdk", "-F", "qcow2", done.file, done.record["artifacts"]["output"])


@pytest.mark.parametrize("suffix", ["ova", "ami"])
def test_half_an_archive_whose_writer_comes_back(disks, tmp_path, suffix):
    """The disk in it begins in the first half and ends in the second."""
    raw = raw_disk(tmp_path / "disk.raw", 4 * MIB)
    image = appliances.disk(tmp_path, raw.read_bytes())
    text = appliances.ovf([{"file": "disk1.vmdk", "capacity": 4}])
    members = {"web01.ovf": text, "disk1.vmdk": image} if suffix == "ova" else {"disk1.vmdk": image}
    whole = appliances.ova(tmp_path / "whole", members).read_bytes()
    path = disks.base / "to_be_processed" / f"half-archive.{suffix}"
    whole = whole if suffix == "ova" else appliances.gz(whole)
    path.write_bytes(whole[: len(whole) // 2])
    assert path.name in until_shown(disks, "waiting", path.name)
    assert waits(disks, path.name)
    with path.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    done = outcome(disks, path.name)
    assert done.kind == "processed", done.record
    (output,) = (Path(path) for path in done.record["artifacts"]["outputs"])
    raw_disk(raw, 4 * MIB)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", raw, output)
    output.unlink()


def test_a_disk_that_is_not_what_its_suffix_says(disks):
    disks.drop("words.vmdk", b"these are words\n" * 1000)
    failed = outcome(disks, "words.vmdk")
    failed.assert_failed("source-type-mismatch", "words.vmdk")
    assert failed.file.read_bytes() == b"these are words\n" * 1000


@pytest.mark.parametrize(
    "name", [b"new\nline.vmdk", b"nbd:a,file=b.vmdk", b"-O raw.vmdk", b"json:{}.vmdk", b"caf\xe9.vmdk"]
)
def test_a_disk_with_a_hostile_name_is_converted_under_a_harmless_one(disks, tmp_path, name):
    content = make(tmp_path / "plain.vmdk", size=4 * MIB).read_bytes()
    before = {*disks.ended(), "large.vmdk"}  # that one may end at any time
    disks.drop(name, content)
    until(lambda: len(set(disks.ended()) - before) == 1, disks.base)
    (ended,) = set(disks.ended()) - before
    done = outcome(disks, ended)
    assert done.kind == "processed", done.record
    assert done.file.read_bytes() == content
    assert ended.isprintable() and done.record["original_name"].isprintable()
    output = Path(done.record["artifacts"]["output"])
    assert output.parent == disks.base / "output" and output.name.isprintable()
    qemu_img("compare", "-f", "vmdk", "-F", "qcow2", tmp_path / "plain.vmdk", output)


def test_an_empty_disk_waits_for_its_content(disks):
    (disks.base / "to_be_processed" / "empty.qcow2").touch()
    assert "empty" in until_shown(disks, "waiting", "empty.qcow2")["empty.qcow2"]
    assert waits(disks, "empty.qcow2")
    disks.api.cancel_job("empty.qcow2")
    assert outcome(disks, "empty.qcow2").record["status"] == "cancelled"


def test_a_large_disk_is_never_taken_before_it_is_complete(disks, large, slow_copy):
    slow_copy.join()
    assert slow_copy.taken_at is None, f"taken after {slow_copy.taken_at} of {large.stat().st_size} bytes"
    assert slow_copy.seconds > 0.9 * LARGE / BYTES_PER_SECOND
    done = outcome(disks, "large.vmdk")
    assert (done.kind, done.record["status"]) == ("processed", "success")
    assert done.file.stat().st_size == large.stat().st_size
    output = Path(done.record["artifacts"]["output"])
    assert json.loads(qemu_img("info", "--output=json", output).stdout)["virtual-size"] == LARGE
    qemu_img("compare", "-f", "vmdk", "-F", "qcow2", large, output)
    output.unlink()
    done.file.unlink()

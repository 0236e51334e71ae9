"""Sources of several files, and of several disks, in a real daemon."""

from __future__ import annotations

import subprocess

import pytest

from tests import vmdks
from tests.images import MIB, raw_disk
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import batch, manifest, outcome, pipeline, run

pytestmark = pytest.mark.system

#: A loader of "appliances": files that are nothing but disks of 2 MiB in a row.
_APPLIANCE = """
from hypersdkd.host.image_file import ImageFacts
from hypersdkd.host.open_source import OpenSource
from hypersdkd.model.disk import FileNode, ImageNode
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Loader

SIZE = 2 << 20

def load(context, source):
    with OpenSource(context.source_roots, seconds=60) as opened:
        image = opened.open(source.source_path)
        disks = []
        for offset in range(0, image.size, SIZE):
            graph, facts = ImageNode("raw", FileNode(0, offset, SIZE)), ImageFacts("raw", "", SIZE, image.size)
            opened.compare_with_qemu(graph, facts)
            disks.append(opened.keep(graph, facts))
        return disks

@hookimpl
def hypersdkd_loaders():
    return [Loader(frozenset({"ova"}), load)]
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    running = DaemonProcess(tmp_path_factory.mktemp("several"), disabled=["load_ova"])
    (running.plugins / "a_row_of_disks.py").write_text(_APPLIANCE)
    with running:
        yield running
        assert running.stop() == 0


def same(disk, output):
    words = ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", disk, output]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_the_disks_of_one_source_are_outputs_in_their_order_and_stay_over_a_retry(daemon):
    pieces = [raw_disk(daemon.root / f"piece{number}.raw", 2 * MIB, seed=number) for number in (1, 2, 3)]
    whole = daemon.root / "whole.ova"
    whole.write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    late = daemon.root / "late.raw"
    content = batch(app=pipeline(whole, "ova", output_path="app.img"), late=pipeline(late))
    ended = run(daemon, "batch.json", content)
    assert ended.code == "batch-failed"
    outputs = [daemon.base / "output" / f"app-disk{number}.img" for number in (1, 2, 3)]
    assert sorted((daemon.base / "output").iterdir()) == outputs
    assert all(same(piece, output) for piece, output in zip(pieces, outputs, strict=True))
    before = [output.stat() for output in outputs]

    raw_disk(late, 2 * MIB)
    daemon.api.retry_job("batch.json")
    until(lambda: "batch.json" in daemon.ended("processed"), daemon.base)
    record = outcome(daemon, "batch.json").record
    assert record["status"] == "completed"
    assert [output.stat() for output in outputs] == before, "what was converted is not converted again"
    assert (daemon.base / "output" / "late.qcow2").exists()


def test_a_disk_with_snapshots(daemon):
    place = daemon.root / "web01"
    place.mkdir()
    data, writes = vmdks.content(), {4096: vmdks.noise(8192)}
    vmdks.esx_flat(place, "web01", data, cid=1)
    top = vmdks.esx_delta(place, "web01-000001", "web01.vmdk", len(data), writes)
    ended = run(daemon, "web01.json", manifest(top, "vmdk"))
    assert ended.kind == "processed", ended.record
    (daemon.root / "expected.raw").write_bytes(vmdks.applied(data, writes))
    assert same(daemon.root / "expected.raw", daemon.base / "output" / "web01.qcow2")

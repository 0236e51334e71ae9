"""Files that belong together, dropped into a real daemon in any order: one job, converted bit by bit."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests import appliances, vhds, vmdks
from tests.images import qemu_img
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import Outcome, outcome, until_shown

pytestmark = pytest.mark.system

SETTLE = 0.5


@pytest.fixture(scope="module")
def daemon(tmp_path_factory) -> Iterator[DaemonProcess]:
    with DaemonProcess(
        tmp_path_factory.mktemp("groups"), mode="disk", settle_seconds=SETTLE, poll_interval=0.2
    ) as daemon:
        yield daemon
        assert daemon.stop() == 0


def drop(daemon: DaemonProcess, files: dict[str, bytes], order: Sequence[str]) -> None:
    """The first is seen before the others come; it must be one that is no job by itself."""
    first, *others = order
    daemon.drop(first, files[first])
    until_shown(daemon, "waiting", first)
    for name in others:
        daemon.drop(name, files[name])


def group(directory: Path) -> dict[str, bytes]:
    """The files of a directory."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_one_job(daemon: DaemonProcess, lead: str, files: dict[str, bytes], before: set[str]) -> Outcome:
    """All files are where the lead is, unchanged, and none of them has become a job of its own."""
    ended = outcome(daemon, lead)
    assert set(daemon.ended()) - before == {lead}
    assert ended.file.read_bytes() == files[lead]
    aside = ended.file.with_name(f"{lead}.companions")
    assert group(aside) == {name: content for name, content in files.items() if name != lead}
    assert sorted(ended.record["companions"]) == sorted(set(files) - {lead})
    assert not set(files) & {*os.listdir(daemon.base / "to_be_processed"), *os.listdir(daemon.base / "processing")}
    return ended


def assert_holds(ended: Outcome, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "expected.raw").write_bytes(data)
    qemu_img("compare", "-f", "raw", "-F", "qcow2", tmp_path / "expected.raw", ended.record["artifacts"]["output"])


@pytest.mark.parametrize("extent_first", [True, False], ids=["extent-first", "descriptor-first"])
@pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentFlat"])
def test_a_descriptor_and_its_extents(daemon, tmp_path, kind, extent_first) -> None:
    name = f"{kind}-{extent_first}.vmdk"
    (tmp_path / "made").mkdir()
    vmdks.made_by_qemu(tmp_path / "made", kind, name=name)
    files, before = group(tmp_path / "made"), set(daemon.ended())
    order = sorted(files, key=lambda file: (file == name) is extent_first)
    drop(daemon, files, order)
    assert_holds(assert_one_job(daemon, name, files, before), vmdks.content(), tmp_path)


@pytest.mark.parametrize("reverse", [True, False], ids=["base-first", "top-first"])
def test_a_chain_of_snapshots(daemon, tmp_path, reverse) -> None:
    made = tmp_path / "made"
    made.mkdir()
    data, stem = vmdks.content(), f"chain{reverse:d}"
    writes = {4096: b"w" * 4096, vmdks.MIB: b"x" * 8192}
    vmdks.esx_flat(made, stem, data, cid=1)
    vmdks.esx_delta(made, f"{stem}-000001", f"{stem}.vmdk", vmdks.ODD, writes)
    top, files, before = f"{stem}-000001.vmdk", group(made), set(daemon.ended())
    drop(daemon, files, sorted(files, reverse=reverse))
    assert_holds(assert_one_job(daemon, top, files, before), vmdks.applied(data, writes), tmp_path)


def test_a_qcow2_and_its_backing_file(daemon, tmp_path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (tmp_path / "base.raw").write_bytes(vmdks.content())
    qemu_img("convert", "-f", "raw", "-O", "qcow2", tmp_path / "base.raw", made / "base.qcow2")
    options = ["-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "top.qcow2"]
    subprocess.run(["qemu-img", "create", *options], cwd=made, check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 4096", "top.qcow2"], cwd=made, check=True)
    files, before = group(made), set(daemon.ended())
    drop(daemon, files, ["top.qcow2", "base.qcow2"])
    assert_holds(
        assert_one_job(daemon, "top.qcow2", files, before), vmdks.applied(vmdks.content(), {0: b"\7" * 4096}), tmp_path
    )


def test_a_job_config_with_a_disk_beside_it(daemon, tmp_path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    vmdks.esx_flat(made, "leaf", vmdks.content())
    (made / "leaf.json").write_text(json.dumps({"input": "./leaf.vmdk", "output_format": "qcow2"}))
    files, before = group(made), set(daemon.ended())
    drop(daemon, files, sorted(files))
    assert_holds(assert_one_job(daemon, "leaf.json", files, before), vmdks.content(), tmp_path)


def test_an_ovf_and_its_files_fail_as_one_and_come_back_as_one(daemon, tmp_path) -> None:
    """This one describes no guest."""
    made = tmp_path / "made"
    made.mkdir()
    disks = [vmdks.made_by_qemu(made, "streamOptimized", name=f"guest-disk{number}.vmdk") for number in (1, 2)]
    rows = "".join(f'<File ovf:href="{disk.name}" ovf:size="{disk.stat().st_size}"/>' for disk in disks)
    (made / "guest.ovf").write_text(f'<Envelope xmlns:ovf="urn:ovf"><References>{rows}</References></Envelope>')
    (made / "guest.mf").write_text("SHA256(guest.ovf)= 0\n")
    files, before = group(made), set(daemon.ended())
    drop(daemon, files, ["guest.ovf", "guest-disk2.vmdk", "guest.mf", "guest-disk1.vmdk"])
    ended = assert_one_job(daemon, "guest.ovf", files, before)
    assert (ended.kind, ended.code) == ("failed", "image-invalid"), ended.record
    daemon.api.retry_job("guest.ovf")
    until(lambda: outcome(daemon, "guest.ovf").record["runs"] == 2, daemon.base)
    assert_one_job(daemon, "guest.ovf", files, before)


def test_an_ovf_with_its_disks_and_their_checksums(daemon, tmp_path) -> None:
    """Two disks, the second of the list the first of the guest; the checksums come last."""
    made = tmp_path / "made"
    made.mkdir()
    data = vmdks.content(), vmdks.noise(2 * vmdks.MIB, 5)
    disks = [
        {"file": f"shop-disk{number}.vmdk", "capacity": -(-len(each) // 512) * 512, "units": "byte", "unit": 2 - number}
        for number, each in enumerate(data, start=1)
    ]
    files = {str(row["file"]): appliances.disk(made, each) for row, each in zip(disks, data, strict=True)}
    files["shop.ovf"] = appliances.ovf(disks)
    files["shop.mf"] = appliances.mf(files)
    before = set(daemon.ended())
    drop(daemon, files, ["shop.ovf", "shop-disk2.vmdk", "shop-disk1.vmdk", "shop.mf"])
    ended = assert_one_job(daemon, "shop.ovf", files, before)
    assert (ended.kind, ended.code) == ("processed", ""), ended.record
    outputs = ended.record["artifacts"]["outputs"]
    assert [Path(each).name for each in outputs] == ["shop-disk1.qcow2", "shop-disk2.qcow2"]
    for output, each in zip(outputs, reversed(data), strict=True):
        (tmp_path / "expected.raw").write_bytes(each)
        qemu_img("compare", "-f", "raw", "-F", "qcow2", tmp_path / "expected.raw", output)


def test_what_belongs_together_is_shown_and_cancelled_as_one(daemon, tmp_path) -> None:
    vmdks.made_by_qemu(tmp_path, "twoGbMaxExtentFlat", name="shown.vmdk")
    files = group(tmp_path)
    stray = "an extent of a split disk; its descriptor is not here"
    daemon.drop("shown-f001.vmdk", files["shown-f001.vmdk"])
    assert until_shown(daemon, "waiting", "shown-f001.vmdk")["shown-f001.vmdk"] == stray
    (tmp_path / "shown.ovf").write_text('<Envelope><References><File href="shown.vmdk"/></References></Envelope>')
    daemon.drop("shown.ovf", (tmp_path / "shown.ovf").read_bytes())
    assert until_shown(daemon, "waiting", "shown.ovf")["shown.ovf"] == "shown.vmdk is not here"
    assert daemon.api.status()["waiting"] == 2
    daemon.api.cancel_job("shown.ovf")
    assert outcome(daemon, "shown.ovf").record["status"] == "cancelled"
    assert os.listdir(daemon.base / "to_be_processed") == ["shown-f001.vmdk"]
    daemon.api.cancel_job("shown-f001.vmdk")
    assert outcome(daemon, "shown-f001.vmdk").record["companions"] == []


def test_a_checkpoint_of_hyper_v_and_its_parent(daemon, tmp_path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    data, size, top = os.urandom(vhds.MIB), 3 * vhds.MIB, "web01_7E3F.avhdx"
    vhds.vhdx(made / "base.vhdx", size, {0: data}, data_id=vhds.BASE_ID)
    vhds.vhdx(made / top, size, {vhds.SECTOR: b"x" * 4096}, parent=vhds.linkage(vhds.BASE_ID))
    files, before = group(made), set(daemon.ended())
    drop(daemon, files, [top, "base.vhdx"])
    expected = vmdks.applied(data.ljust(size, b"\0"), {vhds.SECTOR: b"x" * 4096})
    assert_holds(assert_one_job(daemon, top, files, before), expected, tmp_path)

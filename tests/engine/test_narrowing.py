"""What a worker can still reach once it has narrowed itself to its guest, and what not."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hypersdkd.engine import narrowing
from hypersdkd.engine.guest_files import WorkOrder, fresh_work, remove_work
from hypersdkd.engine.narrowing import narrow
from hypersdkd.host.landlock import version
from hypersdkd.model.guest import DiskSource
from tests import images
from tests.engine.guests import make_guest
from tests.host.apart import Probe, apart

pytestmark = pytest.mark.skipif(not version(), reason="this kernel has no Landlock")


@pytest.fixture
def exports(tmp_path: Path) -> Path:
    directory = tmp_path / "exports"
    directory.mkdir()
    for name in ("disk.vmdk", "disk-flat.vmdk", "other.raw"):
        (directory / name).write_text("content")
    return directory


def order_for(tmp_path: Path, source: Path, source_type: str, **fields: object) -> tuple[Path, WorkOrder]:
    directory, order = make_guest(tmp_path)
    guest = replace(order.guest, disks=(DiskSource(source_type, str(source)),))
    order = replace(order, guest=guest, **fields)
    order.write(directory)
    return directory, order


def narrowed(directory: Path, order: WorkOrder, **probes: Probe) -> Mapping[str, str]:
    def confine() -> None:
        fresh_work(directory)
        assert narrow(directory, order) is None or version() < 6

    return apart(confine, **probes)


def test_a_guests_own(tmp_path: Path, exports: Path) -> None:
    directory, order = order_for(tmp_path, exports / "disk.vmdk", "vmdk")
    (directory / "journal.jsonl").touch()
    (tmp_path / "other").mkdir()
    output, other = tmp_path / "output", tmp_path / "other"
    found = narrowed(
        directory,
        order,
        source=(exports / "disk.vmdk").read_text,
        beside=(exports / "disk-flat.vmdk").read_text,
        own_order=lambda: WorkOrder.read(directory),
        journal=(directory / "journal.jsonl").read_text,
        work=lambda: (directory / "work" / "overlay").write_text("x"),
        temporary=lambda: tempfile.TemporaryFile(dir=os.environ["TMPDIR"]).close(),
        output=lambda: (output / ".part").write_text("x"),
        name=lambda: (output / ".part").rename(output / "disk"),
        empty=lambda: remove_work(directory),
        evidence=lambda: (directory / "artifacts" / "boot.png").write_text("x"),
        passwords=Path("/etc/shadow").read_text,
        tokens=lambda: os.listdir("/etc"),
        change_source=lambda: (exports / "disk.vmdk").write_text(""),
        new_beside=lambda: (exports / "new").write_text(""),
        change_order=lambda: (directory / "guest.json").write_text("{}"),
        replace_order=lambda: (directory / "work" / "x").rename(directory / "guest.json"),
        new_module=lambda: (directory / "json.py").write_text(""),
        remove_journal=lambda: (directory / "journal.jsonl").unlink(),
        change_journal=lambda: (directory / "journal.jsonl").write_text(""),
        remove_log=lambda: (directory / "worker.log").symlink_to("/etc/shadow"),
        other=lambda: (other / "x").write_text(""),
    )
    allowed = {"source", "beside", "own_order", "journal", "work", "temporary", "output", "name", "empty", "evidence"}
    assert {name for name, result in found.items() if result == "ok"} == allowed
    assert os.listdir(directory / "work") == []


def test_a_source_that_is_one_file_is_all_that_is_seen(tmp_path: Path, exports: Path) -> None:
    directory, order = order_for(tmp_path, exports / "other.raw", "raw")
    found = narrowed(
        directory, order, source=(exports / "other.raw").read_text, beside=(exports / "disk.vmdk").read_text
    )
    assert found == {"source": "ok", "beside": "PermissionError"}


def test_in_the_queue_only_what_belongs_to_the_source(tmp_path: Path) -> None:
    queue = tmp_path / "processing"
    queue.mkdir()
    names = {
        "web01-000002.vmdk": "ok",  # the source
        "web01.vmdk": "ok",
        "web01-flat.vmdk": "ok",
        "WEB01.vmdk": "PermissionError",
        "web01-000001-s001.vmdk": "ok",
        "web01.extra.vmdk": "PermissionError",
        "web010.vmdk": "PermissionError",
        "db.vmdk": "PermissionError",
        "template.vmdk": "ok",  # a companion
        "other.json": "PermissionError",
    }
    for name in names:
        (queue / name).write_text("x")
    fields = {"queue": (str(queue),), "companions": ("template.vmdk",)}
    directory, order = order_for(tmp_path, queue / "web01-000002.vmdk", "vmdk", **fields)
    found = narrowed(directory, order, listing=lambda: os.listdir(queue), **{n: (queue / n).read_text for n in names})
    assert found.pop("listing") == "PermissionError"
    assert found == names


def test_a_source_that_may_not_be_one_opens_nothing(tmp_path: Path, exports: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    (exports / "link.vmdk").symlink_to(secret)
    for path in (secret, exports / "link.vmdk", exports / "missing"):
        here = tmp_path / f"for-{path.name}"
        here.mkdir()
        directory, order = order_for(here, path, "vmdk", source_roots=(str(exports),))
        assert narrowed(directory, order, secret=secret.read_text) == {"secret": "PermissionError"}


def test_the_outputs_directory_is_made_and_nothing_above_it_is_open(tmp_path: Path, exports: Path) -> None:
    directory, order = order_for(tmp_path, exports / "other.raw", "raw")
    deep = tmp_path / "output" / "customer" / "deep"
    order = replace(order, guest=replace(order.guest, outputs=(str(deep / "web01.raw"),), output_name=""))
    found = narrowed(
        directory,
        order,
        inside=lambda: (deep / "x").write_text("x"),
        above=lambda: (deep.parent / "x").write_text("x"),
        listing=lambda: os.listdir(tmp_path / "output"),
    )
    assert found == {"inside": "ok", "above": "PermissionError", "listing": "PermissionError"}


@pytest.mark.parametrize(("wish", "result"), [({"enabled": True}, "ok"), ({"enabled": False}, "PermissionError")])
def test_local_sockets_are_for_guests_that_are_changed(
    tmp_path: Path, exports: Path, wish: dict[str, object], result: str
) -> None:

    directory, order = order_for(tmp_path, exports / "other.raw", "raw")
    order = replace(order, guest=replace(order.guest, fix=wish))
    found = narrowed(
        directory,
        order,
        local=lambda: socket.socket(socket.AF_UNIX).close(),
        other=lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    )
    assert found == {"local": result, "other": "PermissionError"}


def test_modules_can_still_be_imported(tmp_path: Path, exports: Path) -> None:
    directory, order = order_for(tmp_path, exports / "other.raw", "raw")

    def late() -> None:
        import xml.dom.minidom  # noqa: F401

        import oslo_utils.imageutils.format_inspector  # noqa: F401

    assert narrowed(directory, order, late=late) == {"late": "ok"}


def test_a_kernel_that_cannot_is_a_warning(tmp_path: Path, exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, order = order_for(tmp_path, exports / "other.raw", "raw")
    monkeypatch.setattr(narrowing, "confine_self", lambda *_rules, **_sockets: None)
    monkeypatch.setattr(narrowing, "shortcoming", lambda: "send signals to the daemon")
    for variable in ("TMPDIR", "XDG_RUNTIME_DIR", "LIBGUESTFS_CACHEDIR"):
        monkeypatch.setenv(variable, "")
    problem = narrow(directory, order)
    assert problem is not None
    assert (problem.code, "send signals" in problem.message, bool(problem.remedy)) == ("worker-unconfined", True, True)
    assert os.environ["TMPDIR"] == str(directory / "work")


@pytest.mark.skipif(os.geteuid() != 0, reason="that takes root")
def test_roots_appliance_has_its_sockets_in_a_tmp_of_its_own(tmp_path: Path, exports: Path) -> None:
    directory, order = order_for(tmp_path, exports / "other.raw", "raw")
    order = replace(order, guest=replace(order.guest, fix={"fstab": {"enabled": True}}))

    def use_tmp() -> None:
        made = Path(tempfile.mkdtemp(dir="/tmp"))
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(made / "socket"))
        (made / "socket").unlink()
        made.rmdir()

    found = narrowed(
        directory,
        order,
        use_tmp=use_tmp,
        source=(exports / "other.raw").read_text,
        output=lambda: (tmp_path / "output" / ".part").write_text("x"),
        work=lambda: (directory / "work" / "x").write_text("x"),
        change_source=lambda: (exports / "other.raw").write_text(""),
        change_order=lambda: (directory / "guest.json").write_text(""),
        beside=(exports / "disk.vmdk").read_text,
    )
    assert {name for name, result in found.items() if result == "ok"} == {"use_tmp", "source", "output", "work"}
    assert (exports / "other.raw").read_text() == "content"


def test_backing_files_where_sources_may_be(tmp_path: Path, exports: Path) -> None:
    templates, outside = tmp_path / "templates", tmp_path / "outside"
    for place in (templates, outside):
        place.mkdir()
        images.make(place / "base.qcow2", size=1 << 20)
        (place / "other.raw").write_text("x")
    images.qemu_img("create", "-f", "qcow2", "-b", templates / "base.qcow2", "-F", "qcow2", exports / "top.qcow2")
    images.qemu_img("create", "-f", "qcow2", "-b", outside / "base.qcow2", "-F", "qcow2", exports / "evil.qcow2")
    roots = (str(exports), str(templates))
    here = tmp_path / "here"
    here.mkdir()
    probes = {str(place): (place / "base.qcow2").read_bytes for place in (templates, outside)}
    for name, found in (("top", {"templates"}), ("evil", set())):
        (here / name).mkdir()
        directory, order = order_for(here / name, exports / f"{name}.qcow2", "qcow2", source_roots=roots)
        reached = narrowed(directory, order, **probes)
        assert {Path(place).name for place, result in reached.items() if result == "ok"} == found


def test_a_guest_that_is_looked_into_has_its_keys_and_the_appliance(
    tmp_path: Path, exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache/hypersdkd-appliance"
    cache.mkdir(parents=True)
    monkeypatch.setenv("LIBGUESTFS_CACHEDIR", str(cache.parent))
    for path in (cache / "kernel", tmp_path / "keys", tmp_path / "other"):
        path.write_text("x")
    directory, order = order_for(tmp_path, exports / "other.raw", "raw")
    order = replace(order, guest=replace(order.guest, inspect={"luks_key_file": str(tmp_path / "keys")}))
    found = narrowed(
        directory,
        order,
        kernel=lambda: (cache / "kernel").read_text(),
        poison=lambda: (cache / "kernel").write_text("y"),
        keys=lambda: (tmp_path / "keys").read_text(),
        other=lambda: (tmp_path / "other").read_text(),
    )
    assert {name for name, result in found.items() if result == "ok"} == {"kernel", "keys"}

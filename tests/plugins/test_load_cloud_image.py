"""A cloud image: one disk in an archive or compressed, and nothing that could be two things."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest
from hypersdkd_plugins import load_cloud_image

from hypersdkd.model.guest import DiskSource, FilePromise, Guest
from tests import appliances, vmdks
from tests.plugins.context import MemoryContext
from tests.problems import raises_problem

DATA = vmdks.content()


def loaded(tmp_path: Path, path: Path, **promised: object) -> MemoryContext:
    guest = Guest("web01", (DiskSource("ami", str(path), **promised),))  # type: ignore[arg-type]
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    context = MemoryContext(guest, work, (tmp_path,))
    disk = load_cloud_image.load(context, guest.disks[0])  # type: ignore[arg-type]
    disk.release()
    context.disks = [disk]
    return context


def test_the_loader_is_declared() -> None:
    (loader,) = load_cloud_image.hypersdkd_loaders()
    assert loader.source_types == {"ami"}


def test_a_plain_archive_is_read_in_place(tmp_path: Path) -> None:
    path = appliances.ova(tmp_path / "image.tar", {"README": b"words", "disk.raw": DATA})
    context = loaded(tmp_path, path)
    assert list(context.work.iterdir()) == []
    fact = context.findings["source"]
    assert isinstance(fact, dict)
    assert (fact["member"], fact["compression"], fact["format"]) == ("disk.raw", "", "raw")


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"README": b"words"}, "image-unsupported"),
        ({"a.raw": DATA, "b.qcow2": DATA}, "image-unsupported"),
        ({"../disk.raw": DATA}, "source-outside"),
        ({"/disk.raw": DATA}, "source-outside"),
        ({"disk.raw": b"words" * 100}, None),
        ({"in/._disk.raw": b"of a Mac", "in/disk.raw": DATA}, None),
    ],
)
def test_archives(tmp_path: Path, members: dict[str, bytes], code: str | None) -> None:
    path = appliances.ova(tmp_path / "image.tar", members)
    if code is None:
        assert loaded(tmp_path, path).disks
        return
    with raises_problem(code):
        loaded(tmp_path, path)


def test_a_raw_disk_that_begins_like_another_format(tmp_path: Path) -> None:
    content = appliances.disk(tmp_path, DATA, "qcow2")
    with raises_problem("source-type-mismatch"):
        loaded(tmp_path, appliances.ova(tmp_path / "image.tar", {"disk.raw": content}))
    context = loaded(tmp_path, appliances.ova(tmp_path / "image.tar", {"disk.img": content}))
    assert context.disks[0].format == "qcow2"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("disk.vmdk.gz", bytes(3 << 20), "image-truncated"),
        ("disk.qcow2.gz", DATA, "source-type-mismatch"),
        ("disk.vhd.gz", DATA, "image-truncated"),
        ("disk.VHDX.gz", DATA, "source-type-mismatch"),
    ],
)
def test_a_compressed_disk_is_what_its_name_says(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    """Whatever had lost its header came out as a raw disk of rubbish."""
    (tmp_path / name).write_bytes(appliances.gz(content))
    with raises_problem(code, name.removesuffix(".gz")) as caught:
        loaded(tmp_path, tmp_path / name)
    assert "source_type" not in caught[0].remedy


def test_a_compressed_raw_disk_that_begins_like_another_format(tmp_path: Path) -> None:
    content = appliances.gz(appliances.disk(tmp_path, DATA, "qcow2"))
    for name in ("disk.raw.gz", "disk.img.gz"):
        (tmp_path / name).write_bytes(content)
    with raises_problem("source-type-mismatch") as caught:
        loaded(tmp_path, tmp_path / "disk.raw.gz")
    assert ".img" in caught[0].remedy
    assert "trust_source_type" in caught[0].remedy
    assert loaded(tmp_path, tmp_path / "disk.img.gz").disks[0].format == "qcow2"


def test_what_is_behind_an_odd_end_is_no_part_of_the_disk(tmp_path: Path) -> None:
    path = appliances.ova(tmp_path / "image.tar", {"disk.raw": b"words" * 100})
    content = bytearray(path.read_bytes())
    content[512 + 505] = 1
    path.write_bytes(bytes(content))
    with raises_problem("image-invalid"):
        loaded(tmp_path, path)


def test_a_link_is_no_disk(tmp_path: Path) -> None:
    path = appliances.ova(tmp_path / "image.tar", {})
    with tarfile.open(path, "a", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("disk.raw")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(member)
    with raises_problem("source-not-regular"):
        loaded(tmp_path, path)


def test_empty_and_of_another_size(tmp_path: Path) -> None:
    (tmp_path / "a.ami").write_bytes(b"")
    with raises_problem("image-empty"):
        loaded(tmp_path, tmp_path / "a.ami")


def test_what_a_manifest_promises_is_held_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "disk.raw.gz"
    path.write_bytes(appliances.gz(DATA))
    right = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    context = loaded(tmp_path, path, checksum=right.upper().replace("SHA", "sha"), size=path.stat().st_size)
    assert context.checks == [("source-checksum", True, right)]
    assert context.findings["source"]["checksum"] == right  # type: ignore[index]
    (tmp_path / "work" / "unpacked-1").unlink()
    with raises_problem("source-changed", "does not need"):
        loaded(tmp_path, path, files=(FilePromise("another"),))
    with raises_problem("source-changed", "checksum"):
        loaded(tmp_path, path, checksum="sha256:" + "0" * 64)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_guest_of_several(tmp_path: Path) -> None:
    """Each is unpacked into a file of its own: the second found the first one's, and failed."""
    sources = []
    for name in ("a.raw.gz", "b.raw.gz"):
        (tmp_path / name).write_bytes(appliances.gz(name.encode() * 1024))
        sources.append(DiskSource("ami", str(tmp_path / name)))
    (tmp_path / "work").mkdir()
    context = MemoryContext(Guest("web01", tuple(sources)), tmp_path / "work", (tmp_path,))
    for source in sources:
        disk = load_cloud_image.load(context, source)  # type: ignore[arg-type]
        disk.release()
        assert disk.files[1].path.read_bytes() == Path(source.source_path).name.encode() * 1024

"""An appliance is let through only if each of its disks is whole, safe, and the one that its descriptor means."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from hypersdkd_plugins import load_ova

from hypersdkd.model.guest import DiskSource, Guest
from tests import appliances, images, vmdks
from tests.appliances import disk, mf, ova, ovf
from tests.plugins.context import MemoryContext
from tests.problems import raises_problem

DATA = vmdks.content()
SIZE = -(-len(DATA) // 512) * 512
CANARY = b"canary: no guest may ever hold this\n".ljust(65536, b".")


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    return disk(tmp_path, DATA)


def one(**more: object) -> dict[str, object]:
    return {"file": "disk1.vmdk", "capacity": SIZE, "units": "byte", **more}


def loaded(tmp_path: Path, path: Path, **wishes: object) -> MemoryContext:
    kind = path.suffix[1:]
    guest = Guest("web01", (DiskSource(kind, str(path), **wishes),))  # type: ignore[arg-type]
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)
    context = MemoryContext(guest, work, (tmp_path,))
    load = load_ova.load_ova if kind == "ova" else load_ova.load_ovf
    try:
        context.disks = list(load(context, guest.disks[0]))  # type: ignore[arg-type]
    finally:
        for each in context.disks:
            each.release()
    return context


def test_the_loaders_are_declared() -> None:
    assert [loader.source_types for loader in load_ova.hypersdkd_loaders()] == [{"ova"}, {"ovf"}]


def test_facts_and_no_copy(tmp_path: Path, image: bytes) -> None:
    """A member is read where it lies: nothing is written. What the descriptor says goes to the report."""
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image}
    context = loaded(tmp_path, ova(tmp_path / "web01.ova", {**members, "web01.mf": mf(members)}))
    assert list(context.work.iterdir()) == []
    found = context.findings
    assert found["nics"] == [{"mac": "00:50:56:aa:bb:01", "network": "VM Network", "adapter": "VmxNet3"}]
    assert found["hardware"]["memory_bytes"] == 4 << 30  # type: ignore[index]
    assert found["source_disks"] == [
        {
            "file": "disk1.vmdk",
            "address": "scsi0:0",
            "format": "vmdk",
            "variant": "streamOptimized",
            "virtual_size": SIZE,
        }
    ]
    assert [(name, passed) for name, passed, _ in context.checks] == [("source-checksum", True)] * 2
    assert [each.virtual_size for each in context.disks] == [SIZE]


def test_a_wrong_checksum_can_be_passed_over(tmp_path: Path, image: bytes) -> None:
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image, "web01.mf": mf({"disk1.vmdk": b"another"})}
    path = ova(tmp_path / "web01.ova", members)
    with raises_problem("source-checksum"):
        loaded(tmp_path, path)
    context = loaded(tmp_path, path, ignore_checksums=True)
    assert [warning.code for warning in context.warnings] == ["source-checksum"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"capacity": SIZE + 512}, "image-truncated"),
        ({"size": 1 << 40}, "image-truncated"),
        ({"format": appliances.QCOW2}, "source-type-mismatch"),
        ({"file": "other.vmdk"}, "source-incomplete"),
        ({"file": "../disk1.vmdk"}, "source-incomplete"),
        ({"file": "/etc/passwd"}, "source-incomplete"),
        ({"file": "file:///etc/passwd"}, "source-incomplete"),
    ],
)
def test_a_member_that_is_not_what_is_said(tmp_path: Path, image: bytes, change: dict[str, object], code: str) -> None:
    path = ova(tmp_path / "web01.ova", {"web01.ovf": ovf([one(**change)]), "disk1.vmdk": image})
    with raises_problem(code):
        loaded(tmp_path, path)


def test_a_larger_disk_is_told_of(tmp_path: Path, image: bytes) -> None:
    path = ova(tmp_path / "web01.ova", {"web01.ovf": ovf([one(capacity=SIZE - 512)]), "disk1.vmdk": image})
    assert [warning.code for warning in loaded(tmp_path, path).warnings] == ["image-unclean"]


def test_hostile_members(tmp_path: Path) -> None:
    """A descriptor of VMware's, and a sparse disk with a parent, name files of this machine: both leak in bare qemu."""
    secret = tmp_path / "secret"
    secret.write_bytes(CANARY)
    head = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
    text = f'{head}createType="monolithicFlat"\nRW 128 FLAT "{secret}" 0\n'
    for content in (text.encode(), text.encode().ljust(512, b"\0")):
        path = ova(tmp_path / "a.ova", {"a.ovf": ovf([one(capacity=65536)]), "disk1.vmdk": content})
        with raises_problem("image-unsupported"):
            loaded(tmp_path, path)
    images.qemu_img("create", "-f", "raw", tmp_path / "base.raw", "1M")
    child = tmp_path / "child.qcow2"
    images.qemu_img("create", "-f", "qcow2", "-b", tmp_path / "base.raw", "-F", "raw", child)
    text2 = ovf([one(capacity=1 << 20, format=appliances.QCOW2)])
    path = ova(tmp_path / "b.ova", {"a.ovf": text2, "disk1.vmdk": child.read_bytes()})
    with raises_problem("image-backing"):
        loaded(tmp_path, path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_is_no_disk(tmp_path: Path, kind: bytes) -> None:
    path = ova(tmp_path / "a.ova", {"a.ovf": ovf([one()])})
    with tarfile.open(path, "a", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("disk1.vmdk")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with raises_problem("source-not-regular"):
        loaded(tmp_path, path)


def test_no_descriptor_or_two(tmp_path: Path, image: bytes) -> None:
    for members in ({"a.vmdk": image}, {"a.ovf": ovf([one()]), "b.ovf": ovf([one()])}):
        with raises_problem("image-invalid"):
            loaded(tmp_path, ova(tmp_path / "a.ova", members))
    (tmp_path / "words.ova").write_bytes(b"words" * 500)
    with raises_problem("source-type-mismatch"):
        loaded(tmp_path, tmp_path / "words.ova")


@pytest.mark.parametrize(
    "href", ["../secret.vmdk", "/etc/passwd", "sub/disk.vmdk", "http://192.0.2.1/disk.vmdk", "%2e%2e/secret.vmdk"]
)
def test_files_beside_an_ovf_only(tmp_path: Path, href: str) -> None:
    """A reference leads to a sibling or nowhere."""
    place = tmp_path / "export"
    place.mkdir()
    (tmp_path / "secret.vmdk").write_bytes(CANARY)
    (place / "web01.ovf").write_bytes(ovf([one(file=href)]))
    with raises_problem("source-outside"):
        loaded(tmp_path, place / "web01.ovf")


def test_a_link_beside_an_ovf(tmp_path: Path) -> None:
    place = tmp_path / "export"
    place.mkdir()
    (tmp_path / "secret").write_bytes(CANARY)
    (place / "disk1.vmdk").symlink_to(tmp_path / "secret")
    (place / "web01.ovf").write_bytes(ovf([one()]))
    with raises_problem("source-not-regular"):
        loaded(tmp_path, place / "web01.ovf")


def test_an_escaped_name_is_the_file_that_it_means(tmp_path: Path, image: bytes) -> None:
    (tmp_path / "my disk.vmdk").write_bytes(image)
    (tmp_path / "web01.ovf").write_bytes(ovf([one(file="my%20disk.vmdk")]))
    assert [each.path.name for each in loaded(tmp_path, tmp_path / "web01.ovf").disks] == ["my disk.vmdk"]


def test_a_bomb_in_a_member(tmp_path: Path) -> None:
    """What is compressed may hold what its disk can, and no more."""
    members = {"a.ovf": ovf([one(compression="gzip", capacity=1 << 20)]), "disk1.vmdk": appliances.gz(bytes(200 << 20))}
    with raises_problem("image-limits"):
        loaded(tmp_path, ova(tmp_path / "a.ova", members))
    assert list((tmp_path / "work").iterdir()) == []

"""An appliance is let through only if each of its disks is whole, safe, and the one that its descriptor means."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypersdkd_plugins import load_ova

from hypersdkd.model.guest import DiskSource, FilePromise, Guest
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


def test_what_is_compressed_as_a_whole_is_verified_too(tmp_path: Path, image: bytes) -> None:
    members = {"web01.ovf": ovf([one(compression="gzip")]), "disk1.vmdk": appliances.gz(image)}
    for number, promised in enumerate((members, {**members, "disk1.vmdk": b"another"})):
        path = ova(tmp_path / f"{number}.ova", {**members, "web01.mf": mf(promised)})
        path.write_bytes(appliances.gz(path.read_bytes()))
        if promised is not members:
            with raises_problem("source-checksum", "disk1.vmdk"):
                loaded(tmp_path, path)
            continue
        context = loaded(tmp_path, path)
        assert ([disk.virtual_size for disk in context.disks], len(context.checks)) == ([SIZE], 2)
        assert context.findings["source"]["file_size"] == path.stat().st_size  # type: ignore[index]
    (tmp_path / "2.ova").write_bytes(appliances.gz(image))
    with raises_problem("source-type-mismatch", "2.ova is claimed to be ova"):
        loaded(tmp_path, tmp_path / "2.ova")


def test_a_wrong_checksum_can_be_passed_over(tmp_path: Path, image: bytes) -> None:
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image}
    members["web01.mf"] = mf({**members, "disk1.vmdk": b"another"})
    path = ova(tmp_path / "web01.ova", members)
    with raises_problem("source-checksum"):
        loaded(tmp_path, path)
    context = loaded(tmp_path, path, ignore_checksums=True)
    assert [warning.code for warning in context.warnings] == ["source-checksum"]


def test_an_archive_is_no_descriptor_however_large_it_is(tmp_path: Path, image: bytes) -> None:
    path = ova(tmp_path / "web01.ova", {"web01.ovf": ovf([one()]), "disk1.vmdk": image, "more": bytes(5 << 20)})
    with raises_problem("source-type-mismatch", "its content is ova"):
        loaded(tmp_path, path.rename(path.with_suffix(".ovf")))


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
    with raises_problem(code) as caught:
        loaded(tmp_path, path)
    assert "source_type" not in caught[0].remedy  # which is the appliance's


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
    """Of several the one that is called like the archive counts, and where that is none, or two, nobody guesses."""
    text, other = ovf([one()], name="this"), ovf([one(file="else.vmdk")], name="that")
    two = {"b.ovf": other, "A.ovf": text, "disk1.vmdk": image}
    for name, members in (
        ("a", {"a.vmdk": image}),
        ("c", two),
        ("a", {**two, "in/a.ovf": text}),
        ("a", {"._a.ovf": text, "a.vmdk": image}),
    ):
        with raises_problem("image-invalid", ".ovf"):
            loaded(tmp_path, ova(tmp_path / f"{name}.ova", members))
    assert len(loaded(tmp_path, ova(tmp_path / "a.ova", two)).disks) == 1
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


# -- checksums -------------------------------------------------------------------------------------------


def digest(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["ova", "ovf"])
def test_what_a_manifest_promises_of_the_file_is_held(tmp_path: Path, image: bytes, kind: str) -> None:
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image}
    for name, content in members.items():
        (tmp_path / name).write_bytes(content)
    path = ova(tmp_path / "web01.ova", members) if kind == "ova" else tmp_path / "web01.ovf"
    right = digest(path)
    context = loaded(tmp_path, path, checksum=right, size=path.stat().st_size)
    assert context.checks == [("source-checksum", True, right)]
    fact = dict(context.findings["source"])  # type: ignore[call-overload]
    if kind == "ovf":
        assert [row["bytes"] for row in fact.pop("files")] == [path.stat().st_size, len(image)]
    assert fact == {
        "path": str(path),
        "format": kind,
        "file_size": path.stat().st_size,
        "checksum": right,
        "checksums": {"file": "", "verified": 0},
    }
    with raises_problem("source-changed", "checksum"):
        loaded(tmp_path, path, checksum="sha256:" + "0" * 64, ignore_checksums=True)
    with raises_problem("source-changed", "bytes"):
        loaded(tmp_path, path, size=5)


def test_what_a_manifest_promises_of_files_beside_a_descriptor_is_held(tmp_path: Path, image: bytes) -> None:
    for name, content in {"web01.ovf": ovf([one(compression="gzip")]), "disk1.vmdk": appliances.gz(image)}.items():
        (tmp_path / name).write_bytes(content)
    path, right = tmp_path / "web01.ovf", FilePromise("disk1.vmdk", checksum=digest(tmp_path / "disk1.vmdk"))
    assert loaded(tmp_path, path, files=(right,)).checks == [("source-checksum", True, right.checksum)]
    for wrong, match in ((replace(right, checksum="sha256:" + "0" * 64), "checksum"), (replace(right, path="a"), "/a")):
        with raises_problem("source-changed", match):
            loaded(tmp_path, path, files=(wrong,))
    path = ova(tmp_path / "web01.ova", {"web01.ovf": ovf([one()]), "disk1.vmdk": image})
    with raises_problem("source-changed", "does not need"):
        loaded(tmp_path, path, files=(right,))


def beside(place: Path, members: Mapping[str, bytes]) -> Path:
    """The same files as an OVF in a directory."""
    place.mkdir()
    for name, content in members.items():
        (place / name).write_bytes(content)
    return place / "web01.ovf"


@pytest.mark.parametrize("kind", ["ova", "ovf"])
@pytest.mark.parametrize("listed", [(), ("web01.ovf",)])
def test_a_disk_that_the_mf_leaves_out(tmp_path: Path, image: bytes, kind: str, listed: tuple[str, ...]) -> None:
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image}
    members["web01.mf"] = mf({name: members[name] for name in listed})
    path = ova(tmp_path / "web01.ova", members) if kind == "ova" else beside(tmp_path / "export", members)
    with raises_problem("source-checksum", "web01.mf has no checksum of disk1.vmdk"):
        loaded(tmp_path, path)
    context = loaded(tmp_path, path, ignore_checksums=True)
    assert {warning.code for warning in context.warnings} == {"source-checksum"}
    assert len(context.disks) == 1


def test_a_descriptor_that_the_mf_leaves_out_is_told_of(tmp_path: Path, image: bytes) -> None:
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image, "web01.mf": mf({"disk1.vmdk": image})}
    (warning,) = loaded(tmp_path, ova(tmp_path / "web01.ova", members)).warnings
    assert (warning.code, "web01.ovf" in warning.message) == ("source-checksum", True)


@pytest.mark.parametrize("kind", ["ova", "ovf"])
@pytest.mark.parametrize("name", ["./disk 1.vmdk", "disk%201.vmdk", "./disk%201.vmdk", "disk 1.vmdk"])
def test_a_name_is_verified_however_it_is_spelt(tmp_path: Path, image: bytes, kind: str, name: str) -> None:
    members = {"web01.ovf": ovf([one(file="disk%201.vmdk")]), "disk 1.vmdk": image}
    right = members | {"web01.mf": mf({"web01.ovf": members["web01.ovf"], name: image})}
    wrong = members | {"web01.mf": mf({"web01.ovf": members["web01.ovf"], name: b"another"})}
    path = ova(tmp_path / "web01.ova", right) if kind == "ova" else beside(tmp_path / "right", right)
    context = loaded(tmp_path, path)
    assert context.findings["source"]["checksums"] == {"file": "web01.mf", "verified": 2}  # type: ignore[index]
    assert context.warnings == []
    path = ova(tmp_path / "web01.ova", wrong) if kind == "ova" else beside(tmp_path / "wrong", wrong)
    with raises_problem("source-checksum"):
        loaded(tmp_path, path)


@pytest.mark.parametrize("kind", ["ova", "ovf"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"MD5(disk1.vmdk)= d41d8cd98f00b204e9800998ecf8427e\n", "image-invalid"),
        (b"words", "image-invalid"),
        (b" " * (1 << 21), "image-limits"),
    ],
)
def test_a_mf_that_cannot_be_read_can_be_passed_over(
    tmp_path: Path, image: bytes, kind: str, text: bytes, code: str
) -> None:
    """There was no way past it but to pack the appliance anew."""
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image, "web01.mf": text}
    path = ova(tmp_path / "web01.ova", members) if kind == "ova" else beside(tmp_path / "export", members)
    with raises_problem(code) as caught:
        loaded(tmp_path, path)
    assert "load.ignore_checksums" in caught[0].remedy
    context = loaded(tmp_path, path, ignore_checksums=True)
    assert (len(context.disks), [warning.message for warning in context.warnings]) == (1, [caught[0].message])
    assert context.findings["source"]["checksums"] == {"file": "", "verified": 0}  # type: ignore[index]


@pytest.mark.parametrize("kind", ["ova", "ovf"])
def test_names_are_compared_as_they_are_and_not_as_they_are_shown(tmp_path: Path, image: bytes, kind: str) -> None:
    """A no-break space, which macOS types easily, is shown escaped: no file was found under that name."""
    text = ovf([one(file="my\xa0disk.vmdk")])
    members = {"web\xa001.ovf": text, "my\xa0disk.vmdk": image}
    members["web\xa001.mf"] = mf(members)
    if kind == "ova":
        path = ova(tmp_path / "web01.ova", members)
    else:
        path = beside(tmp_path / "export", members).with_name("web\xa001.ovf")
    context = loaded(tmp_path, path)
    assert ([passed for _, passed, _ in context.checks], context.warnings) == ([True, True], [])


def test_extents_are_verified_and_must_be_covered(tmp_path: Path) -> None:
    place = tmp_path / "export"
    place.mkdir()
    vmdks.made_by_qemu(place, "monolithicFlat", name="disk1.vmdk")
    (place / "web01.ovf").write_bytes(ovf([one()]))
    files = {name: (place / name).read_bytes() for name in ("web01.ovf", "disk1.vmdk", "disk1-flat.vmdk")}
    (place / "web01.mf").write_bytes(mf(files))
    assert len(loaded(tmp_path, place / "web01.ovf").checks) == 3
    (place / "web01.mf").write_bytes(mf({**files, "disk1-flat.vmdk": b"another"}))
    with raises_problem("source-checksum", "disk1-flat.vmdk has the checksum"):
        loaded(tmp_path, place / "web01.ovf")
    del files["disk1-flat.vmdk"]
    (place / "web01.mf").write_bytes(mf(files))
    with raises_problem("source-checksum", "no checksum of disk1-flat.vmdk"):
        loaded(tmp_path, place / "web01.ovf")


def test_one_mf_counts_or_none(tmp_path: Path, image: bytes) -> None:
    """The one that is called like the descriptor; of others alone the only one."""
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": image}
    right, wrong = mf(members), mf({**members, "disk1.vmdk": b"another"})
    context = loaded(tmp_path, ova(tmp_path / "web01.ova", {"a.mf": wrong, **members, "WEB01.mf": right}))
    assert context.findings["source"]["checksums"]["file"] == "WEB01.mf"  # type: ignore[index]
    with raises_problem("source-checksum"):
        loaded(tmp_path, ova(tmp_path / "web01.ova", {"web01.mf": wrong, **members, "a.mf": right}))
    assert len(loaded(tmp_path, ova(tmp_path / "web01.ova", {**members, "a.mf": right})).checks) == 2
    for several in ({"a.mf": right, "b.mf": right}, {"web01.mf": right, "WEB01.mf": right}):
        with raises_problem("image-invalid", ".mf"):
            loaded(tmp_path, ova(tmp_path / "web01.ova", {**members, **several}))


def test_a_member_with_holes_is_verified_as_it_was(tmp_path: Path) -> None:
    """Its checksum is that of the file, not of what the archive holds of it."""
    raw = bytes(4 << 20) + DATA[: 1 << 20]
    (tmp_path / "disk1.raw").write_bytes(raw)
    text = ovf([one(file="disk1.raw", capacity=len(raw), format="raw")])
    for number, promised in enumerate((raw, b"another")):
        files = {"web01.ovf": text, "web01.mf": mf({"web01.ovf": text, "disk1.raw": promised})}
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        subprocess.run(["cp", "--sparse=always", "disk1.raw", f"{number}.raw"], cwd=tmp_path, check=True)
        words = ["tar", "--format=gnu", "-S", f"--transform=s/^{number}.raw/disk1.raw/", "-cf", "web01.ova"]
        subprocess.run([*words, *files, f"{number}.raw"], cwd=tmp_path, check=True)
        if promised is raw:
            assert [each.virtual_size for each in loaded(tmp_path, tmp_path / "web01.ova").disks] == [len(raw)]
            continue
        with raises_problem("source-checksum"):
            loaded(tmp_path, tmp_path / "web01.ova")


# -- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "name"),
    [
        ("./disk1.vmdk", "disk1.vmdk"),
        ("disk1.vmdk", "./disk1.vmdk"),
        ("sub/disk1.vmdk", "sub/disk1.vmdk"),
        ("my%20disk.vmdk", "my disk.vmdk"),
        ("my%20disk.vmdk", "my%20disk.vmdk"),
        ("100%.vmdk", "100%.vmdk"),
    ],
)
@pytest.mark.parametrize("directory", ["", "export/", "./a/b/"])
def test_a_member_is_found_where_the_descriptor_lies(
    tmp_path: Path, image: bytes, href: str, name: str, directory: str
) -> None:
    text = ovf([one(file=href)])
    members = {"web01.ovf": text, name: image, "web01.mf": mf({"web01.ovf": text, href: image})}
    context = loaded(tmp_path, ova(tmp_path / "a.ova", {f"{directory}{each}": data for each, data in members.items()}))
    assert (len(context.disks), len(context.checks), context.warnings) == (1, 2, [])


@pytest.mark.parametrize("href", ["../disk1.vmdk", "/export/disk1.vmdk", "%2e%2e/disk1.vmdk", "export/disk1.vmdk", "."])
def test_a_reference_leads_nowhere_else(tmp_path: Path, image: bytes, href: str) -> None:
    members = {"export/web01.ovf": ovf([one(file=href)]), "disk1.vmdk": image, "export/sub/disk1.vmdk": image}
    with raises_problem("source-incomplete"):
        loaded(tmp_path, ova(tmp_path / "a.ova", members))


def test_two_disks_in_one_file_by_two_names(tmp_path: Path, image: bytes) -> None:
    members = {"a.ovf": ovf([one(), one(file="./disk%31.vmdk")]), "disk1.vmdk": image}
    with raises_problem("image-invalid", "two disks"):
        loaded(tmp_path, ova(tmp_path / "a.ova", members))


def test_a_name_beside_an_ovf_that_only_looks_escaped(tmp_path: Path, image: bytes) -> None:
    (tmp_path / "my%20disk.vmdk").write_bytes(image)
    (tmp_path / "web01.ovf").write_bytes(ovf([one(file="./my%20disk.vmdk")]))
    assert [each.path.name for each in loaded(tmp_path, tmp_path / "web01.ovf").disks] == ["my%20disk.vmdk"]

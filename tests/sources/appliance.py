"""OVA, OVF and cloud images."""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests import appliances, vmdks
from tests.appliances import disk, gz, mf, ova, ovf
from tests.sources.row import Made, Row

TEST = "qemu-img and the test, by the published layout"
DATA = vmdks.content()
SECOND = vmdks.noise(3 * vmdks.MIB + 512, 7)
SECTORS = -(-len(DATA) // 512) * 512


def one(data: bytes = DATA, **more: object) -> dict[str, object]:
    return {"file": "disk1.vmdk", "capacity": -(-len(data) // 512) * 512, "units": "byte", **more}


def plain(dialect: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        members = {"web01.ovf": ovf([one()], dialect=dialect), "disk1.vmdk": disk(here, DATA)}
        return Made(ova(here / "web01.ova", members), (DATA,))

    return make


def two_disks(here: Path) -> Made:
    """The list names the data disk first, the archive too; the controller has it second."""
    second = {"file": "data.vmdk", "capacity": len(SECOND), "units": "byte", "bus": 5, "unit": 0}
    text = ovf([second, one(bus=3, unit=1)])
    members = {"web01.ovf": text, "data.vmdk": disk(here, SECOND), "disk1.vmdk": disk(here, DATA)}
    return Made(ova(here / "web01.ova", {**members, "web01.mf": mf(members)}), (DATA, SECOND))


def compressed(here: Path) -> Made:
    members = {"web01.ovf": ovf([one(compression="gzip")]), "disk1.vmdk": gz(disk(here, DATA))}
    return Made(ova(here / "web01.ova", members), (DATA,))


def compressed_as_a_whole(packed: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        made = two_disks(here)
        path = made.path.rename(here / f"web01.ova{packed}")
        path.write_bytes(PACKERS[packed](path.read_bytes()))
        return Made(path, made.disks)

    return make


def appliance_as_image(here: Path) -> Made:
    """Its disk came out, whatever its checksums said."""
    made = wrong_checksum(here)
    path = made.path.rename(here / "web01.tar.gz")
    path.write_bytes(gz(path.read_bytes()))
    return Made(path)


def of_qcow2(here: Path) -> Made:
    members = {"vm.ovf": ovf([one(format=appliances.QCOW2)]), "disk1.vmdk": disk(here, DATA, "qcow2")}
    return Made(ova(here / "web01.ova", members), (DATA,))


def wrong_checksum(here: Path) -> Made:
    members = {"web01.ovf": ovf([one()]), "disk1.vmdk": disk(here, DATA)}
    return Made(ova(here / "web01.ova", {**members, "web01.mf": mf({"disk1.vmdk": b"other"})}))


def left_out(here: Path) -> Made:
    members = {"web01.ovf": ovf([one()])}
    members["web01.mf"] = mf(members)
    return Made(ova(here / "web01.ova", {**members, "disk1.vmdk": disk(here, DATA)}))


def in_a_directory(here: Path) -> Made:
    """As ``tar -cf web01.ova web01/`` packs it."""
    members = {"web01.ovf": ovf([one(file="./disk1.vmdk")]), "disk1.vmdk": disk(here, DATA)}
    members["web01.mf"] = mf(members)
    return Made(ova(here / "web01.ova", {f"./web01/{name}": data for name, data in members.items()}), (DATA,))


def cut(here: Path) -> Made:
    made = plain("vmware")(here)
    content = made.path.read_bytes()
    made.path.write_bytes(content[: len(content) // 2])
    return Made(made.path)


def beside(here: Path) -> Made:
    files = {"disk1.vmdk": disk(here, DATA), "data.vmdk": disk(here, SECOND)}
    second = {"file": "data.vmdk", "capacity": len(SECOND), "units": "byte", "unit": 1}
    files["web01.ovf"] = ovf([second, one(unit=0)])
    files["web01.mf"] = mf(files, "sha1", "{word} ({name}) = {digits}\r\n")
    for name, content in files.items():
        (here / name).write_bytes(content)
    return Made(here / "web01.ovf", (DATA, SECOND))


def beside_compressed(here: Path) -> Made:
    (here / "disk1.vmdk").write_bytes(gz(disk(here, DATA)))
    (here / "web01.ovf").write_bytes(ovf([one(compression="gzip")]))
    return Made(here / "web01.ovf", (DATA,))


def beside_flat(here: Path) -> Made:
    """A descriptor and its extent, as an OVF of a hypervisor's own directory has it."""
    made = vmdks.made_by_qemu(here, "monolithicFlat", name="disk1.vmdk")
    (here / "web01.ovf").write_bytes(ovf([one()]))
    assert made.name == "disk1.vmdk"
    return Made(here / "web01.ovf", (DATA,))


def without_disk(here: Path) -> Made:
    (here / "web01.ovf").write_bytes(ovf([one()]))
    return Made(here / "web01.ovf")


#: How a disk of each suffix is made: qemu's driver, and options with which it has the very size.
INNER: Mapping[str, tuple[str, ...]] = {
    "raw": ("raw",),
    "img": ("raw",),
    "qcow2": ("qcow2",),
    "vmdk": ("vmdk", "subformat=streamOptimized"),
    "vhd": ("vpc", "subformat=dynamic", "force_size=on"),
    "vhdx": ("vhdx",),
    "vdi": ("vdi",),
}


def xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=0)


def zstd(data: bytes) -> bytes:
    from backports.zstd import compress

    return compress(data)


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gz, ".xz": xz, ".zst": zstd}


def archive(suffix: str, packed: str) -> Callable[[Path], Made]:
    """A disk of that suffix in a tar archive, packed or not."""

    def make(here: Path) -> Made:
        content = disk(here, DATA, *INNER[suffix])
        path = ova(here / f"image.tar{packed}", {"README": b"words", f"disk.{suffix}": content})
        path.write_bytes(PACKERS[packed](path.read_bytes()))
        return Made(path, (DATA,))

    return make


def alone(suffix: str, packed: str) -> Callable[[Path], Made]:
    """A disk that is packed by itself."""

    def make(here: Path) -> Made:
        path = here / f"disk.{suffix}{packed}"
        path.write_bytes(PACKERS[packed](disk(here, DATA, *INNER[suffix])))
        return Made(path, (DATA,))

    return make


def without_header(here: Path) -> Made:
    """What a disk becomes when its copy began before there was anything to copy; nothing of it is raw."""
    path = here / "disk.qcow2.xz"
    content = disk(here, DATA, "qcow2")
    path.write_bytes(xz(bytes(65536) + content[65536:]))
    return Made(path)


def checksummed(algorithm: str, line: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        members = {"web01.ovf": ovf([one()]), "disk1.vmdk": disk(here, DATA)}
        return Made(ova(here / "web01.ova", {**members, "web01.mf": mf(members, algorithm, line)}), (DATA,))

    return make


def with_holes(here: Path) -> Made:
    """An OVA that was packed again by GNU tar, holes left out: its disk is a raw one."""
    data = DATA + bytes(-len(DATA) % 512) + bytes(4 * vmdks.MIB)
    (here / "disk1.vmdk").write_bytes(data)
    subprocess.run(["cp", "--sparse=always", "disk1.vmdk", "sparse"], cwd=here, check=True)
    (here / "sparse").rename(here / "disk1.vmdk")
    files = {"web01.ovf": ovf([one(data, format="http://www.example.org/raw")]), "disk1.vmdk": data}
    (here / "web01.ovf").write_bytes(files["web01.ovf"])
    (here / "web01.mf").write_bytes(mf(files))
    subprocess.run(["tar", "-S", "-cf", "web01.ova", "web01.ovf", "web01.mf", "disk1.vmdk"], cwd=here, check=True)
    for name in (*files, "web01.mf"):
        (here / name).unlink()
    return Made(here / "web01.ova", (data,))


def two_guests(here: Path) -> Made:
    text = ovf([one()]).replace(b"</Envelope>", b'<VirtualSystem ovf:id="b"><Name>b</Name></VirtualSystem></Envelope>')
    return Made(ova(here / "web01.ova", {"web01.ovf": text, "disk1.vmdk": disk(here, DATA)}))


def in_pieces(here: Path) -> Made:
    members = {"web01.ovf": ovf([one(chunkSize=1 << 20)]), "disk1.vmdk.000000000": disk(here, DATA)}
    return Made(ova(here / "web01.ova", members))


def beside_in(dialect: str) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        (here / "disk1.vmdk").write_bytes(disk(here, DATA))
        (here / "web01.ovf").write_bytes(ovf([one()], dialect=dialect))
        return Made(here / "web01.ovf", (DATA,))

    return make


def sparse(here: Path) -> Made:
    (here / "disk.raw").write_bytes(bytes(2 * vmdks.MIB) + DATA + bytes(5 * vmdks.MIB))
    data = (here / "disk.raw").read_bytes()
    subprocess.run(["cp", "--sparse=always", "disk.raw", "sparse.raw"], cwd=here, check=True)
    subprocess.run(["tar", "-S", "-cf", "image.tar", "sparse.raw"], cwd=here, check=True)
    (here / "disk.raw").unlink()
    (here / "sparse.raw").unlink()
    return Made(here / "image.tar", (data,))


def two_in_one(here: Path) -> Made:
    return Made(ova(here / "image.tar", {"a.raw": DATA, "b.raw": DATA}))


ROWS = (
    Row("ova", "OVF 1 (VMware)", TEST, plain("vmware")),
    Row("ova", "OVF 2 (VirtualBox)", TEST, plain("virtualbox")),
    Row("ova", "OVF 0.9", TEST, plain("0.9")),
    Row("ova", "two disks, listed in the wrong order, with checksums", TEST, two_disks),
    Row("ova", "checksums by SHA-1, as VMware writes them", TEST, checksummed("sha1", "{word}({name})= {digits}\n")),
    Row("ova", "checksums by SHA-256, with spaces", TEST, checksummed("sha256", "{word} ({name}) = {digits}\r\n")),
    Row("ova", "checksums by SHA-512", TEST, checksummed("sha512", "{word}({name})={digits}\n")),
    Row("ova", "a raw disk, packed with its holes left out", TEST, with_holes),
    Row("ova", "two guests", TEST, two_guests, "image-unsupported"),
    Row("ova", "a disk in pieces (chunkSize)", TEST, in_pieces, "image-unsupported"),
    Row("ova", "a member compressed by gzip", TEST, compressed),
    *(
        Row("ova", f"two disks, compressed as a whole ({packed})", TEST, compressed_as_a_whole(packed))
        for packed in (".gz", ".xz", ".zst")
    ),
    Row("ova", "a qcow2 (oVirt)", TEST, of_qcow2),
    Row("ova", "a checksum that is not its disk's", TEST, wrong_checksum, "source-checksum"),
    Row("ova", "checksums that leave its disk out", TEST, left_out, "source-checksum"),
    Row("ova", "a directory with all in it", TEST, in_a_directory),
    Row("ova", "cut in half", TEST, cut, "image-truncated"),
    Row("ovf", "OVF 1 (VMware), a disk beside it", TEST, beside_in("vmware")),
    Row("ovf", "OVF 2 (VirtualBox), a disk beside it", TEST, beside_in("virtualbox")),
    Row("ovf", "OVF 0.9, a disk beside it", TEST, beside_in("0.9")),
    Row("ovf", "two disks beside it, with checksums", TEST, beside),
    Row("ovf", "a disk compressed by gzip", TEST, beside_compressed),
    Row("ovf", "a VMDK of two files", TEST, beside_flat),
    Row("ovf", "a disk that is not there", TEST, without_disk, "source-incomplete"),
    *(
        Row("ami", f"tar{packed} of a .{suffix}", TEST, archive(suffix, packed))
        for packed in PACKERS
        for suffix in ("raw", "img", "qcow2", "vmdk", "vhd")
    ),
    *(Row("ami", f"tar of a .{suffix}", TEST, archive(suffix, "")) for suffix in ("vhdx", "vdi")),
    Row("ami", "tar with holes left out", TEST, sparse),
    *(
        Row("ami", f"{suffix}{packed}, no archive", TEST, alone(suffix, packed))
        for suffix, packed in (("raw", ".gz"), ("raw", ".xz"), ("qcow2", ".zst"))
    ),
    Row("ami", "qcow2.xz without the disk's header", TEST, without_header, "image-truncated"),
    Row("ami", "tar.gz of an appliance", TEST, appliance_as_image, "source-type-mismatch"),
    Row("ami", "tar of two disks", TEST, two_in_one, "image-unsupported"),
)

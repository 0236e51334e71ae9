"""OVA, OVF and cloud images."""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Callable
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


def archive(name: str, member: str, form: str, pack: Callable[[bytes], bytes] | None = None) -> Callable[[Path], Made]:
    def make(here: Path) -> Made:
        content = DATA if form == "raw" else disk(here, DATA, form)
        path = ova(here / name, {"README": b"words", member: content})
        if pack:
            path.write_bytes(pack(path.read_bytes()))
        return Made(path, (DATA,))

    return make


def zstd(data: bytes) -> bytes:
    from backports.zstd import compress

    return compress(data)


def sparse(here: Path) -> Made:
    (here / "disk.raw").write_bytes(bytes(2 * vmdks.MIB) + DATA + bytes(5 * vmdks.MIB))
    data = (here / "disk.raw").read_bytes()
    subprocess.run(["cp", "--sparse=always", "disk.raw", "sparse.raw"], cwd=here, check=True)
    subprocess.run(["tar", "-S", "-cf", "image.tar", "sparse.raw"], cwd=here, check=True)
    (here / "disk.raw").unlink()
    (here / "sparse.raw").unlink()
    return Made(here / "image.tar", (data,))


def alone(here: Path) -> Made:
    path = here / "disk.raw.xz"
    path.write_bytes(lzma.compress(DATA, preset=0))
    return Made(path, (DATA,))


def two_in_one(here: Path) -> Made:
    return Made(ova(here / "image.tar", {"a.raw": DATA, "b.raw": DATA}))


ROWS = (
    Row("ova", "OVF 1 (VMware)", TEST, plain("vmware")),
    Row("ova", "OVF 2 (VirtualBox)", TEST, plain("virtualbox")),
    Row("ova", "OVF 0.9", TEST, plain("0.9")),
    Row("ova", "two disks, listed in the wrong order, with checksums", TEST, two_disks),
    Row("ova", "a member compressed by gzip", TEST, compressed),
    Row("ova", "a qcow2 (oVirt)", TEST, of_qcow2),
    Row("ova", "a checksum that is not its disk's", TEST, wrong_checksum, "source-checksum"),
    Row("ova", "checksums that leave its disk out", TEST, left_out, "source-checksum"),
    Row("ova", "a directory with all in it", TEST, in_a_directory),
    Row("ova", "cut in half", TEST, cut, "image-truncated"),
    Row("ovf", "two disks beside it, with checksums", TEST, beside),
    Row("ovf", "a disk compressed by gzip", TEST, beside_compressed),
    Row("ovf", "a VMDK of two files", TEST, beside_flat),
    Row("ovf", "a disk that is not there", TEST, without_disk, "source-incomplete"),
    Row("ami", "tar of a raw disk", TEST, archive("image.tar", "disk.raw", "raw")),
    Row("ami", "tar.gz of a raw disk", TEST, archive("image.tar.gz", "disk.raw", "raw", gz)),
    Row(
        "ami",
        "tar.xz of a qcow2",
        TEST,
        archive("image.tar.xz", "a.img", "qcow2", lambda data: lzma.compress(data, preset=0)),
    ),
    Row("ami", "tar.zst of a VMDK", TEST, archive("image.tar.zst", "a.vmdk", "vmdk", zstd)),
    Row("ami", "tar with holes left out", TEST, sparse),
    Row("ami", "raw.xz, no archive", TEST, alone),
    Row("ami", "tar of two disks", TEST, two_in_one, "image-unsupported"),
)

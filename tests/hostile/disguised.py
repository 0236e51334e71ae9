"""Images that are something else than they are said to be, or than another reader takes them for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests import images, vhds, vmdks
from tests.hostile import references
from tests.hostile.bare import convert
from tests.hostile.case import LEAKS, REFUSES, Case, Place


def descriptor(place: Place) -> bytes:
    return vmdks.text("monolithicFlat", f'RW 128 FLAT "{place.canary}" 0')


def as_raw(before: bytes = b"", length: int = 0, after: bytes = b"") -> Callable[[Place], Path]:
    """A descriptor, led in and padded, under a raw disk's name."""

    def make(place: Place) -> Path:
        path = place.here / "disk.raw"
        path.write_bytes((before + descriptor(place)).ljust(length, b"\0") + after)
        return path

    return make


def as_vhd(place: Place) -> Path:
    """A fixed VHD, which begins with its disk, which begins like a descriptor."""
    return vhds.fixed(place.here / "disk.vhd", descriptor(place).ljust(1 << 20, b"\0"))


def qcow2_in_raw(place: Place) -> Path:
    return references.backed(references.absolute)(place).rename(place.here / "disk.raw")


def qcow2_in_vmdk(place: Place) -> Path:
    return references.backed(references.absolute)(place).rename(place.here / "disk.vmdk")


def qcow2_in_vhd(place: Place) -> Path:
    content = qcow2_in_raw(place).read_bytes()
    return vhds.fixed(place.here / "disk.vhd", content + bytes(-len(content) % 512))


def vmdk_in_qcow2(place: Place) -> Path:
    path = place.here / "disk.qcow2"
    path.write_bytes(descriptor(place))
    return path


def raw_over_descriptor(place: Place) -> Path:
    """A raw base that looks like an image, under an overlay that does not say that it is raw."""
    (place.here / "base.raw").write_bytes(descriptor(place).ljust(1 << 20, b"\0"))
    path = references.backed(lambda _place: "base.raw")(place)
    return images.patch(path, path.read_bytes().index(b"\xe2\x79\x2a\xca"), b"\x12\x34\x56\x78")


def with_a_marker(place: Place) -> Path:
    """A descriptor with an MBR's mark where a disk has it."""
    path = as_raw(length=1 << 20)(place)
    return images.patch(path, 510, b"\x55\xaa")


_FOUND, _PROBED = "source-type-mismatch", convert()

CASES = (
    Case("a descriptor as a raw disk", "raw", as_raw(), _FOUND, _PROBED, LEAKS),
    Case("a descriptor padded to a sector", "raw", as_raw(length=512), _FOUND, _PROBED, LEAKS),
    Case("a descriptor padded to a disk", "raw", as_raw(length=1 << 20), _FOUND, _PROBED, LEAKS),
    Case("a descriptor behind comments", "raw", as_raw(b"# of this disk\n"), _FOUND, _PROBED, LEAKS),
    Case("a descriptor behind lines", "raw", as_raw(b"#\n \n#\n", 4096), _FOUND, _PROBED, LEAKS),
    Case(
        "a descriptor that is to be trusted", "raw", as_raw(), _FOUND, _PROBED, LEAKS, load={"trust_source_type": True}
    ),
    Case("a descriptor with an MBR's mark", "raw", with_a_marker, _FOUND, _PROBED, LEAKS),
    Case("a descriptor in a fixed VHD", "vhd", as_vhd, _FOUND, _PROBED, LEAKS),
    Case("an overlay as a raw disk", "raw", qcow2_in_raw, _FOUND, _PROBED, LEAKS),
    Case("an overlay as a VMDK", "vmdk", qcow2_in_vmdk, _FOUND, _PROBED, LEAKS),
    Case("an overlay in a fixed VHD", "vhd", qcow2_in_vhd, _FOUND, _PROBED, LEAKS),
    Case("a descriptor as a qcow2", "qcow2", vmdk_in_qcow2, _FOUND, convert("qcow2"), REFUSES, "it is told the format"),
    Case("a base whose format is not said", "qcow2", raw_over_descriptor, "image-unsupported", convert("qcow2"), LEAKS),
)

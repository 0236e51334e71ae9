"""What a file is, by its content; and whether it may be read as what it is claimed to be."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host.image_file import ImageFacts, opened
from hypersdkd.host.image_header import COMPRESSED, Detected, detect, judge
from hypersdkd.host.unpacking import COMPRESSIONS
from hypersdkd.model.problem import ProblemError
from tests import images
from tests.problems import raises_problem


def kind(path: Path) -> tuple[str, str]:
    with opened(path) as image:
        found: Detected = detect(image)
        return found.format, found.variant


def look(path: Path, claimed: str, *, trusted: bool = False) -> ImageFacts:
    with opened(path) as image:
        return judge(image, claimed, trusted=trusted)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("form", "options", "expected"),
    [
        ("qcow2", (), ("qcow2", "")),
        ("qcow", (), ("qcow", "v1")),
        ("vmdk", (), ("vmdk", "sparse")),
        ("vmdk", ("subformat=streamOptimized",), ("vmdk", "sparse")),
        ("vmdk", ("subformat=monolithicFlat",), ("vmdk", "descriptor")),
        ("vdi", (), ("vdi", "")),
        ("vhdx", (), ("vhdx", "")),
        ("vpc", (), ("vhd", "dynamic")),
        ("vpc", ("subformat=fixed",), ("vhd", "fixed")),
        ("qed", (), ("qed", "")),
        ("parallels", (), ("parallels", "")),
    ],
)
def test_detect_what_qemu_writes(
    tmp_path: Path, form: str, options: tuple[str, ...], expected: tuple[str, str]
) -> None:
    assert kind(images.make(tmp_path / "disk", *options, form=form)) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"COWD", ("vmdk", "COWD")),
        (b"LUKS\xba\xbe\0\x01", ("luks", "")),
        (b"\x1f\x8b\x08", ("gzip", "")),
        (b"\xfd7zXZ\0", ("xz", "")),
        (b"PK\x03\x04", ("zip", "")),
        (b"disk.ovf".ljust(257, b"\0") + b"ustar", ("ova", "")),
        (b'<?xml version="1.0"?>', ("ovf", "")),
        (b"# Disk DescriptorFile\nversion=1\n", ("vmdk", "descriptor")),
        (b"# Disk DescriptorFile\nversion=1\n".ljust(1 << 20, b"\0"), ("vmdk", "descriptor")),
        (bytes(512), ("raw", "")),
        (bytes(510) + b"\x55\xaa", ("raw", "mbr")),
        (bytes(510) + b"\x55\xaaEFI PART", ("raw", "gpt")),
        (bytes(4096) + b"EFI PART", ("raw", "gpt")),
        (bytes(0x8001) + b"CD001", ("raw", "iso")),
        (bytes(510) + b"\x55\xaa" + bytes(512) + b"koly".ljust(512, b"\0"), ("dmg", "")),
        (b"x", ("raw", "")),
    ],
)
def test_detect_by_magic(tmp_path: Path, start: bytes, expected: tuple[str, str]) -> None:
    assert kind(written(tmp_path / "disk", start)) == expected


@pytest.mark.parametrize("claimed", ["vmdk", "qcow2", "vdi", "raw"])
def test_empty(tmp_path: Path, claimed: str) -> None:
    with raises_problem("image-empty"):
        look(written(tmp_path / "disk", b""), claimed)


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi"])
def test_a_claim_that_is_true(tmp_path: Path, form: str) -> None:
    assert look(images.make(tmp_path / "disk", form=form), form).format == form


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi", "vhdx"])
def test_a_claim_that_is_not_names_the_truth(tmp_path: Path, form: str) -> None:
    path = images.make(tmp_path / "disk", form=form)
    with raises_problem("source-type-mismatch", form) as caught:
        look(path, "vdi" if form != "vdi" else "vmdk")
    assert f"Set source_type to {form}" in caught[0].remedy


@pytest.mark.parametrize(
    ("start", "remedy"),
    [
        (b"\x1f\x8b", "set source_type to ami"),
        (b"\xfd7zXZ\0", "set source_type to ami"),
        (b"\x28\xb5\x2f\xfd", "set source_type to ami"),
        (b"WithoutFreeSpace", "Convert it with qemu-img"),
        (b"BZh", "Convert it with qemu-img"),
    ],
)
def test_the_remedy_names_no_type_that_no_manifest_can_have(tmp_path: Path, start: bytes, remedy: str) -> None:
    for claimed in ("qcow2", "raw"):
        with raises_problem("source-type-mismatch") as caught:
            look(written(tmp_path / "disk", start.ljust(2048, b"x")), claimed)
        assert remedy in caught[0].remedy


def test_what_may_be_compressed_is_all_that_can_be_unpacked() -> None:
    assert COMPRESSED == COMPRESSIONS


def test_the_remedy_tells_of_a_file_whose_suffix_is_its_type(tmp_path: Path) -> None:
    """A dropped disk has no source_type that could be set."""
    with raises_problem("source-type-mismatch") as caught:
        look(images.make(tmp_path / "disk.vmdk", form="qcow2"), "vmdk")
    assert "call the file .qcow2" in caught[0].remedy


def test_raw(tmp_path: Path) -> None:
    facts = look(images.raw_disk(tmp_path / "disk"), "raw")
    assert (facts.format, facts.variant, facts.virtual_size, facts.warnings) == ("raw", "mbr", 16 * images.MIB, ())


def test_raw_of_an_odd_size_is_rounded_up(tmp_path: Path) -> None:
    facts = look(written(tmp_path / "disk", b"x" * 1000), "raw")
    assert facts.virtual_size == 1024
    assert [warning.code for warning in facts.warnings] == ["image-unclean"]


@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi", "vhdx"])
def test_raw_that_starts_like_another_format_needs_trust(tmp_path: Path, form: str) -> None:
    path = images.make(tmp_path / "disk", form=form)
    with raises_problem("source-type-mismatch", form) as caught:
        look(path, "raw")
    assert "trust_source_type" in caught[0].remedy
    assert look(path, "raw", trusted=True).virtual_size >= path.stat().st_size


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("padding", [0, 512, 1 << 20])
def test_a_text_descriptor_is_never_raw(tmp_path: Path, padding: int, trusted: bool) -> None:
    text = images.descriptor("monolithicFlat", 'RW 8 FLAT "/etc/passwd" 0').ljust(padding, b"\0")
    with raises_problem("source-type-mismatch", "vmdk"):
        look(written(tmp_path / "disk", text), "raw", trusted=trusted)


@pytest.mark.parametrize(
    ("content", "claimed", "code"),
    [
        (images.descriptor("monolithicFlat", 'RW 8 FLAT "a" 0'), "vmdk", "image-unsupported"),
        (b"COWD" + bytes(600), "vmdk", "image-unsupported"),
        (b"LUKS\xba\xbe" + bytes(600), "raw", "image-encrypted"),
        (b"QFI\xfb\0\0\0\x01" + bytes(600), "qcow2", "image-unsupported"),
        (bytes(70000), "qcow2", "image-truncated"),
        (b"KDMV", "vmdk", "image-truncated"),
        (b"QFI\xfb", "qcow2", "image-truncated"),
        (b"vhdxfile", "vhdx", "image-truncated"),
    ],
)
def test_refused(tmp_path: Path, content: bytes, claimed: str, code: str) -> None:
    with raises_problem(code):
        look(written(tmp_path / "disk", content), claimed)


@functools.cache
def sample(form: str) -> bytes:
    """A small image's bytes, made once."""
    with tempfile.TemporaryDirectory() as name:
        return images.make(Path(name) / "disk", form=form, size=2 * images.MIB).read_bytes()


@settings(deadline=None, max_examples=150)
@given(
    form=st.sampled_from(["qcow2", "vmdk", "vdi"]),
    offset=st.integers(0, 700) | st.integers(0, 300_000),
    noise=st.binary(min_size=1, max_size=16),
    keep=st.floats(0, 1) | st.just(1.0),
)
def test_damage_is_found_or_harmless_but_never_an_accident(
    tmp_path_factory: pytest.TempPathFactory, form: str, offset: int, noise: bytes, keep: float
) -> None:
    data = bytearray(sample(form))
    data[offset : offset + len(noise)] = noise
    path = written(tmp_path_factory.getbasetemp() / "damaged", bytes(data[: int(len(data) * keep)]))
    try:
        facts = look(path, form)
    except ProblemError:
        return
    assert facts.format == form
    assert facts.virtual_size > 0

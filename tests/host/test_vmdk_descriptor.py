"""Descriptors: what is let through names no other file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.vmdk_descriptor import Extent, looks_like_descriptor, parse_descriptor, require_alone
from hypersdkd.model.problem import ProblemError
from tests.images import descriptor
from tests.problems import raises_problem


def read(text: bytes) -> tuple[str, list[str]]:
    area = text.ljust(10240, b"\0")
    variant, warnings = require_alone("disk.vmdk", area, area, 32768, 128)
    return variant, [warning.code for warning in warnings]


def with_line(line: bytes) -> bytes:
    return descriptor().replace(b"version=1\n", b"version=1\n" + line + b"\n")


def with_extent(line: str) -> bytes:
    return descriptor(extents=line)


@pytest.mark.parametrize(
    "text",
    [
        descriptor(),
        descriptor().replace(b"\n", b"\r\n"),
        descriptor("STREAMOPTIMIZED"),
        with_line(b'encoding="windows-1252"'),
        with_line(b"isNativeSnapshot = no"),
        with_line(b'changeTrackPath="disk-ctk.vmdk"'),
        with_line(b'ddb.comment = "anything at all"'),
        with_extent('RDONLY 32768 SPARSE "call-me-stream.vmdk"'),
        with_extent('rw\t32768  sparse "Müller.vmdk" 0'),
        descriptor() + b"\0parent of nothing: after the end",
    ],
)
def test_good(text: bytes) -> None:
    assert read(text) == ("streamOptimized", [])


@pytest.mark.parametrize("sectors", [32767, 32641])
def test_a_header_made_up_to_whole_grains_is_a_warning(sectors: int) -> None:
    """VirtualBox's habit."""
    assert read(with_extent(f'RW {sectors} SPARSE "disk.vmdk"')) == ("streamOptimized", ["image-unclean"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (with_line(b'parentFileNameHint="/etc/passwd"'), "image-backing"),
        (with_extent('RW 1 SPARSE "disk.vmdk"'), "image-invalid"),
        (with_extent('RW 32640 SPARSE "disk.vmdk"'), "image-invalid"),
        (with_extent('RW 32769 SPARSE "disk.vmdk"'), "image-invalid"),
        (with_line(b'PARENTfilenamehint = "base.vmdk"'), "image-backing"),
        (descriptor() + b'\0parentFileNameHint="base.vmdk"', "image-backing"),
        (descriptor().replace(b"parentCID=ffffffff", b"parentCID=12345678"), "image-backing"),
        (with_extent('RW 32768 FLAT "/etc/passwd" 0'), "image-backing"),
        (with_extent('RW 32768 FLAT "disk-flat.vmdk" 0'), "image-backing"),
        (with_extent('RW 32768 SPARSE "/etc/passwd"'), "image-backing"),
        (with_extent('RW 32768 SPARSE "..\\secret"'), "image-backing"),
        (with_extent('RW 32768 SPARSE "a" "b"'), "image-invalid"),
        (with_extent('RW 32768 VMFS "disk.vmdk"'), "image-backing"),
        (with_extent('RW 32768 SPARSE "a.vmdk"\nRW 32768 SPARSE "b.vmdk"'), "image-backing"),
        (with_extent(""), "image-backing"),
        (descriptor("monolithicFlat"), "image-unsupported"),
        (descriptor("twoGbMaxExtentSparse"), "image-unsupported"),
        (descriptor("vmfs"), "image-unsupported"),
        (descriptor().replace(b"createType", b"#"), "image-unsupported"),
        (with_line(b'somethingNew="/etc/passwd"'), "image-unsupported"),
        (with_line(b"what is this"), "image-invalid"),
        (with_line(b"CID=1"), "image-invalid"),
        (with_line(b"\x0bRW 1 FLAT /etc/passwd"), "image-invalid"),
        (b"", "image-unsupported"),
    ],
)
def test_bad(text: bytes, code: str) -> None:
    with raises_problem(code):
        read(text)


@given(st.binary(max_size=300), st.integers(0, 300))
def test_noise_is_refused_or_read_but_never_breaks(noise: bytes, place: int) -> None:
    text = descriptor()
    try:
        variant, _ = read(text[:place] + noise + text[place:])
    except ProblemError:
        return
    assert variant == "streamOptimized"


@pytest.mark.parametrize(
    ("start", "is_one"),
    [
        (b"# Disk DescriptorFile\nversion=1\n", True),
        (b"# disk descriptorFILE", True),
        (b"# Disk DescriptorFile\n".ljust(512, b"\0"), True),
        (b"version=1\n", True),
        (b"  \n# a comment\r\n\r\nversion=3\r\n", True),
        (b"\nVERSION = 1", True),
        (b"", False),
        (b"\0version=1", False),
        (b"# a script\necho", False),
        (b"\xeb\x63\x90GRUB", False),
    ],
)
def test_looks_like_descriptor(start: bytes, is_one: bool) -> None:
    assert looks_like_descriptor(start) is is_one


# -- of any variant -----------------------------------------------------------------------------------

SPLIT = 'RW 4192256 SPARSE "web01-s001.vmdk"\nRW 10 SPARSE "web01-s002.vmdk"'
DELTA = descriptor("vmfsSparse", 'RW 2048 VMFSSPARSE "web01-000001-delta.vmdk"').replace(
    b"parentCID=ffffffff", b'parentCID=0badcafe\nparentFileNameHint="web01.vmdk"'
)


def test_every_kind_of_extent() -> None:
    lines = [
        'RW 1 FLAT "a b.vmdk" 7',
        'RDONLY 2 VMFS "c" 0',
        'rw 3 vmfs "d"',
        "RW 4 ZERO",
        'RW 5 SPARSE "e"',
        'RW 6 VMFSSPARSE "f"',
        'RW 7 SESPARSE "g"',
    ]
    found = parse_descriptor("x", descriptor("custom", "\n".join(lines)))
    assert found.extents == (
        Extent(1, "FLAT", "a b.vmdk", 7),
        Extent(2, "VMFS", "c"),
        Extent(3, "VMFS", "d"),
        Extent(4, "ZERO"),
        Extent(5, "SPARSE", "e"),
        Extent(6, "VMFSSPARSE", "f"),
        Extent(7, "SESPARSE", "g"),
    )
    assert (found.sectors, found.is_snapshot) == (28, False)
    assert [extent.flat_end for extent in found.extents] == [8 * 512, 2 * 512, 3 * 512, None, None, None, None]
    assert found.siblings == ("a b.vmdk", "c", "d", "e", "f", "g")


def test_a_snapshot_names_its_parent_last() -> None:
    found = parse_descriptor("x", DELTA)
    assert (found.variant, found.content_id, found.parent_id) == ("vmfsSparse", 0x12345678, 0x0BADCAFE)
    assert found.siblings == ("web01-000001-delta.vmdk", "web01.vmdk")


@pytest.mark.parametrize(
    "hint", ["web01.vmdk", "/vmfs/volumes/4f/web01/web01.vmdk", "C:\\VMs\\web01.vmdk", "../other/web01.vmdk"]
)
def test_a_parent_is_looked_for_beside_it(hint: str) -> None:
    text = DELTA.replace(b'"web01.vmdk"', f'"{hint}"'.encode())
    assert parse_descriptor("x", text).parent_name == "web01.vmdk"


@pytest.mark.parametrize(
    ("encoding", "raw", "name"),
    [
        ("UTF-8", "Büro.vmdk".encode(), "Büro.vmdk"),
        ("windows-1252", "Büro.vmdk".encode("cp1252"), "Büro.vmdk"),
        ("GBK", "网.vmdk".encode("gbk"), "网.vmdk"),
        ("windows-932", "網.vmdk".encode("cp932"), "網.vmdk"),
        ("UTF-8", b"B\xfcro.vmdk", "B\udcfcro.vmdk"),
    ],
)
def test_names_in_the_encoding_of_their_host(encoding: str, raw: bytes, name: str) -> None:
    text = descriptor("vmfs", 'RW 1 VMFS "NAME"').replace(b"NAME", raw)
    text = text.replace(b"version=1\n", f'version=1\nencoding="{encoding}"\n'.encode())
    assert parse_descriptor("x", text).siblings == (name,)


def with_pair(line: str) -> bytes:
    return descriptor("vmfs", 'RW 1 VMFS "a"').replace(b"version=1\n", f"version=1\n{line}\n".encode())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (descriptor("vmfs", 'RW 0 VMFS "a"'), "image-invalid"),
        (descriptor("vmfs", "RW 1 VMFS"), "image-invalid"),
        (descriptor("vmfs", 'RW 1 VMFS ""'), "image-invalid"),
        (descriptor("vmfs", 'RW 1 VMFS "a" 5'), "image-invalid"),
        (descriptor("vmfs", 'RW 1 FLAT "a"'), "image-invalid"),
        (descriptor("vmfs", 'RW 1 FLAT "a" -1'), "image-invalid"),
        (descriptor("vmfs", 'RW 1 ZERO "a"'), "image-invalid"),
        (descriptor("vmfs", 'RW -5 VMFS "a"'), "image-invalid"),
        (descriptor("vmfs", 'RW 1 VMFS "a\rRW 1 VMFS /etc/passwd"'), "image-invalid"),
        (descriptor("vmfs", 'RW 99999999999999999999 VMFS "a"'), "image-invalid"),
        (descriptor("vmfs", 'RW 999999999999999999 VMFS "a"'), "image-limits"),
        (descriptor("vmfs", 'RW 137438953472 VMFS "a"\nRW 1 ZERO'), "image-limits"),
        (descriptor("vmfs", 'NOACCESS 1 VMFS "a"'), "image-unsupported"),
        (descriptor("vmfs", 'RW 1 VMFSRDM "a"'), "image-unsupported"),
        (descriptor("vmfs", 'RW 1 FLAT "a" 0 partitionUUID /dev/sda'), "image-invalid"),
        (descriptor("fullDevice", 'RW 1 FLAT "/dev/sda" 0'), "image-unsupported"),
        (descriptor("vmfsRawDeviceMap", 'RW 1 VMFSRDM "a"'), "image-unsupported"),
        (with_pair('encoding="UTF-16"'), "image-unsupported"),
        (with_pair('encoding="unicode_escape"'), "image-unsupported"),
        (with_pair("parentCID=xyz"), "image-invalid"),
        (with_pair('isNativeSnapshot="yes"'), "image-unsupported"),
        (with_pair('encryptionKeys="vmware:key/list"'), "image-encrypted"),
        (with_pair('ddb.iofilters = "vmwarevmcrypt"'), "image-encrypted"),
        (with_pair('a "quoted" = line'), "image-invalid"),
        (with_pair('changeTrackPath="a" b"'), "image-invalid"),
        (descriptor("vmfs", 'RW 1 VMFS "a"').decode().encode("utf-16-le"), "image-unsupported"),
        (descriptor("vmfs", 'RW 1 VMFS "a"').decode().encode("utf-16"), "image-invalid"),
    ],
)
def test_refused(text: bytes, code: str) -> None:
    with raises_problem(code):
        parse_descriptor("disk.vmdk", text)


def test_a_thousand_files_in_no_time() -> None:
    lines = "\n".join(f'RW 4192256 SPARSE "web01-s{number:03}.vmdk"' for number in range(4000))
    assert len(parse_descriptor("x", descriptor("twoGbMaxExtentSparse", lines)).siblings) == 4000


@given(st.lists(st.sampled_from([*(line + b"\n" for line in DELTA.split(b"\n")), b'"', b"\0", b"RW 1 ", b"=", b"\r"])))
def test_any_text_is_understood_or_a_problem(pieces: list[bytes]) -> None:
    try:
        found = parse_descriptor("x", b"".join(pieces))
    except ProblemError as error:
        assert error.problem.code.startswith("image-")
    else:
        assert found.sectors >= 0

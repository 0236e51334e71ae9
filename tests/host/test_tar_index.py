"""Tar archives are understood as tar and Python understand them, and nothing is taken that could mean two things."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host.image_file import ImageFile, opened
from hypersdkd.host.tar_index import MAX_MEMBERS, Member, read_index
from hypersdkd.model.problem import ProblemError
from tests.problems import raises_problem


def packed(
    path: Path,
    *members: tuple[tarfile.TarInfo, bytes],
    form: int = tarfile.USTAR_FORMAT,
    headers: dict[str, str] | None = None,
) -> Path:
    with tarfile.open(path, "w", format=form, pax_headers=headers) as tar:
        for info, content in members:
            info.size = info.size or len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for key, value in fields.items():
        setattr(member, key, value)
    return member


def index(path: Path) -> list[tuple[str, bytes]]:
    with opened(path) as image:
        return [
            (member.name, image.part(member.offset, member.size, member.name).start(1 << 20))
            for member in read_index(image).values()
        ]


FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


@pytest.mark.parametrize("form", FORMATS)
def test_members(tmp_path: Path, form: int) -> None:
    long = "d" * 90 + "/" + "ü" * 40
    path = packed(
        tmp_path / "x.tar", (info("a.ovf"), b"one"), (info("./b"), b"2" * 512), (info(long), b"three"), form=form
    )
    assert index(path) == [("a.ovf", b"one"), ("b", b"2" * 512), (long, b"three")]


@pytest.mark.parametrize("words", [[], ["--format=v7"], ["--format=oldgnu"], ["--format=ustar"], ["--format=posix"]])
def test_the_real_tar(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "disk.raw").write_bytes(b"x" * 1000)
    subprocess.run(["tar", *words, "-C", tmp_path / "in", "-cf", tmp_path / "x.tar", "."], check=True)
    if words == ["--format=v7"]:
        with raises_problem("image-unsupported", "before 1988"):
            index(tmp_path / "x.tar")
        return
    assert index(tmp_path / "x.tar") == [("disk.raw", b"x" * 1000)]


def test_sizes_of_more_than_8_gib(tmp_path: Path) -> None:
    """Base 256 in GNU's format, an extended header in pax."""
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        member = info("big", size=9 << 30)
        header = member.tobuf(form)
        path = tmp_path / "x.tar"
        path.write_bytes(header)
        os.truncate(path, len(header) + (9 << 30) + 1024)
        with opened(path) as image:
            assert read_index(image)["big"] == Member(
                "big", len(header), 9 << 30, real_size=9 << 30, header=len(header) - 512
            )


def test_links_and_devices_are_no_files(tmp_path: Path) -> None:
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    members = [(info(f"m{number}", kind, linkname="/etc/passwd"), b"") for number, kind in enumerate(kinds)]
    path = packed(tmp_path / "x.tar", *members, (info("dir", tarfile.DIRTYPE), b""))
    with opened(path) as image:
        assert [member.regular for member in read_index(image).values()] == [False] * 5


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/.."])
@pytest.mark.parametrize("form", FORMATS)
def test_names_that_lead_out(tmp_path: Path, name: str, form: int) -> None:
    with raises_problem("source-outside", "leads out"):
        index(packed(tmp_path / "x.tar", (info(name), b"x"), form=form))


def test_what_could_mean_two_things(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with raises_problem("image-invalid", "two members named a"):
        index(packed(path, (info("a"), b"1"), (info("./a"), b"2")))
    with raises_problem("image-invalid", "all its members"):
        index(packed(path, (info("a"), b"1"), form=tarfile.PAX_FORMAT, headers={"path": "b"}))
    packed(path, (info("a"), b"1"), form=tarfile.PAX_FORMAT, headers={"comment": "as git archive has it"})
    assert index(path) == [("a", b"1")]
    good = packed(path, (info("a"), b"1")).read_bytes()
    path.write_bytes(good[:20] + b"b" + good[21:])
    with raises_problem("image-invalid", "damaged header at byte 0"):
        index(path)


def pax(*records: bytes) -> bytes:
    content = b"".join(records)
    return info("x", tarfile.XHDTYPE, size=len(content)).tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0")


@pytest.mark.parametrize(
    "records",
    [[b"99 path=x\n"], [b"9 path=x"], [b"path=x\n"], [b"9 path=a\n", b"9 path=b\n"], [b"10 size=-1\n"], [b"3 \n"]],
)
def test_extended_headers_that_are_none(tmp_path: Path, records: list[bytes]) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(pax(*records) + info("a", size=0).tobuf(tarfile.USTAR_FORMAT) + bytes(1024))
    with raises_problem("image-invalid"):
        index(path)


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with raises_problem("image-limits", "over 1000 members"):
        index(packed(path, *[(info(f"m{number}"), b"") for number in range(MAX_MEMBERS + 1)]))
    with raises_problem("image-limits", "a name of 1100 bytes"):
        index(packed(path, (info("n" * 1100), b""), form=tarfile.GNU_FORMAT))
    path.write_bytes(info("x", tarfile.XHDTYPE, size=1 << 30).tobuf(tarfile.GNU_FORMAT))
    with raises_problem("image-limits", "extended header of"):
        index(path)
    path.write_bytes(pax(b"9 path=x\n") * (4 * MAX_MEMBERS + 1))
    with raises_problem("image-limits"):
        index(path)


def test_an_archive_that_is_cut(tmp_path: Path) -> None:
    """Wherever it is cut: also between two members, which tar and Python let pass."""
    path = tmp_path / "x.tar"
    whole = packed(path, (info("a"), b"x" * 700), (info("b"), b"y" * 700)).read_bytes()
    end = 2 * (512 + 1024)
    for size in (100, 512, 1000, 1536, 1536 + 512, end - 100, end):
        path.write_bytes(whole[:size])
        with raises_problem("image-truncated"):
            index(path)
    path.write_bytes(whole[: end + 512])  # one empty block instead of two, as some exporters end
    assert [name for name, _ in index(path)] == ["a", "b"]
    path.write_bytes(whole[:1536])
    with tarfile.open(path) as tar:
        assert tar.getnames() == ["a"]


def test_holes_are_seen(tmp_path: Path) -> None:
    with (tmp_path / "disk.raw").open("wb") as file:
        file.truncate(1 << 20)
        for number in range(40):
            file.seek(number * 16384)
            file.write(b"x" * 4096)
    for form, kind in (("oldgnu", "gnu"), ("posix", "pax")):
        words = ["tar", f"--format={form}", "-S", "-C", tmp_path, "-cf", tmp_path / "x.tar", "disk.raw"]
        subprocess.run(words, check=True)
        with opened(tmp_path / "x.tar") as image:
            (member,) = read_index(image).values()
        assert (member.name, member.sparse, member.real_size) == ("disk.raw", kind, 1 << 20)
        assert member.size < 200_000


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
    st.integers(0, 6000),
)
def test_nothing_but_problems(form: int, changes: list[tuple[int, int]], size: int) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as tar:
        for name in ("a", "n" * 60 + "/" + "n" * 60):
            tar.addfile(info(name, size=3), io.BytesIO(b"abc"))
    data = bytearray(content.getvalue())
    for place, value in changes:
        data[place] = value
    fd = os.memfd_create("tar")
    try:
        os.write(fd, data[: max(size, 1)])
        for member in read_index(ImageFile.of(fd, "x.tar")).values():
            assert member.offset + member.size <= size
    except ProblemError:
        pass
    finally:
        os.close(fd)

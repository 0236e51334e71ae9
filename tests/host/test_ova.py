"""Which members of an archive make the appliance."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hypersdkd.host.image_file import opened
from hypersdkd.host.ova import Package, read_package
from tests import appliances
from tests.problems import raises_problem


@contextmanager
def package(path: Path, members: Mapping[str, bytes]) -> Iterator[Package]:
    with opened(appliances.ova(path, members)) as archive:
        yield read_package(archive)


def test_all_lies_where_the_descriptor_does(tmp_path: Path) -> None:
    members = {"a.mf": b"0", "in/a.ovf": b"1", "in/x.mf": b"2", "in/sub/d": b"3", "d": b"4", "in/._a.mf": b"5"}
    with package(tmp_path / "b.ova", members) as found:
        promise = found.checksums()
        assert promise is not None
        assert (found.directory, found.content(promise, 10)) == ("in", b"2")
        assert found.part(found.member("./sub%2Fd")).read(0, 1, "content") == b"3"
        assert {name: found.name_beside(each) for name, each in found.beside().items()} == {
            name: name for name in ("a.ovf", "x.mf", "sub/d", "._a.mf")
        }
        with raises_problem("source-incomplete", "no member d"):
            found.member("d")
        with raises_problem("image-limits"):
            found.content(promise, 0)


def test_an_archive_without_checksums(tmp_path: Path) -> None:
    with package(tmp_path / "b.ova", {"a.ovf": b"1", "in/a.mf": b"2"}) as found:
        assert found.checksums() is None


def test_a_link_is_no_file(tmp_path: Path) -> None:
    path = appliances.ova(tmp_path / "b.ova", {"a.ovf": b"1"})
    with tarfile.open(path, "a", format=tarfile.USTAR_FORMAT) as tar:
        link = tarfile.TarInfo("a.mf")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with opened(path) as archive:
        found = read_package(archive)
        link_found = found.checksums()
        assert link_found is not None and list(found.beside()) == ["a.ovf"]
        with raises_problem("source-not-regular"):
            found.content(link_found, 10)
        with raises_problem("source-not-regular"):
            found.member("a.mf")

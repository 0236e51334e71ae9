"""An output's directory is what the walk from its root finds, and stays that very directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hypersdkd.host.output_directory import MAX_LEVELS, OutputDirectory, opened_output
from hypersdkd.model.disk import OutputDisk
from tests.privileges import unprivileged
from tests.problems import raises_problem


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "root"


def test_what_is_missing_is_made(root: Path) -> None:
    for path in (root / "a" / "b", root.parent / "new" / "root" / "c"):
        base = root if path.is_relative_to(root) else path.parent
        with OutputDirectory.open(path, base, make=True) as directory:
            directory.at("file").touch()
        assert os.listdir(path) == ["file"]
        assert path.stat().st_mode & 0o022 == 0


def test_nothing_is_made_unasked(root: Path) -> None:
    with raises_problem("output-unwritable"):
        OutputDirectory.open(root / "a", root)
    assert os.listdir(root) == []


@pytest.mark.parametrize("steps", ["link", "link/deep", "real/link", "real/link/deep"])
@pytest.mark.parametrize("make", [False, True])
def test_a_link_on_the_way_ends_it(root: Path, steps: str, make: bool) -> None:
    (root / "real").mkdir()
    for link in (root / "link", root / "real" / "link"):
        link.symlink_to(root.parent / "elsewhere")
    with raises_problem("output-outside", "link"):
        OutputDirectory.open(root / steps, root, make=make)
    assert os.listdir(root.parent / "elsewhere") == []


def test_a_link_as_root_is_refused(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "elsewhere")
    with raises_problem("output-unwritable"):
        OutputDirectory.open(root / "link", root / "link", make=True)


@pytest.mark.parametrize("path", ["/etc", "/", "root/../elsewhere", "rootless"])
def test_what_is_not_below_the_root(root: Path, path: str) -> None:
    with raises_problem("output-outside"):
        OutputDirectory.open(root.parent / path, root, make=True)


def test_no_root_is_no_way(root: Path) -> None:
    with raises_problem("output-outside"):
        OutputDirectory.open(root, Path())


def test_a_file_on_the_way(root: Path) -> None:
    (root / "file").touch()
    with raises_problem("output-unwritable"):
        OutputDirectory.open(root / "file" / "a", root, make=True)


def test_only_so_many_levels(root: Path) -> None:
    OutputDirectory.open(root.joinpath(*"a" * MAX_LEVELS), root, make=True).close()
    with raises_problem("output-unwritable", "16"):
        OutputDirectory.open(root.joinpath(*"b" * (MAX_LEVELS + 1)), root, make=True)
    assert os.listdir(root) == ["a"]


def test_it_stays_the_directory_that_was_opened(root: Path) -> None:
    (root / "real").mkdir()
    with OutputDirectory.open(root / "real", root) as directory:
        (root / "real").rename(root / "moved")
        (root / "real").symlink_to(root.parent / "elsewhere")
        directory.at("file").touch()
        assert directory.identity("file") is not None
        assert directory.free_bytes() > 0
    assert os.listdir(root / "moved") == ["file"]
    assert os.listdir(root.parent / "elsewhere") == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd"])
def test_names_are_only_names(root: Path, name: str) -> None:
    with OutputDirectory.open(root, root) as directory, raises_problem("output-outside"):
        directory.at(name)


def test_removing(root: Path) -> None:
    (root / "file").touch()
    (root / "directory").mkdir()
    (root / "link").symlink_to("file")
    with OutputDirectory.open(root, root) as directory:
        assert [directory.remove(name) for name in ("link", "missing", "directory", "file")] == [
            True,
            True,
            False,
            True,
        ]
    assert os.listdir(root) == ["directory"]


def test_one_that_cannot_be_written(root: Path) -> None:
    root.chmod(0o555)
    for place in (root.parent, root.parent.parent, root.parent.parent.parent):
        place.chmod(place.stat().st_mode | 0o055)
    with unprivileged(), OutputDirectory.open(root, root) as directory, raises_problem("output-unwritable"):
        directory.require_writable()


def written(root: Path) -> OutputDisk:
    (root / ".part").write_text("content")
    found = (root / ".part").stat()
    return OutputDisk(root / ".part", root / "disk", "raw", 7, (found.st_dev, found.st_ino))


def test_a_written_output_is_opened(root: Path) -> None:
    with opened_output(written(root), root) as image:
        assert image.start(99) == b"content"


def test_another_file_in_its_place_is_not(root: Path) -> None:
    output = written(root)
    (root / "other").write_text("other")
    (root / "other").replace(output.temporary)
    with raises_problem("output-invalid"), opened_output(output, root):
        pass
    output.temporary.unlink()
    output.temporary.symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic"), opened_output(output, root):
        pass

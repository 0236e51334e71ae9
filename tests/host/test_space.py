"""Space is promised once: what is held is gone for others, and comes back."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hypersdkd.host import space
from hypersdkd.host.output_directory import OutputDirectory
from hypersdkd.host.space import Reservation
from tests.privileges import unprivileged
from tests.problems import raises_problem

MIB = 1 << 20


def free(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


Place = Callable[[Path], OutputDirectory]


@pytest.fixture
def place() -> Iterator[Place]:
    """Opens directories as outputs' ones, until the test has ended."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(OutputDirectory.open(path, path))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 16 MiB, and a lead that fits it."""
    mount = tmp_path / "small"
    mount.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", str(mount)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    monkeypatch.setattr(space, "LEAD", MIB)
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_what_is_held_is_taken_from_others(small: Path, place: Place) -> None:
    with Reservation(place(small), "a", 10 * MIB) as first:
        assert first.held == 10 * MIB
        with raises_problem("no-space", f"up to {10 * MIB}") as caught:
            Reservation(place(small), "b", 10 * MIB)
        assert f"Free {4 * MIB} bytes" in caught[0].remedy
        assert [entry.name for entry in small.iterdir()] == [".a.reserve"]
        with Reservation(place(small), "b", 4 * MIB):
            pass
    assert list(small.iterdir()) == []
    assert free(small) == 16 * MIB


def test_it_shrinks_as_the_output_grows(small: Path, place: Place) -> None:
    with Reservation(place(small), "a", 10 * MIB) as held, (small / "output").open("wb") as output:
        for written in range(10):
            output.write(bytes(MIB))
            output.flush()
            held.written((written + 1) * MIB)
            assert held.held == (9 - written) * MIB
            assert free(small) == 6 * MIB
        held.written(11 * MIB)
        assert held.held == 0


def test_a_full_file_system_leaves_its_last_part_to_the_writer(small: Path, place: Place) -> None:
    with Reservation(place(small), "a", 16 * MIB) as held:
        assert free(small) == MIB
        assert held.held == 15 * MIB


def test_a_leftover_is_replaced(tmp_path: Path, place: Place) -> None:
    (tmp_path / ".a.reserve").write_bytes(bytes(100))
    (tmp_path / ".b.reserve").symlink_to("victim")
    (tmp_path / "victim").write_text("precious")
    for name in ("a", "b"):
        with Reservation(place(tmp_path), name, MIB) as held:
            assert held.held == MIB
            assert (tmp_path / f".{name}.reserve").stat().st_size == MIB
    assert (tmp_path / "victim").read_text() == "precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["victim"]


def test_nothing_needed(tmp_path: Path, place: Place) -> None:
    with Reservation(place(tmp_path), "a", 0) as held:
        assert held.held == 0


def test_more_than_any_file_system_has(tmp_path: Path, place: Place) -> None:
    with raises_problem("no-space"):
        Reservation(place(tmp_path), "a", 1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_written(tmp_path: Path, place: Place) -> None:
    tmp_path.chmod(0o555)
    with unprivileged(), raises_problem("output-unwritable"):
        Reservation(place(tmp_path), "a", MIB)
    with raises_problem("output-unwritable"):
        Reservation(place(tmp_path / "missing"), "a", MIB)


def test_where_space_cannot_be_held_it_is_looked_at(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "_fallocate", lambda fd, length: errno.EOPNOTSUPP)
    with Reservation(place(tmp_path), "a", MIB) as held:
        assert held.held == 0
        held.written(MIB)
    with raises_problem("no-space"):
        Reservation(place(tmp_path), "a", 1 << 60)


def test_an_error_of_the_device(tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_fallocate", lambda fd, length: errno.EIO)
    with raises_problem("output-unwritable"):
        Reservation(place(tmp_path), "a", MIB)
    assert list(tmp_path.iterdir()) == []


def test_release_twice(tmp_path: Path, place: Place) -> None:
    held = Reservation(place(tmp_path), "a", MIB)
    held.release()
    held.release()
    held.written(5)
    assert held.held == 0

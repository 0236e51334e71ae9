"""inotify tells of each change, and of having lost some."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import inotify_simple
import pytest

from hypersdkd.host.inotify import DIRECTORY_CHANGES, FILE_GROWTH, Inotify


class Witness:
    """Collects what inotify says."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bool]] = []
        self.overflows = 0
        self.something = asyncio.Event()

    def saw(self, name: str, moved: bool) -> None:
        self.seen.append((name, moved))
        self.something.set()

    def lost(self) -> None:
        self.overflows += 1
        self.something.set()

    async def until(self, wanted: tuple[str, bool]) -> None:
        async with asyncio.timeout(20):
            while wanted not in self.seen:
                self.something.clear()
                await self.something.wait()


@pytest.mark.parametrize("name", [b"file.json", b"\xff\n\x1b", b"x" * 255, b"-"])
async def test_a_rename_is_told_from_a_write(tmp_path: Path, name: bytes) -> None:
    witness = Witness()
    inotify = Inotify(witness.lost)
    drop = tmp_path / "drop"
    drop.mkdir()
    inotify.watch(drop, DIRECTORY_CHANGES, witness.saw)
    text = os.fsdecode(name)
    (tmp_path / "draft").touch()
    (tmp_path / "draft").rename(drop / text)
    await witness.until((text, True))
    (drop / text).unlink()
    await witness.until((text, False))
    inotify.close()


async def test_only_the_end_of_a_write_is_told_of_a_directory(tmp_path: Path) -> None:
    witness = Witness()
    inotify = Inotify(witness.lost)
    with (tmp_path / "file").open("wb") as file:
        inotify.watch(tmp_path, DIRECTORY_CHANGES, witness.saw)
        file.write(b"part")
        file.flush()
        await asyncio.sleep(0)
        assert witness.seen == []
    await witness.until(("file", False))
    inotify.close()


async def test_growth_of_a_file_and_its_end(tmp_path: Path) -> None:
    witness = Witness()
    inotify = Inotify(witness.lost)
    path = tmp_path / "journal"
    path.touch()
    number = inotify.watch(path, FILE_GROWTH, witness.saw)
    with path.open("ab") as file:
        file.write(b"line\n")
    await witness.until(("", False))
    inotify.unwatch(number)
    inotify.unwatch(number)
    witness.seen.clear()
    with path.open("ab") as file:
        file.write(b"line\n")
    inotify._read()
    assert witness.seen == []
    inotify.close()


async def test_a_watch_ends_with_its_directory(tmp_path: Path) -> None:
    witness = Witness()
    inotify = Inotify(witness.lost)
    directory = tmp_path / "day"
    directory.mkdir()
    number = inotify.watch(directory, DIRECTORY_CHANGES, witness.saw)
    directory.rmdir()
    inotify._read()
    inotify.unwatch(number)
    directory.mkdir()
    inotify.watch(directory, DIRECTORY_CHANGES, witness.saw)
    (directory / "again").touch()
    await witness.until(("again", False))
    inotify.close()


async def test_what_cannot_be_watched_raises(tmp_path: Path) -> None:
    inotify = Inotify(lambda: None)
    with pytest.raises(FileNotFoundError):
        inotify.watch(tmp_path / "none", DIRECTORY_CHANGES, lambda _name, _moved: None)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        inotify.watch(tmp_path / "file", DIRECTORY_CHANGES, lambda _name, _moved: None)
    inotify.close()


async def test_an_overflow_is_told_and_the_rest_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = Witness()
    inotify = Inotify(witness.lost)
    number = inotify.watch(tmp_path, DIRECTORY_CHANGES, witness.saw)
    lost = inotify_simple.Event(-1, inotify_simple.flags.Q_OVERFLOW, 0, "")
    after = inotify_simple.Event(number, inotify_simple.flags.MOVED_TO, 0, "after")
    monkeypatch.setattr(inotify._inotify, "read", lambda timeout: [lost, after])
    inotify._read()
    assert witness.overflows == 1
    assert witness.seen == [("after", True)]
    inotify.close()

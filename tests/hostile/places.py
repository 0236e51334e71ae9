"""Sources that are no files of disks, or not where sources may be."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.hostile.bare import read
from tests.hostile.case import HANGS, LEAKS, REFUSES, TAKES, Case, Place


def link(target: Callable[[Place], str | Path]) -> Callable[[Place], Path]:
    def make(place: Place) -> Path:
        (place.here / "disk.raw").symlink_to(target(place))
        return place.here / "disk.raw"

    return make


def fifo(place: Place) -> Path:
    os.mkfifo(place.here / "disk.raw")
    return place.here / "disk.raw"


def listening(place: Place) -> Path:
    path, here = place.here / "disk.raw", os.open(place.here, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/disk.raw")  # a socket's name has 107 bytes at most
    os.close(here)
    return path


def through_a_directory(place: Place) -> Path:
    (place.here / "images").symlink_to(place.canary.parent)
    return place.here / "images" / place.canary.name


def a_file_below(place: Place) -> Path:
    (place.here / "disk.raw").write_bytes(b"x" * 512)
    return place.here / "disk.raw" / "deeper"


_OUT, _ODD = "source-outside", "source-not-regular"

CASES = (
    Case("a link out", "raw", link(lambda at: at.canary), _OUT, read, LEAKS),
    Case("a link out by a way up", "raw", link(lambda at: os.path.relpath(at.canary, at.here)), _OUT, read, LEAKS),
    Case("a directory that is a link out", "raw", through_a_directory, _OUT, read, LEAKS),
    Case("the path of a file outside", "raw", lambda at: at.canary, _OUT, read, LEAKS),
    Case("a way up", "raw", lambda at: f"{at.here}/{'../' * 20}{str(at.canary).lstrip('/')}", _OUT, read, LEAKS),
    Case("a way through /proc", "raw", lambda at: f"/proc/self/root{at.canary}", _OUT, read, LEAKS),
    Case("a link through /proc", "raw", link(lambda at: f"/proc/self/root{at.canary}"), _OUT, read, LEAKS),
    Case("an open file of the reader", "raw", lambda _at: "/proc/self/fd/0", _OUT, read, TAKES),
    Case("the reader's environment", "raw", link(lambda _at: "/proc/self/environ"), _OUT, read, TAKES),
    Case("a device without an end", "raw", link(lambda _at: "/dev/zero"), _OUT, read, TAKES),
    Case("a FIFO", "raw", fifo, _ODD, read, HANGS),
    Case("a socket", "raw", listening, _ODD, read, REFUSES, "nothing opens a socket"),
    Case("a directory", "raw", lambda at: at.here, _ODD, read, REFUSES, "nothing reads a directory"),
    Case("a link to itself", "raw", link(lambda _at: "disk.raw"), _ODD, read, REFUSES, "nothing follows it for ever"),
    Case("a file as a directory", "raw", a_file_below, "source-missing", read, REFUSES, "the kernel refuses"),
)

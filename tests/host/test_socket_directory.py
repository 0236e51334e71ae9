"""hypersdkd.host.socket_directory: short enough for a socket, and gone with the process."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hypersdkd.host.socket_directory import socket_directory

BIND = """
import pathlib, socket, sys
from hypersdkd.host.socket_directory import socket_directory
directory = socket_directory(pathlib.Path(sys.argv[1]))
made = directory / "libguestfsXXXXXX"
made.mkdir()
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(str(made / "guestfsd.sock"))
(made / "guestfsd.sock").unlink()
made.rmdir()
print(directory)
"""


@pytest.mark.parametrize("length", [76, 77, 300])
def test_a_socket_fits_and_nothing_is_left(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Path(tempfile.gettempdir())
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(base))
    with tempfile.TemporaryDirectory(dir=base) as short:
        work = Path(short, "n" * min(length - len(short) - 1, 120), "n" * (length - len(short) - 122))
        work.mkdir(parents=True)
        done = subprocess.run([sys.executable, "-c", BIND, str(work)], check=True, capture_output=True, text=True)
    directory = Path(done.stdout.strip())
    assert (directory == work) == (length <= 76)
    assert directory == work or (directory.parent == base and not directory.exists())


def test_one_byte_more_does_not_fit() -> None:
    """The limit is the kernel's, not a guess."""
    with socket.socket(socket.AF_UNIX) as listening, pytest.raises(OSError, match="too long"):
        listening.bind("/" + "n" * 107)


def test_a_short_one_is_kept() -> None:
    assert socket_directory(Path("/q/work")) == Path("/q/work")

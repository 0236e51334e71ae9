"""What happens without us: the tools as one would call them, with a limit to what they may take of this machine."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from tests.hostile.case import FILLS, HANGS, LEAKS, REFUSES, SECRET, TAKES, Bare

#: Seconds after which a tool hangs: none of the sources has more than some megabytes.
PATIENCE = 2.0

#: Bytes that a tool may write; and of what it then holds, what says that it would have gone on.
_ROOM = 64 << 20
_FULL = _ROOM // 2

_LIMITS = ("prlimit", f"--fsize={_ROOM}", "--as=2147483648")


def convert(form: str = "", to: str = "raw") -> Bare:
    """``qemu-img convert``, with the format that is claimed, or as it is found out."""

    def bare(source: Path, scratch: Path) -> str:
        words = ["qemu-img", "convert", *(["-f", form] if form else []), "-O", to, source, scratch / "out"]
        return _run(words, scratch / "out")

    return bare


def _run(words: list[str | Path], out: Path) -> str:
    try:
        done = subprocess.run([*_LIMITS, *words], capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return HANGS
    if out.exists() and out.stat().st_blocks * 512 > _FULL:
        return FILLS
    if out.exists() and _holds(out):
        return LEAKS
    return REFUSES if done.returncode else TAKES


def _holds(out: Path) -> bool:
    """Whether the secret is in the file's first megabytes; every case has it there."""
    with out.open("rb") as file:
        return SECRET in file.read(8 << 20)


def read(source: Path, scratch: Path) -> str:
    """A program that opens what it is told to, as a service with the rights of its user."""
    done = subprocess.run(["timeout", str(PATIENCE), "head", "-c", "1048576", source], capture_output=True, check=False)
    if done.returncode == 124:
        return HANGS
    return LEAKS if SECRET in done.stdout else REFUSES if done.returncode else TAKES


def unpack(source: Path, scratch: Path) -> str:
    """``tarfile`` as most programs use it: everything, here; then what came of it is read."""
    (scratch / "in").mkdir()
    try:
        with tarfile.open(source) as archive:
            archive.extractall(scratch / "in")
    except (OSError, tarfile.TarError):
        return REFUSES
    found = [path for place in (scratch, source.parent) for path in place.glob("*")]
    if any(path.name == "escaped" for path in found):
        return TAKES
    inside = [path for path in (scratch / "in").rglob("*") if path.is_file()]
    return LEAKS if any(SECRET in path.read_bytes() for path in inside) else TAKES

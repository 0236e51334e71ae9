"""The ``.mf`` beside an OVF: checksums of the files of an appliance, in all spellings that are found.

``SHA1(disk1.vmdk)= HEX``, as OVF has it; spaces, upper case and other line ends are exporters'.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hypersdkd.host.appliance_names import spellings
from hypersdkd.host.checksum import digits_of
from hypersdkd.host.image_file import ImageFile
from hypersdkd.model.problem import fail, one_line

#: Bytes, and files, that are read at most.
MAX_BYTES: Final = 1 << 20
_MAX_FILES: Final = 1000

_LINE: Final = re.compile(rb"\s*(SHA-?(?:1|256|384|512))\s*\((.+)\)\s*=\s*([0-9a-fA-F]+)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file's checksum is to be: ``algorithm`` as hashlib names it, the digits in lower case."""

    algorithm: str
    digits: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digits}"


def read(text: bytes, name: str) -> dict[str, Digest]:
    """The checksums by file name, relative to the directory of ``name``, in every spelling that may be meant.

    Raises ``image-invalid``, also for two different checksums of a file, and ``image-limits``.
    """
    if len(text) > MAX_BYTES:
        raise fail("image-limits", f"{name} has over {MAX_BYTES} bytes")
    found: dict[str, Digest] = {}
    as_written: dict[str, Digest] = {}
    for number, line in enumerate(_in_utf8(text).splitlines(), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        digest = _digest(match) if match else None
        if match is None or digest is None:
            message = f"line {number} of {name} is not a checksum: {one_line(repr(line[:80]))}"
            raise fail("image-invalid", message)
        file, *others = spellings(match[2].strip().decode("utf-8", "surrogateescape"))
        if found.get(file, digest) != digest:
            raise fail("image-invalid", f"{name} has two checksums of {one_line(file)[:200]}")
        found[file] = digest
        as_written |= dict.fromkeys(others, digest)
        if len(found) > _MAX_FILES:
            raise fail("image-limits", f"{name} has checksums of over {_MAX_FILES} files")
    return as_written | found


def _in_utf8(text: bytes) -> bytes:
    """As it is, without a mark; but UTF-16, which PowerShell writes unless it is told otherwise, decoded."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return text.decode("utf-16", "replace").encode("utf-8", "replace")
    return text.removeprefix(codecs.BOM_UTF8)


def _digest(match: re.Match[bytes]) -> Digest | None:
    algorithm = match[1].decode().lower().replace("-", "")
    digits = match[3].decode().lower()
    return Digest(algorithm, digits) if len(digits) == 2 * hashlib.new(algorithm).digest_size else None


def digest_of(image: ImageFile, algorithm: str, on_progress: Callable[[int, int], None]) -> Digest:
    """A file's checksum; ``on_progress`` gets bytes done and in all. Raises what
    :func:`hypersdkd.host.checksum.digits_of` does."""

    def tell(done: int) -> None:
        on_progress(done, image.size)

    return Digest(algorithm, digits_of(image.fd, image.name, algorithm, image.base, image.size, tell))

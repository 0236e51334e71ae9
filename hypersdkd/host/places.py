"""Which places of a file are taken: a bit each, for a hostile image's table can name millions."""

from __future__ import annotations

from typing import Final

from hypersdkd.host.image_file import ImageFile
from hypersdkd.model.problem import fail

#: Places that are counted at most: 128 MiB of bits, for a file of 1 PiB with a place for each MiB.
_MAX: Final = 1 << 30


class Places:
    """Of ``image``, a place for each ``unit`` bytes."""

    def __init__(self, image: ImageFile, unit: int) -> None:
        self._name = image.name
        self._unit = unit
        self._bits = bytearray()

    def take(self, offset: int) -> bool:
        """Take the place in which byte ``offset`` is; false if it is taken. Raises ``image-limits`` far behind all."""
        number = offset // self._unit
        if number >= _MAX:
            raise fail("image-limits", f"{self._name} has data at byte {offset}; {_MAX * self._unit} are allowed")
        at, bit = number >> 3, 1 << (number & 7)
        if at >= len(self._bits):
            self._bits += bytes(max(at + 1, 2 * len(self._bits)) - len(self._bits))
        if self._bits[at] & bit:
            return False
        self._bits[at] |= bit
        return True

"""Give up root's powers but for those over files: Landlock confines files, not what root may do by capabilities.

Constants: linux/capability.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

#: To read and write files of others (DAC_OVERRIDE, DAC_READ_SEARCH), within what Landlock leaves, and to ask whether
#: somebody writes to them (LEASE).
_FILES: Final = 1 << 1 | 1 << 2 | 1 << 28

#: To give files to others and change the mode of theirs (CHOWN, FOWNER): tar does, when root unpacks.
_OWNERS: Final = 1 << 0 | 1 << 3

_VERSION_3: Final = 0x20080522

_libc: Final = ctypes.CDLL(None, use_errno=True)


def drop_capabilities(*, but_owners: bool = False) -> None:
    """Keep of this thread's capabilities those to read and write files, for good, also in what it starts.

    ``but_owners`` also those over who owns a file, of any that it can name. Raises ``OSError``.

    Programs that root starts would get them back, but for ``no_new_privs``: set that as well.
    """
    header = struct.pack("=Ii", _VERSION_3, 0)
    found = ctypes.create_string_buffer(24)
    _checked(_libc.capget(header, found))
    mask = _FILES | (_OWNERS if but_owners else 0)
    had = struct.unpack("=6I", found.raw)  # those from 32 on are in the last three
    low = [value & mask for value in had[:3]]
    if had == (*low, 0, 0, 0):
        return  # a service's filter may refuse the call itself
    _checked(_libc.capset(header, struct.pack("=6I", *low, 0, 0, 0)))


def _checked(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"capabilities: {os.strerror(code)}")

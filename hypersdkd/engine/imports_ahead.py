"""What a worker imports before its first step, so that an upgrade under it changes nothing for it.

A guest takes hours; meanwhile its worker's program may be replaced by a newer version. Modules that were imported
stay as they are, but one that is imported then would be of another version than those that call it, or be gone.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Final

#: Every module that anything in a worker imports within a function, to be started sooner. A test holds this list to the
#: code. Plugins' own modules are loaded with the plugins.
LATER: Final = (
    "backports.zstd",
    "guestfs",
    "hypersdkd.model.yaml_document",
    "lz4.block",
    "oslo_utils.imageutils.format_inspector",
)


def import_ahead() -> None:
    """Import them all, which takes 80 ms; whoever needs one that is not installed will say so."""
    for name in LATER:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)

"""The one door into the queue: a file appears in the drop directory whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypersdkd.engine.names import MAX_ID_BYTES
from hypersdkd.engine.spool import Spool
from hypersdkd.host.files import write_new
from hypersdkd.model.problem import fail
from hypersdkd.model.replies import Receipt


class Door:
    """Implements ``spec.ports.DropDirectory``. Blocks: plugins call it in their thread."""

    def __init__(self, spool: Spool, not_for_us: Callable[[str], str]) -> None:
        self._spool = spool
        self._not_for_us = not_for_us

    def put(self, name: str, content: bytes) -> Receipt:
        """See the port. The name must be one that the intake would take."""
        if "/" in name or "\0" in name or not name.isprintable() or len(name.encode()) > MAX_ID_BYTES:
            raise fail("name-invalid", f"{name!r} cannot be the name of a job", path="name")
        refusal = self._not_for_us(name)
        if refusal:
            raise fail("name-invalid", f"{name} would not be taken: {refusal}", path="name")
        target = self._spool.layout.drop / name
        if self._spool.taken(name) or os.path.lexists(target):
            raise FileExistsError(str(target))
        try:
            write_new(self._spool.layout.scratch, target, content)
        except FileExistsError:
            raise
        except OSError as error:
            raise fail("queue-unusable", f"{target} cannot be written: {error.strerror}") from error
        return Receipt(str(target), name)

"""The one door into the queue: a file appears in the drop directory whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable

from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.names import MAX_ID_BYTES
from hypersdkd.host.files import write_new
from hypersdkd.model.problem import fail
from hypersdkd.model.replies import Receipt


class Door:
    """Implements ``spec.ports.DropDirectory``. Blocks: plugins call it in their thread."""

    def __init__(self, layout: QueueLayout, taken: Callable[[str], bool], not_for_us: Callable[[str], str]) -> None:
        """``taken``: whether a job beyond the drop directory has the name; ``not_for_us``: why a name is no job."""
        self._layout = layout
        self._taken = taken
        self._not_for_us = not_for_us

    def taken(self, name: str) -> bool:
        """Whether any job of any state has the name, or a file that waits. In this order: a claim moves it on."""
        return os.path.lexists(self._layout.drop / name) or self._taken(name)

    def check(self, name: str) -> Receipt:
        """What :meth:`put` would answer, or raise because of the name."""
        if "/" in name or "\0" in name or not name.isprintable() or len(name.encode()) > MAX_ID_BYTES:
            raise fail("name-invalid", f"{name!r} cannot be the name of a job", path="name")
        refusal = self._not_for_us(name)
        if refusal:
            raise fail("name-invalid", f"{name} would not be taken: {refusal}", path="name")
        target = str(self._layout.drop / name)
        if self.taken(name):
            raise FileExistsError(target)
        return Receipt(target, name)

    def put(self, name: str, content: bytes) -> Receipt:
        """See the port. The name must be one that the intake would take."""
        receipt = self.check(name)
        try:
            write_new(self._layout.scratch, self._layout.drop / name, content)
        except FileExistsError:
            raise
        except OSError as error:
            raise fail("queue-unusable", f"{receipt.manifest_path} cannot be written: {error.strerror}") from error
        return receipt

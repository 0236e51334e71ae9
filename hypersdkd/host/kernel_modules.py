"""Which files of ``/lib/modules/RELEASE`` a driver needs: what depmod wrote, read as modules.dep(5) tells."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: Endings of a module's file.
_SUFFIX: Final = re.compile(r"\.ko(\.(gz|xz|zst))?$")


@dataclass(frozen=True, slots=True)
class KernelModules:
    """``files`` is from a module's name to its file in the directory; ``needs`` from a file to those that it needs."""

    files: Mapping[str, str]
    needs: Mapping[str, tuple[str, ...]]
    builtin: frozenset[str]

    @classmethod
    def parse(cls, dep: bytes, builtin: bytes) -> KernelModules:
        """Of the content of ``modules.dep`` and ``modules.builtin``; lines that are none are passed over."""
        files, needs = {}, {}
        for line in dep.decode(errors="surrogateescape").splitlines():
            path, colon, rest = line.partition(":")
            if colon and is_inside(path):
                files[module_name(path)] = path
                needs[path] = tuple(filter(is_inside, rest.split()))
        inside = builtin.decode(errors="surrogateescape").splitlines()
        return cls(files, needs, frozenset(map(module_name, inside)))

    def closure(self, names: Iterable[str]) -> tuple[str, ...]:
        """The files of these modules and of all that they need, those first that others need; each once."""
        found: dict[str, None] = {}
        for name in names:
            path = self.files.get(name)
            if path is not None:
                # What modules.dep lists is complete, and each comes before what it needs.
                found.update(dict.fromkeys([*reversed(self.needs[path]), path]))
        return tuple(found)

    def lacking(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that the kernel has neither as a module nor built in."""
        return tuple(name for name in names if name not in self.files and name not in self.builtin)


def module_name(path: str) -> str:
    """The module's name, whose file may have dashes for underscores: ``kernel/x/virtio-rng.ko.xz`` → ``virtio_rng``."""
    return _SUFFIX.sub("", posixpath.basename(path.strip())).replace("-", "_")


def is_module(path: str) -> bool:
    """Whether a file's name is a module's."""
    return _SUFFIX.search(path) is not None


def is_inside(path: str) -> bool:
    """Whether it is a plain path below the directory of modules, as depmod writes them for all that it finds there."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and path.isprintable()

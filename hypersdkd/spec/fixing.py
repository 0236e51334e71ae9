"""For authors of fixers: to read and edit a guest's text files, with what is unusual about one told and left."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

from hypersdkd.model.problem import ProblemError
from hypersdkd.spec.system import FixContext

#: Files of a directory that are looked at: each is a question to the appliance.
_MOST_FILES: Final = 1000


def attempt(context: FixContext, action: Callable[[], None]) -> None:
    """Do what concerns one file; if that is unusual it is told as a warning, and the other files are gone on with."""
    try:
        action()
    except ProblemError as error:
        if error.problem.code != "guest-file-unusual":
            raise
        context.warn(error.problem)


def text_of(context: FixContext, path: str) -> str | None:
    """A text file of the guest; ``None`` where there is none, or where it is unusual, which is a warning.

    Bytes that are no UTF-8 are kept: what is made of the text by ``encode(errors="surrogateescape")`` has them again.
    """
    contents: list[bytes | None] = []
    attempt(context, lambda: contents.append(context.system.read(path)))
    content = contents[0] if contents else None
    return None if content is None else content.decode(errors="surrogateescape")


def edit(context: FixContext, path: str, change: Callable[[str], str]) -> None:
    """Put ``change(text)`` in the place of a text file; nothing is done where there is none or nothing changes."""

    def put() -> None:
        content = context.system.read(path)
        if content is None:
            return
        changed = change(content.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        if changed != content:
            context.system.write(path, changed)

    attempt(context, put)


def files_in(context: FixContext, directory: str, suffix: str = "") -> Iterator[str]:
    """The paths of what lies in a directory under names that end so, sorted, at most 1,000.

    Hidden ones are left out, and links to ``/dev/null``, by which an administrator switches a file off.
    """
    names = (name for name in context.system.names(directory) if name.endswith(suffix) and not name.startswith("."))
    for path in islice((f"{directory}/{name}" for name in names), _MOST_FILES):
        if context.system.target(path) != "/dev/null":
            yield path


def present(context: FixContext, paths: Iterable[str]) -> Iterator[str]:
    """Those of some paths that are there; each directory is looked at once, which is quicker than each path."""
    listed: dict[str, frozenset[str]] = {}

    def inside(directory: str) -> frozenset[str]:
        if directory not in listed:
            above, name = posixpath.split(directory)
            there = directory == "/" or name in inside(above)
            listed[directory] = frozenset(context.system.names(directory) if there else ())
        return listed[directory]

    for path in paths:
        directory, name = posixpath.split(path)
        if name in inside(directory):
            yield path

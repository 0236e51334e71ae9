"""An appliance's files against its ``.mf``: each that is named there is what it promises, and no disk is left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.image_source import fingerprint
from hypersdkd.host.ovf_manifest import Digest, digest_of
from hypersdkd.model.problem import Problem, ProblemError, fail, one_line

#: Bytes whose checksum takes longer than a thread for it is worth: some hundredths of a second.
_LONG: Final = 32 << 20


class ApplianceChecksums:
    """``promised`` by the ``.mf`` called ``name``, by file names relative to its directory; without one nothing is
    promised, and ``name`` is empty.

    ``lenient`` is ``load.ignore_checksums``: what is wrong goes to ``warn`` instead of being raised. ``check`` is told
    of each file, ``on_progress`` of bytes done and in all.
    """

    def __init__(
        self,
        name: str,
        promised: Mapping[str, Digest],
        *,
        lenient: bool,
        check: Callable[[str, bool, str], None],
        warn: Callable[[Problem], None],
        on_progress: Callable[[int, int], None],
    ) -> None:
        self.name = name
        self._promised = promised
        self._lenient = lenient
        self._check = check
        self._warn = warn
        self._on_progress = on_progress
        self._known: set[str] = set()  # those that were looked at, or told of
        self._later: list[tuple[str, Digest, ImageFile, tuple[int, ...]]] = []

    def require(self, file: str) -> None:
        """Of a file that a disk is in: raises ``source-checksum`` if the ``.mf`` does not cover it."""
        if self.name and file not in self._promised and file not in self._known:
            self._known.add(file)
            self._wrong(Problem("source-checksum", f"{self.name} has no checksum of {one_line(file)[:200]}"))

    def mention(self, file: str) -> None:
        """Of a file that says something of the guest: a warning if the ``.mf`` does not cover it."""
        if self.name and file not in self._promised:
            self._warn(Problem("source-checksum", f"{self.name} has no checksum of {one_line(file)[:200]}"))

    def verify(self, file: str, image: ImageFile) -> None:
        """Read a file, once: raises ``source-checksum`` if it is not the promised one."""
        digest = self._promised.get(file)
        if digest is None or file in self._known:
            return
        self._known.add(file)
        self._judge(file, digest, digest_of(image, digest.algorithm, self._on_progress))

    def verify_later(self, file: str, image: ImageFile) -> None:
        """The same for :meth:`hash_the_rest`, if it takes long; such files must stay what they are meanwhile."""
        if image.size < _LONG:
            self.verify(file, image)
        elif (digest := self._promised.get(file)) is not None and file not in self._known:
            self._known.add(file)
            self._later.append((file, digest, replace(image, fd=os.dup(image.fd)), fingerprint(image.fd)))

    @property
    def unread(self) -> bool:
        """Whether there is anything left for :meth:`hash_the_rest`."""
        return bool(self._later)

    def hash_the_rest(self) -> Callable[[], None]:
        """Read what was left for later; may run beside anything. What it returns judges, and raises what
        :meth:`verify` does. Raises ``image-limits``, and ``source-changed`` for a file written to since it was left."""
        found, later, self._later = [], self._later, []
        with ExitStack() as stack:
            for _file, _digest, image, _before in later:
                stack.callback(os.close, image.fd)
            for file, digest, image, before in later:
                found.append((file, digest, digest_of(image, digest.algorithm, lambda _done, _all: None)))
                if fingerprint(image.fd) != before:
                    raise fail("source-changed", f"{image.name} was written to while it was read")

        def conclude() -> None:
            for file, digest, is_digest in found:
                self._judge(file, digest, is_digest)

        return conclude

    def _judge(self, file: str, digest: Digest, found: Digest) -> None:
        self._check("source-checksum", found == digest, f"{one_line(file)[:200]} {found}")
        if found != digest:
            message = f"{one_line(file)[:200]} has the checksum {found}; the export's .mf says {digest}"
            self._wrong(Problem("source-checksum", message))

    def _wrong(self, problem: Problem) -> None:
        if not self._lenient:
            raise ProblemError(problem)
        self._warn(problem)

    @property
    def verified(self) -> int:
        """How many files were read for their checksums."""
        return len(self._known & self._promised.keys())

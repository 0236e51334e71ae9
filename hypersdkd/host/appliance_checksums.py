"""An appliance's files against its ``.mf``: each that is named there is what it promises, and no disk is left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hypersdkd.host.image_file import ImageFile
from hypersdkd.host.ovf_manifest import Digest, digest_of
from hypersdkd.model.problem import Problem, ProblemError, one_line


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
        found = digest_of(image, digest.algorithm, self._on_progress)
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

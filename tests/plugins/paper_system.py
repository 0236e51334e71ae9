"""A guest on paper: files in a dictionary, under the same rules as those of a real one."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hypersdkd.host.guest_system import RecordedSystem
from hypersdkd.model.guest import Guest
from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import Problem, fail


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Device:
    """Anything that is neither a file nor a directory nor a link."""


Entry = bytes | Link | Device

#: Stands for a program of the guest: its standard output, or a ``ProblemError``. It may change the files.
Program = Callable[[dict[str, Entry], Sequence[str]], str]


class PaperSystem(RecordedSystem):
    """A guest with these files; directories are those that the paths need. ``files`` shows what became of them.

    ``programs`` are by ``argv[0]``; ``ran`` lists what was run; ``modes`` has those of files that were made.
    """

    def __init__(
        self,
        files: Mapping[str, Entry | str],
        facts: GuestFacts | None = None,
        programs: Mapping[str, Program] | None = None,
        free: int = 1 << 30,
    ) -> None:
        entries = {path: entry.encode() if isinstance(entry, str) else entry for path, entry in files.items()}
        self.paper = _PaperFiles(entries, programs or {}, free)
        super().__init__(self.paper, facts or GuestFacts(os_type="linux"))

    @property
    def files(self) -> dict[str, Entry]:
        """All entries by their path."""
        return self.paper.entries

    @property
    def ran(self) -> list[tuple[str, ...]]:
        """What was run."""
        return self.paper.ran

    def text(self, path: str) -> str:
        """A file's content."""
        content = self.files[path]
        assert isinstance(content, bytes)
        return content.decode()


@dataclass
class PaperContext:
    """A fixer's context that keeps what it says."""

    system: PaperSystem
    options: Mapping[str, object] = field(default_factory=dict)
    findings: dict[str, object] = field(default_factory=dict)
    guest: Guest = field(default_factory=lambda: Guest("web01", ()))
    checks: list[tuple[str, bool, str]] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def finding(self, key: str, value: object) -> None:
        self.findings[key] = value

    def check(self, name: str, passed: bool, detail: str = "") -> None:
        self.checks.append((name, passed, detail))

    def warn(self, problem: Problem) -> None:
        self.warnings.append(problem)

    def log(self, line: str) -> None:
        self.lines.append(line)


class _PaperFiles:
    def __init__(self, entries: dict[str, Entry], programs: Mapping[str, Program], free: int) -> None:
        self.entries = entries
        self.programs = programs
        self.bytes_free = free
        self.modes: dict[str, int] = {}
        self.ran: list[tuple[str, ...]] = []

    def _real(self, path: str, *, last: bool) -> str:
        """Links in the path replaced; at its end only if ``last``."""
        done, rest, hops = "/", [part for part in path.split("/") if part], 0
        while rest:
            part = rest.pop(0)
            here = posixpath.normpath(posixpath.join(done, part))
            entry = self.entries.get(here)
            if isinstance(entry, Link) and (rest or last):
                hops += 1
                if hops > 40:
                    raise fail("guest-file-unusual", f"{path}: too many levels of symbolic links")
                rest = [*(name for name in entry.target.split("/") if name), *rest]
                done = "/" if entry.target.startswith("/") else done
            else:
                done = here
        return done

    def resolve(self, path: str) -> str | None:
        real = self._real(path, last=True)
        return real if self.kind(real) else None

    def kind(self, path: str) -> str:
        real = self._real(path, last=False)
        match self.entries.get(real):
            case bytes():
                return "file"
            case Link():
                return "link"
            case Device():
                return "other"
            case _:
                return "directory" if real == "/" or any(name.startswith(f"{real}/") for name in self.entries) else ""

    def _file(self, path: str) -> bytes:
        entry = self.entries[self._real(path, last=False)]
        assert isinstance(entry, bytes)
        return entry

    def size(self, path: str) -> int:
        return len(self._file(path))

    def target(self, path: str) -> str:
        entry = self.entries[self._real(path, last=False)]
        assert isinstance(entry, Link)
        return entry.target

    def names(self, directory: str) -> Sequence[str]:
        head = directory.rstrip("/") + "/"
        return sorted({path[len(head) :].split("/")[0] for path in self.entries if path.startswith(head)})

    def free(self, path: str) -> int:
        assert self.resolve(path), path
        return self.bytes_free

    def read(self, path: str) -> bytes:
        return self._file(path)

    def write(self, path: str, content: bytes, mode: int | None) -> None:
        real = self._real(path, last=False)
        if mode is not None:
            self.modes[real] = mode
        self.entries[real] = content

    def append(self, path: str, content: bytes) -> None:
        self.write(path, self._file(path) + content, None)

    def remove(self, path: str) -> None:
        del self.entries[self._real(path, last=False)]

    def link(self, path: str, target: str) -> None:
        self.entries[self._real(path, last=False)] = Link(target)

    def make_directories(self, path: str) -> None:
        assert self.kind(self._real(path, last=True)) in {"", "directory"}

    def run(self, argv: Sequence[str], seconds: float) -> str:
        self.ran.append(tuple(argv))
        if argv[0] not in self.programs:
            raise fail("guest-command-failed", f"{argv[0]}: command not found")
        return self.programs[argv[0]](self.entries, argv)

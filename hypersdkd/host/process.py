"""Run a program to its end: bounded in time and output, with nothing of it left behind.

The child leads a process group of its own, but stays in our session: whoever looks for what a worker
left behind finds it by the session. It dies with us, also when we are killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.host.landlock import Confinement, confining
from hypersdkd.model.problem import fail

#: Debian's package of each program that is run.
PACKAGES: Final[Mapping[str, str]] = {
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
}

#: Bytes of standard output that are kept; what follows is read and dropped.
OUTPUT_LIMIT: Final = 1 << 20

#: Bytes at the end of standard error that are kept.
ERROR_LIMIT: Final = 16 << 10

#: The longest piece without a line end that is gathered before it counts as a line.
LINE_LIMIT: Final = 4096

#: The longest time between two calls of ``watch``, in seconds.
WATCH_SECONDS: Final = 0.5

_CHUNK: Final = 64 << 10
_DRAIN_ROUNDS: Final = 64  # a pipe holds 64 KiB, at most 1 MiB
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a child; ``None`` leaves one as it is. Bytes and seconds of processor time."""

    address_space: int | None = None
    cpu_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that has ended. ``returncode`` is negative for a signal, as in ``subprocess``."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: str


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    watch: Callable[[], None] | None = None,
    limits: Limits = Limits(),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    confinement: Confinement | None = None,
) -> Finished:
    """Run ``argv`` and wait for its end, at most ``timeout`` seconds.

    ``on_line`` gets each piece of standard output that ends in a newline or a carriage return, without it.
    ``watch`` is called at least twice a second. Either may raise: the child is ended and the exception
    goes on. ``env`` is added to ours, with the C locale. With ``confinement`` the child can open nothing but what
    that names. Whatever the child started in its group is killed when it has ended. Raises ``tool-missing`` and
    ``tool-timeout``.
    """
    words = tuple(os.fspath(word) for word in argv)
    deadline = time.monotonic() + timeout
    with _spawn(words, limits, cwd, env, pass_fds, confinement) as child, _Output(child, on_line) as output:
        try:
            while not output.ended:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise fail("tool-timeout", f"{words[0]} did not end within {timeout:g} s", detail=output.errors())
                output.pump(min(WATCH_SECONDS, remaining))
                if watch is not None:
                    watch()
            output.drain()
        finally:
            _end_group(child)
        return Finished(words, child.returncode, bytes(output.kept), output.errors())


def describe_signal(number: int) -> str:
    """Why a child ended that ended by a signal."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = "unnamed"
    why = "; somebody killed it, or memory ran out (see the kernel's log)" if number == signal.SIGKILL else ""
    return f"it was ended by signal {number} ({name}){why}"


def _spawn(
    words: tuple[str, ...],
    limits: Limits,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    pass_fds: Sequence[int],
    confinement: Confinement | None,
) -> subprocess.Popen[bytes]:
    """Start the child; its standard input is empty."""
    try:
        with confining(words[0], confinement) as restrict:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C", **(env or {})},
                pass_fds=tuple(pass_fds),
                process_group=0,
                preexec_fn=_child_setup(limits, restrict),
            )
    except FileNotFoundError as error:
        package = PACKAGES.get(words[0], "")
        remedy = f"Install it: `apt install {package}`." if package else ""
        raise fail("tool-missing", f"the program {words[0]} is not installed", remedy=remedy) from error
    except PermissionError as error:
        raise fail("tool-missing", f"the program {words[0]} may not be run: {error.strerror}") from error


def _child_setup(limits: Limits, restrict: Callable[[], None]) -> Callable[[], None]:
    """What the child does before it becomes the program; all look-ups are made here, before the fork."""
    prctl = ctypes.CDLL(None, use_errno=False).prctl
    parent = os.getpid()
    wanted = ((resource.RLIMIT_AS, limits.address_space), (resource.RLIMIT_CPU, limits.cpu_seconds))
    settings = [(kind, value) for kind, value in wanted if value is not None]

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the signal was asked for
            os._exit(1)
        for kind, value in settings:
            resource.setrlimit(kind, (value, value))
        restrict()

    return prepare


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's group; its status is taken last, so that its number is not another's yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class _Output:
    """Both output pipes of a child, read as they fill, so that it never waits for us; bounded memory."""

    def __init__(self, child: subprocess.Popen[bytes], on_line: Callable[[str], None] | None) -> None:
        self.kept = bytearray()
        self.ended = False
        self._tail = bytearray()
        self._piece = bytearray()
        self._on_line = on_line
        self._selector = selectors.DefaultSelector()
        self._pidfd = os.pidfd_open(child.pid)
        self._selector.register(self._pidfd, selectors.EVENT_READ)
        for stream, take in ((child.stdout, self._take_output), (child.stderr, self._take_error)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, selectors.EVENT_READ, take)

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        os.close(self._pidfd)

    def errors(self) -> str:
        """The end of standard error."""
        return self._tail.decode(errors="backslashreplace").strip()

    def pump(self, seconds: float) -> bool:
        """Take what is there, waiting at most ``seconds`` for it; whether there was anything."""
        ready = self._selector.select(seconds)
        for key, _ in ready:
            if key.fd == self._pidfd:
                self.ended = True
                self._selector.unregister(key.fileobj)
            elif chunk := os.read(key.fd, _CHUNK):
                key.data(chunk)
            else:
                self._selector.unregister(key.fileobj)
        return bool(ready)

    def drain(self) -> None:
        """Take what the ended child left in its pipes; others that hold them open are not waited for."""
        for _ in range(_DRAIN_ROUNDS):
            if not self.pump(0):
                break
        self._line_end()

    def _take_error(self, chunk: bytes) -> None:
        self._tail += chunk
        del self._tail[:-ERROR_LIMIT]

    def _take_output(self, chunk: bytes) -> None:
        self.kept += chunk[: max(0, OUTPUT_LIMIT - len(self.kept))]
        if self._on_line is None:
            return
        first, *rest = chunk.replace(b"\r", b"\n").split(b"\n")
        self._piece += first[:LINE_LIMIT]
        for piece in rest:
            self._line_end()
            self._piece += piece[:LINE_LIMIT]
        if len(self._piece) > LINE_LIMIT:
            self._line_end()

    def _line_end(self) -> None:
        if self._on_line is not None and self._piece:
            line = self._piece.decode(errors="backslashreplace")
            self._piece.clear()
            self._on_line(line)

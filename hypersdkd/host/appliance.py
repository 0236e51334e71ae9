"""libguestfs' appliance: a small virtual machine in which a guest's file systems are mounted, never by this host.

It has no network, bounded memory, and nothing of the host but the overlays that it is given. libguestfs' calls block;
each has a time limit after which the appliance is killed, so that the call returns.
"""

from __future__ import annotations

import contextlib
import os
import signal
import string
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, cast

from hypersdkd.host.appliance_cache import ApplianceFiles, appliance_files
from hypersdkd.host.guestfs_binding import Guestfs
from hypersdkd.model.problem import ProblemError, fail

#: Memory of the appliance in MiB; libguestfs takes 1280 by itself, and needs half of this for common file systems.
MEMORY_MIB: Final = 1024

#: Seconds that the launch may take: 12 with TCG on two busy processors.
LAUNCH_SECONDS: Final = 300.0

#: Seconds that one call may take unless it says otherwise: mounting may replay a journal, inspecting reads all disks.
CALL_SECONDS: Final = 300.0

#: Seconds between two looks for what is to be killed.
_KILL_AGAIN: Final = 0.05

#: libguestfs' first words when its QEMU is gone.
_GONE: Final = ("appliance closed the connection", "unexpected end of file", "killed by signal", "call launch before")


def drive_label(number: int) -> str:
    """The label of drive ``number``: ``/dev/disk/guestfs/LABEL`` in the appliance. It may have letters only."""
    high, low = divmod(number, 26)
    return f"disk{string.ascii_lowercase[high]}{string.ascii_lowercase[low]}"


class Appliance:
    """A running appliance over some overlays; a context manager. ``guestfs`` is its handle, each call guarded.

    ``version`` is libguestfs'; ``slow`` says why it runs without KVM, empty if it runs with it.
    """

    def __init__(self, binding: object, version: str, slow: str) -> None:
        self._watch = _Watch()
        self.guestfs = cast(Guestfs, _Guarded(binding, self._watch))
        self.version = version
        self.slow = slow
        self._close: Callable[[], None] = cast(Guestfs, binding).close

    @classmethod
    def launch(cls, overlays: Sequence[Path], scratch: Path, files: ApplianceFiles) -> Appliance:
        """Start it. ``overlays`` are qcow2 files that may be written, in boot order; ``scratch`` a directory of ours,
        ``files`` what :func:`prepare` made.

        Raises ``appliance-missing -failed -timeout``.
        """
        binding = _binding()
        plain = cast(Guestfs, binding)
        found = plain.version()
        version = f"{found['major']}.{found['minor']}.{found['release']}"
        appliance = cls(binding, version, files.kvm_obstacle)
        try:
            _set_up(appliance.guestfs, overlays, scratch, files)
            with appliance.limited(LAUNCH_SECONDS):
                appliance.guestfs.launch()
        except BaseException as error:
            appliance.close()
            if isinstance(error, ProblemError) and error.problem.code == "guest-damaged":
                raise fail("appliance-failed", error.problem.message) from error
            raise
        return appliance

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def limited(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Calls inside it may take that long."""
        return self._watch.limited(seconds)

    def shut_down(self) -> None:
        """End it with all that was written in the overlays. Raises ``appliance-failed`` if that is not certain."""
        try:
            self.guestfs.umount_all()
            self.guestfs.shutdown()
        except ProblemError as error:
            raise fail("appliance-failed", f"the appliance did not end well: {error.problem.message}") from error
        finally:
            self.close()

    def close(self) -> None:
        """End it at once, whatever was written. Safe to call twice."""
        close, self._close = self._close, lambda: None
        with contextlib.suppress(RuntimeError), self._watch.over("close"):
            close()


def prepare(cache: Path) -> ApplianceFiles:
    """Make the appliance's files where they are missing or old. Raises as :func:`appliance_files` does."""
    binding = _binding()
    try:
        return appliance_files(cache, cast(Guestfs, binding).get_path())
    finally:
        cast(Guestfs, binding).close()


def _binding() -> object:
    try:
        import guestfs  # noqa: PLC0415 - takes 20 ms, and only guests that are looked into need it
    except ImportError as error:
        raise fail("appliance-missing", f"this Python cannot use libguestfs: {error}") from error
    return guestfs.GuestFS(python_return_dict=True, close_on_exit=False)


def _set_up(guestfs: Guestfs, overlays: Sequence[Path], scratch: Path, files: ApplianceFiles) -> None:
    guestfs.set_backend("direct")
    guestfs.set_backend_settings(["force_tcg"] if files.kvm_obstacle else [])
    guestfs.set_path(str(files.directory))
    guestfs.set_tmpdir(str(scratch))
    guestfs.set_cachedir(str(scratch))
    guestfs.set_memsize(MEMORY_MIB)
    guestfs.set_smp(1)
    guestfs.set_network(False)
    guestfs.set_autosync(True)
    for number, overlay in enumerate(overlays):
        # An overlay is lost with its attempt: nothing of it need be on the disk before the attempt goes on.
        guestfs.add_drive(str(overlay), format="qcow2", label=drive_label(number), cachemode="unsafe")


class _Watch:
    """Kills what this process has started when a call takes too long. A worker calls nothing else meanwhile."""

    def __init__(self) -> None:
        self._seconds = CALL_SECONDS
        self._before = _children()

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        former, self._seconds = self._seconds, seconds
        try:
            yield
        finally:
            self._seconds = former

    @contextlib.contextmanager
    def over(self, name: str) -> Iterator[None]:
        done, expired = threading.Event(), threading.Event()
        thread = threading.Thread(target=self._wait, args=(self._seconds, done, expired), daemon=True)
        thread.start()
        try:
            yield
        except RuntimeError as error:
            if expired.is_set():
                raise fail("appliance-timeout", f"libguestfs: {name} did not end within {self._seconds:g} s") from error
            raise
        finally:
            done.set()
            thread.join()

    def _wait(self, seconds: float, done: threading.Event, expired: threading.Event) -> None:
        if done.wait(seconds):
            return
        expired.set()
        while not done.wait(_KILL_AGAIN):  # libguestfs starts several programs, one after the other
            for pid in _children() - self._before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _children() -> set[int]:
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found.update(map(int, (thread / "children").read_text().split()))
    return found


@dataclass(frozen=True)
class _Guarded:
    """A handle, each of whose calls has a time limit and raises problems."""

    _handle: object
    _watch: _Watch

    def __getattr__(self, name: str) -> Callable[..., object]:
        call = getattr(self._handle, name)

        def guarded(*arguments: object, **options: object) -> object:
            try:
                with self._watch.over(name):
                    return call(*arguments, **options)
            except RuntimeError as error:
                raise _problem(name, str(error)) from error
            except (UnicodeError, ValueError) as error:  # what a guest calls its files need not be text
                raise fail("guest-damaged", f"libguestfs: {name}: {error}") from error

        return guarded


def _problem(name: str, text: str) -> ProblemError:
    first = text.strip().split("\n")[0]
    message = f"libguestfs: {first}" if first.startswith(name) else f"libguestfs: {name}: {first}"
    if any(word in text for word in _GONE):
        return fail("appliance-failed", f"the appliance died: {message}", detail=text)
    if "No space left on device" in text:
        return fail("guest-no-space", message)
    return fail("guest-damaged", message, detail=text)

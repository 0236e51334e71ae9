"""A real daemon in a process of its own, for tests: started, told apart from ready, killed, stopped.

Nothing here sleeps: readiness comes by sd_notify, and changes of the queue by inotify.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from inotify_simple import INotify, flags

from hypersdkd.client.address import Address
from hypersdkd.client.http import Daemon

#: Seconds that anything here may take before a test gives up; far above what a slow machine needs.
PATIENCE = 60.0

_CHANGES = flags.CREATE | flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.MODIFY


def until(condition: Callable[[], bool], *directories: Path, patience: float = PATIENCE) -> None:
    """Return when ``condition`` holds; it is tried at each change below ``directories``."""
    deadline = time.monotonic() + patience
    with contextlib.closing(INotify()) as changes:
        while True:
            for directory in directories:
                for parent, _names, _files in os.walk(directory):
                    with contextlib.suppress(OSError):
                        changes.add_watch(parent, _CHANGES)
            if condition():
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"not within {patience:g} s")
            changes.read(timeout=min(left, 0.5) * 1000)


class DaemonProcess:
    """``hypersdkd`` on a queue below ``root``; use it as a context manager."""

    def __init__(
        self,
        root: Path,
        *,
        mode: str = "manifest",
        workers: int = 2,
        executor: str = "local",
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        disabled: Sequence[str] = (),
        api: Mapping[str, object] | None = None,
        **workflow: object,
    ) -> None:
        """``prefix`` is a command that starts the daemon, such as ``setpriv``; ``disabled`` are plugins that it does
        without; ``workflow`` are settings of it, and ``api`` further ones of the API.
        """
        self.root = root
        self.base = root / "base"
        self.socket = root / "api.sock"
        self.log = root / "daemon.log"
        self.plugins = root / "plugins"
        self.plugins.mkdir(mode=0o755, exist_ok=True)
        self._environment = dict(environment or {})
        self._config = root / "config.yaml"
        self.prefix = tuple(prefix)
        self._command = [*prefix, sys.executable, "-m", "hypersdkd", "--config", str(self._config)]
        self._process: subprocess.Popen[bytes] | None = None
        self.settings: dict[str, object] = {
            "mode": mode,
            "executor": executor,
            "workflow": {
                "base_dir": str(self.base),
                "max_workers": workers,
                "source_dirs": [str(root)],
                "settle_seconds": 0.2,
                "poll_interval": 0.5,
                "drain_seconds": 20,
                **workflow,
            },
            "api": {"listen": ["127.0.0.1:0"], "socket": str(self.socket), **(api or {})},
            "plugins": {"dirs": [str(self.plugins)], "disabled": list(disabled)},
        }
        self._config.write_text(yaml.safe_dump(self.settings))

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it and wait until it says that it is ready."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            notices.bind("")  # autobind: an abstract name of its own
            name = notices.getsockname()
            address = name.decode() if isinstance(name, bytes) else name
            notices.settimeout(0.2)
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, **self._environment, "NOTIFY_SOCKET": address.replace("\0", "@", 1)},
                )
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in notices.recv(4096):
                        return self
                if self._process.poll() is not None:
                    break
        raise AssertionError(f"the daemon did not become ready: {self.log.read_text()[-2000:]}")

    def refuse(self) -> tuple[int, str]:
        """Start one that cannot become ready; its exit status and what it said."""
        done = subprocess.run(
            self._command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env={**os.environ, **self._environment},
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def api(self) -> Daemon:
        """Its API, over the unix socket."""
        return Daemon(Address(socket=str(self.socket)))

    @property
    def pid(self) -> int:
        """Its process ID."""
        assert self._process is not None
        return self._process.pid

    def reload(self, text: str = "", **sections: object) -> None:
        """Put other sections, or another text, into its configuration and have it read; returns when that is judged."""

        def judged() -> int:
            told = ('"event": "reloaded"', '"event": "the configuration is not reloaded"')
            return sum(any(words in line for words in told) for line in self.logged())

        before = judged()
        self._config.write_text(text or yaml.safe_dump({**self.settings, **sections}))
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: judged() > before, self.root)

    def kill(self, *, group: bool = False) -> None:
        """SIGKILL to it, or to its whole process group (workers have groups of their own)."""
        if group:
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Its exit status once it has ended."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def worker_pids(self) -> list[int]:
        """Every living process that a worker of this queue is or started."""
        marker = f"HYPERSDKD_GUEST={self.base}".encode()
        return [pid for pid in _processes() if any(entry.startswith(marker) for entry in _environ(pid))]

    def kill_workers(self) -> None:
        """SIGKILL to all of :meth:`worker_pids`, as the end of a cgroup does it."""
        for pid in self.worker_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill(group=True)
        self.kill_workers()

    # -- the queue --------------------------------------------------------------------------------

    def drop(self, name: str | bytes, content: bytes) -> None:
        """Move a file into the drop directory, as ``mv`` on one file system does."""
        draft = self.root / f"draft-{time.monotonic_ns()}"
        draft.write_bytes(content)
        os.rename(os.fsencode(draft), os.path.join(os.fsencode(self.base / "to_be_processed"), os.fsencode(name)))

    def drop_when_ready(self, name: str, content: bytes) -> None:
        """As :meth:`drop`, once the drop directory is there."""
        until((self.base / "to_be_processed").is_dir, self.root)
        self.drop(name, content)

    def ended(self, kind: str = "*") -> dict[str, Path]:
        """Files of ended jobs by name; ``kind`` is ``processed`` or ``failed``."""
        found = (path for day in self.base.glob(f"{kind}/????-??-??") for path in day.iterdir())
        sidecars = (".report.json", ".meta.json", ".error.json")
        return {
            path.name: path
            for path in found
            if path.parent.parent.name in {"processed", "failed"} and not path.name.endswith((*sidecars, ".companions"))
        }

    def until_ended(self, *names: str, patience: float = PATIENCE) -> None:
        """Wait until each of ``names`` (job IDs) is in ``processed/`` or ``failed/``."""
        try:
            until(lambda: set(names) <= set(self.ended()), self.base, patience=patience)
        except AssertionError as error:
            missing = set(names) - set(self.ended())
            raise AssertionError(f"not ended: {sorted(missing)}; log: {self.log.read_text()[-3000:]}") from error

    def logged(self) -> Iterator[str]:
        """Lines of its log."""
        yield from self.log.read_text().splitlines()


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []

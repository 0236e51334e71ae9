"""A throw-away machine that boots a real systemd as its PID 1, to start the unit in as an operator would.

Its root is this machine's own, or another one, with a layer in memory over it: nothing that happens inside is kept.
It has a network of its own (loopback alone) and none of the units that this machine enables.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

#: Seconds that booting, and halting, may take on a slow machine.
PATIENCE = 60

#: What of the environment commands in the box see.
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "SYSTEMD_PAGER": "",
}


def unavailable() -> str:
    """Why no box can be made here; empty when one can."""
    if os.geteuid() != 0:
        return "booting a systemd needs root"
    lacking = [tool for tool in ("systemd-nspawn", "nsenter", "unshare", "setpriv") if not shutil.which(tool)]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    return "" if _cgroup_root() else "no cgroup2 hierarchy is mounted"


def _cgroup_root() -> Path | None:
    mounts = [line.split(" - ") for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    places = [Path(left.split()[4]) for left, right in mounts if right.startswith("cgroup2 ")]
    return places[0] if places else None


class Box:
    """The machine; a context manager that boots it and takes it away whole.

    ``binds`` maps directories of this machine to where they are seen, writable, in the box; ``read_only``
    ones are seen where they are. ``root`` is what it boots.
    """

    def __init__(self, binds: Mapping[Path, str], read_only: Sequence[Path] = (), root: Path = Path("/")) -> None:
        groups = _cgroup_root()
        assert groups is not None, unavailable()
        self._root = root
        self._name = f"box-{secrets.token_hex(4)}"
        self._state = Path("/run") / self._name
        self._state.mkdir(mode=0o700)
        # Everything in the box is in this group, so that nothing of it can stay behind.
        self._cgroup = groups / self._name
        self._binds = [f"--bind={place}:{inside}" for place, inside in binds.items()]
        self._binds += [f"--bind-ro={place}" for place in read_only]
        self._read_only = read_only
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = ""

    def __enter__(self) -> Box:
        try:
            self._boot()
            # A service's user must get at what lies below a private directory such as /root; only the layer
            # in memory is changed.
            for place in self._read_only:
                self.run("chmod", "o+x", *(str(parent) for parent in place.parents if str(parent) != "/"))
            state = self.run("systemctl", "is-system-running", "--wait", check=False)
            assert state.strip() == "running", self.run("systemctl", "--failed")
        except BaseException:
            self._take_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_down()

    def _boot(self) -> None:
        (self._state / "root").mkdir()
        self._cgroup.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, (self._state / "console").open("wb") as log:
            notify.bind(str(self._state / "notify"))
            notify.settimeout(1)
            self._nspawn = subprocess.Popen(
                self._boot_command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    "PATH": ENVIRONMENT["PATH"],
                    "NOTIFY_SOCKET": str(self._state / "notify"),
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # else it copies a hybrid layout of this machine's
                },
                preexec_fn=lambda: (self._cgroup / "cgroup.procs").write_text("0") and None,
                start_new_session=True,
            )
            self._wait_until_ready(notify)

    def _boot_command(self) -> list[str]:
        """nspawn refuses / as a root; a bind of it, in a mount namespace that ends with nspawn, will do."""
        mount_then_exec = 'mount --bind "$0" "$1" && shift && exec "$@"'
        root = str(self._state / "root")
        return [
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", mount_then_exec, str(self._root), root),
            *("systemd-nspawn", "--quiet", "--directory", root, "--volatile=overlay", "--machine", self._name),
            *("--boot", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe", "--private-network"),
            *("--notify-ready=yes", "--kill-signal=SIGRTMIN+3"),
            # Without bpf, limits on devices and addresses are dropped in silence. Landlock is not in the default.
            "--system-call-filter=bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            *("--tmpfs=/etc/systemd/system", "--bind-ro=/dev/null:/etc/fstab"),
            *self._binds,
        ]

    def _wait_until_ready(self, notify: socket.socket) -> None:
        """nspawn tells the leader's process number, and passes on the READY=1 of the systemd inside."""
        assert self._nspawn is not None
        for _second in range(PATIENCE):
            try:
                lines = notify.recv(4096).decode().splitlines()
            except TimeoutError:
                lines = []
            for line in lines:
                if line.startswith("X_NSPAWN_LEADER_PID="):
                    self._leader = line.partition("=")[2]
            if "READY=1" in lines:
                return
            if self._nspawn.poll() is not None:
                break
        raise RuntimeError(f"the box did not boot:\n{(self._state / 'console').read_text(errors='replace')[-2000:]}")

    def run(self, *argv: str, check: bool = True, user: str = "", patience: float = PATIENCE) -> str:
        """Run a command in the box, as root or ``user``; its output. Raises when it fails, unless told not to."""
        result = subprocess.run(
            self.command(*argv, user=user),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        if check and result.returncode != 0:
            raise RuntimeError(f"{argv}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def command(self, *argv: str, user: str = "") -> list[str]:
        """The command line that runs ``argv`` in the box, as root or ``user``."""
        drop = ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups") if user else ()
        return [
            *("nsenter", "--target", self._leader, "--all", "--root", "--wd=/"),
            *("env", "-i", *(f"{key}={value}" for key, value in ENVIRONMENT.items())),
            *drop,
            *argv,
        ]

    def in_its_network(self, *argv: str) -> list[str]:
        """The command line that runs ``argv`` of this machine, with the network of the box: its ``localhost``."""
        return ["nsenter", "--target", self._leader, "--net", *argv]

    def _take_down(self) -> None:
        if self._nspawn is not None:
            self._nspawn.terminate()  # nspawn asks the systemd inside to halt
            try:
                self._nspawn.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                (self._cgroup / "cgroup.kill").write_text("1")
                self._nspawn.wait(PATIENCE)
        mirror = Path("/sys/fs/cgroup/systemd") / self._name  # nspawn makes it where the old hierarchy is mounted
        for group in (self._cgroup, mirror):
            for directory, _inner, _files in os.walk(group, topdown=False):
                Path(directory).rmdir()
        shutil.rmtree(self._state)

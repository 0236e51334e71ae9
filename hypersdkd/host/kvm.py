"""Whether KVM works here, found out by trying: a /dev/kvm may be there, be opened, and then never run a guest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from hypersdkd.host.process import run
from hypersdkd.model.problem import ProblemError

PROGRAM: Final = "qemu-system-x86_64"

#: Seconds after which a kernel that was started with KVM will not come up any more; where it works it takes two.
PROBE_SECONDS: Final = 10.0

_BOOT: Final = Path("/boot")

#: Without a root file system a kernel panics when it is up, and with this reboots then, which ends QEMU.
_APPEND: Final = "console=ttyS0 panic=-1"

#: What each Linux says first.
_GREETING: Final = b"Linux version"


def kvm_obstacle(kernel: Path | None = None) -> str:
    """Why KVM cannot be used, or nothing if it can. ``kernel`` is the Linux that is tried, else one of this host's."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "there is no /dev/kvm that may be used"
    kernel = kernel or _host_kernel()
    if kernel is None:
        return "there is no kernel in /boot that may be read, to try KVM with"
    try:
        return "" if runs(kernel, "kvm", "host", PROBE_SECONDS) else "QEMU cannot start a guest with KVM"
    except ProblemError as error:
        if error.problem.code == "tool-timeout":
            return f"a kernel that was started with KVM was not up within {PROBE_SECONDS:g} s"
        return error.problem.message


def _host_kernel() -> Path | None:
    """One that may be read: Debian lets everyone, Ubuntu only root."""
    return next((path for path in sorted(_BOOT.glob("vmlinuz-*")) if os.access(path, os.R_OK)), None)


def runs(kernel: Path, accelerator: str, processor: str, seconds: float) -> bool:
    """Whether a kernel comes up. Raises ``tool-missing`` and ``tool-timeout``."""
    argv = [PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]
    argv += ["-machine", f"pc,accel={accelerator}", "-cpu", processor, "-m", "256"]
    done = run([*argv, "-kernel", str(kernel), "-append", _APPEND], timeout=seconds)
    return done.returncode == 0 and _GREETING in done.stdout

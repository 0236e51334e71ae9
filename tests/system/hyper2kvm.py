"""The real hyper2kvm 0.2.1 in a process of its own, on a queue that hypersdkd is put beside.

What is not its own: its fixer does nothing (it needs NBD, which a kernel may lack) and libguestfs finds no hypervisor.
So its jobs end quickly, in both ways, and each takes as long as the test wants: its ``qemu-img info`` is slow.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
import yaml

from tests.system.daemon_process import until

PROGRAM = Path(__file__).parents[2] / ".venv-hyper2kvm" / "bin" / "hyper2kvm"

#: Loaded by its interpreter before anything else.
_NO_FIXER = """
import importlib.abc, importlib.util, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "hyper2kvm.fixers.offline_fixer":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            module.OfflineFSFix.run = lambda self: None

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""

_SLOW_INFO = """#!/bin/sh
[ "$1" != info ] || sleep {pace}
exec {real} "$@"
"""


def require() -> None:
    """Skip a module where it is not installed; where tests must be whole, fail."""
    if not PROGRAM.exists():
        missing = f"{PROGRAM} is missing: script/setup could not install it"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing, allow_module_level=True)


class Hyper2kvm:
    """It works ``root/base``. ``pace`` is the least seconds that a job with a good source takes."""

    def __init__(self, root: Path, mode: str, *, pace: float = 0.0) -> None:
        self.base = root / "base"
        self._root = root
        self._log = root / "hyper2kvm.log"
        self._process: subprocess.Popen[bytes] | None = None
        key = {"manifest": "manifest_workflow", "disk": "workflow"}[mode]
        settings = {
            "cmd": "daemon",
            f"{key}_mode": True,
            f"{key}_dir": str(self.base),
            "output_dir": str(root / "hyper2kvm-output"),
            "max_concurrent_jobs": 3,
            "executor": "observe",  # one file may be for both: it does not know the key and does not mind
        }
        (root / "hyper2kvm.yaml").write_text(yaml.safe_dump(settings))
        (root / "site").mkdir()
        (root / "site" / "sitecustomize.py").write_text(_NO_FIXER)
        (root / "slow-tools").mkdir()
        program = root / "slow-tools" / "qemu-img"
        program.write_text(_SLOW_INFO.format(pace=pace, real=shutil.which("qemu-img")))
        program.chmod(0o755)

    def __enter__(self) -> Self:
        """Start it; it is ready when it waits for jobs."""
        environment = {
            **os.environ,
            "PATH": f"{self._root / 'slow-tools'}:{os.environ['PATH']}",
            "PYTHONPATH": str(self._root / "site"),
            "LIBGUESTFS_HV": "/bin/false",
            "HOME": str(self._root),
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "--config", self._root / "hyper2kvm.yaml"],
                cwd=self._root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._ready, self._root)
        return self

    def _ready(self) -> bool:
        """It has looked at what was there, and hears of what comes."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return "aemon ready" in self._log.read_text()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and what it runs; it does not heed SIGTERM."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

"""The walk, once for all its tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.seed.table import ROOT
from tests.seed.walk import HERE, Walk
from tests.systemd.box import Box, unavailable


@pytest.fixture(scope="package")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """Every command has been typed; the daemon goes on."""
    reason = unavailable()
    if reason and os.environ.get("CI"):
        pytest.fail(f"this test must run here: {reason}")
    if reason:
        pytest.skip(reason)
    sys.path.insert(0, str(ROOT / "script"))
    try:
        from guest_disk import build_vmdk
    finally:
        sys.path.pop(0)
    shared = tmp_path_factory.mktemp("walk")
    shared.chmod(0o755)
    build_vmdk(shared / "vm.vmdk", size_mib=64, data_mib=4)
    with Box({shared: HERE}, [ROOT]) as box:
        walk = Walk(box, shared)
        try:
            walk.prepare()
            walk.go()
            yield walk
        finally:
            ended = walk.end_daemon()
        assert ended is not None
        assert ended.status == 0, ended.err

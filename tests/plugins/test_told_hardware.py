"""What a manifest tells of a guest's hardware."""

from __future__ import annotations

from pathlib import Path

from hypersdkd_plugins.told_hardware import tell_hardware

from hypersdkd.model.guest import Guest
from tests.plugins.context import MemoryContext

TOLD = {"hardware": {"cpus": 4}, "nics": [{"mac": "00:50:56:aa:bb:01", "network": "LAN"}]}


def test_it_is_found_unless_the_source_tells_it(tmp_path: Path) -> None:
    context = MemoryContext(Guest("web01", (), told=TOLD), tmp_path, ())
    context.finding("nics", [{"mac": ""}])
    tell_hardware(context)
    assert context.findings == {"hardware": {"cpus": 4}, "nics": [{"mac": ""}]}

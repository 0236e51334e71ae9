"""A real guest that virt-v2v changes in a worker's unit as it is shipped. Minutes, so it is run with all guests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guests.build import made
from tests.guests.recipe import RECIPES
from tests.systemd.box import Box
from tests.systemd.installed import QUEUE, ROOT, install, need_a_box, put, start, until

pytestmark = pytest.mark.system

#: Seconds that it may take where the appliance is emulated, on a busy machine.
PATIENCE = 1500


@pytest.fixture(scope="module")
def source() -> Path:
    need_a_box()
    (disk,) = made(next(recipe for recipe in RECIPES if recipe.name == "bios-ext4"))
    return disk


@pytest.fixture
def box(source: Path) -> Iterator[Box]:
    with Box({source.parent: "/srv/box"}, [ROOT]) as box:
        install(box)
        yield box


def test_virt_v2v_in_the_workers_sandbox(box: Box, source: Path) -> None:
    start(box)
    pipeline = {
        "load": {"source_type": "raw", "source_path": f"/srv/box/{source.name}"},
        "fix": {"enabled": True, "engine": "virt-v2v"},
        "convert": {"output_format": "qcow2"},
    }
    put(box, json.dumps({"version": "1.0", "pipeline": pipeline}), "/srv/web01.json")
    box.run("mv", "/srv/web01.json", f"{QUEUE}/to_be_processed/web01.json")
    record = f"{QUEUE}/*/*/web01.json.*.json"
    until(box, f"ls {record} 2>/dev/null | grep -q .", PATIENCE)
    report = json.loads(box.run("sh", "-c", f"cat {record}"))
    assert report["status"] == "completed", report
    (guest,) = report["vms"]
    assert guest["guest"]["virt_v2v"]["seconds"] > 1
    assert guest["tools"]["virt-v2v"] == guest["guest"]["virt_v2v"]["version"]

"""A record beside an ended job changes what lists show, so it changes the index's version."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypersdkd.engine.index import Index
from hypersdkd.engine.intake import Intake
from hypersdkd.engine.layout import QueueLayout
from hypersdkd.engine.readiness import Readiness


async def test_a_record_that_comes_late(tmp_path: Path) -> None:
    layout, index, looked = QueueLayout(tmp_path), Index(), asyncio.Event()
    layout.prepare()
    day = layout.failed / "2026-01-02"
    day.mkdir()
    (day / "a.json").touch()
    intake = Intake(layout, index, Readiness("manifest", 0), poll_interval=3600, on_change=looked.set)
    await intake.start()
    running = asyncio.create_task(intake.run())
    before = index.version
    looked.clear()
    (day / "a.json.error.json").write_text("{}")
    await asyncio.wait_for(looked.wait(), 5)
    assert index.version > before
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    intake.close()

"""The real daemon, all of it but the process, on a queue that a recording found; paused, so that nothing moves."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from hypersdkd.daemon import Daemon
from hypersdkd.engine.config import load_config


@contextlib.asynccontextmanager
async def daemon_on(base: Path, mode: str) -> AsyncIterator[str]:
    """A daemon of ``mode`` that works the queue ``base``; gives its address."""
    config = base.parent / "config.yaml"
    settings = {
        "mode": mode,
        "workflow": {"base_dir": str(base), "settle_seconds": 0},
        "api": {"listen": ["127.0.0.1:0"]},
        "plugins": {"dirs": []},
    }
    config.write_text(json.dumps(settings))
    mark = base / ".hypersdkd" / "paused"
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    daemon = Daemon(load_config(config))
    ready = asyncio.Event()
    running = asyncio.create_task(daemon.run(ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if running.done():
            running.result()
        yield daemon.addresses[0]
    finally:
        daemon.stop()
        await asyncio.gather(running, return_exceptions=True)

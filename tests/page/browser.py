"""Debian's Chromium, driven by Playwright; it speaks to nobody but the daemon."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")

#: Milliseconds that anything on the page may take before a test gives up; far above what a slow machine needs.
PATIENCE = 30_000

#: As root it has no sandbox, and nothing of it may call home: the machine may have no network.
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium(program: Path = CHROMIUM) -> Iterator[Browser]:
    """A running browser; ``program`` may start it in another network."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()

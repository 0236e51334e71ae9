"""One browser and one daemon for all tests of the page; a fresh page for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.images import MIB, raw_disk
from tests.page.browser import CHROMIUM, PATIENCE, chromium
from tests.page.gate import Gate
from tests.system.daemon_process import DaemonProcess
from tests.system.jobs import manifest


@pytest.fixture(scope="package")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    process = DaemonProcess(tmp_path_factory.mktemp("page"))
    Gate(process.plugins).install()
    with process:
        yield process


@pytest.fixture
def gate(daemon: DaemonProcess) -> Iterator[Gate]:
    """Shut for this test: guests whose name begins with ``gated`` wait in CONVERT."""
    gate = Gate(daemon.plugins)
    gate.shut()
    yield gate
    gate.open()


@pytest.fixture(scope="package")
def source(daemon: DaemonProcess) -> Path:
    return raw_disk(daemon.root / "disk.raw", 4 * MIB)


@pytest.fixture(scope="package")
def ended(daemon: DaemonProcess, source: Path) -> DaemonProcess:
    """The daemon, with a completed and a failed job at least."""
    daemon.drop("fine.json", manifest(source))
    daemon.drop("lost.json", manifest(daemon.root / "lost.raw"))
    daemon.until_ended("fine.json", "lost.json")
    return daemon


@pytest.fixture(scope="package")
def address(daemon: DaemonProcess) -> str:
    """Where the daemon serves the page."""
    ready = next(json.loads(line) for line in daemon.logged() if '"addresses"' in line)
    return f"{ready['addresses'][0]}/web/dashboard/"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing: script/setup installs it")
    with chromium() as running:
        yield running


@pytest.fixture
def troubles() -> list[str]:
    """What the page's scripts complained of; a test that expects something takes it out."""
    return []


@pytest.fixture
def page(browser: Browser, address: str, troubles: list[str]) -> Iterator[Page]:
    """The page as it was just opened; at the end nothing has gone wrong in it that the test does not know of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()

    def complain(message: ConsoleMessage) -> None:
        # A call that the daemon refuses is logged by the browser itself; the page says it in words.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            troubles.append(message.text)

    page.on("console", complain)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(address)
    yield page
    context.close()
    assert troubles == []

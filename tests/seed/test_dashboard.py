"""The page at its address, in a browser that shares the network of the machine where the commands were typed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.page.browser import CHROMIUM, PATIENCE, chromium
from tests.seed.walk import QUEUE, Walk

pytestmark = pytest.mark.system

expect.set_options(timeout=PATIENCE)

#: Milliseconds in which news is to be seen: less than the page waits by itself while it has the stream.
SOON = 4500

ADDRESS = "http://localhost:8080/web/dashboard/"


@pytest.fixture(scope="module")
def page(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = tmp_path_factory.mktemp("browser") / "chromium"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(walk.box.in_its_network(str(CHROMIUM)))} "$@"\n')
    program.chmod(0o755)
    with chromium(program) as browser:
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(ADDRESS)
        yield page


def test_the_page_as_one_finds_it(page: Page) -> None:
    assert page.url == ADDRESS
    workflow = page.get_by_role("region", name="Workflow Daemon")
    workflow.scroll_into_view_if_needed()
    expect(workflow.locator("#state")).to_have_text("Running")
    expect(workflow.locator("#workers")).to_have_text("0 of 3")
    builder = page.get_by_role("region", name="Manifest Builder")
    builder.get_by_role("button", name="Submit").scroll_into_view_if_needed()
    expect(builder.get_by_role("button", name="Submit")).to_be_in_viewport()


def test_a_manifest_is_built_and_submitted(page: Page, walk: Walk) -> None:
    page.get_by_label("Source path").fill("/path/to/vm.vmdk")
    page.get_by_label("Name").fill("clicked")
    page.get_by_label("Inspect").uncheck()
    page.get_by_label("Fix", exact=True).uncheck()
    expect(page.locator("#verdict")).to_have_text("Valid.")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#submitted")).to_contain_text("clicked")
    walk.until(f"test -f {QUEUE}/processed/*/clicked-*.json.report.json")
    assert walk.bash(f"qemu-img compare vm.source.raw {QUEUE}/output/clicked.qcow2").status == 0


def test_news_comes_by_itself(page: Page, walk: Walk) -> None:
    expect(page.locator("#feed")).to_have_text("Live")
    assert walk.bash("hyperctl pause").status == 0
    expect(page.locator("#state")).to_have_text("Paused", timeout=SOON)
    assert walk.bash("hyperctl resume").status == 0
    expect(page.locator("#state")).to_have_text("Running", timeout=SOON)

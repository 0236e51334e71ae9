"""What the page was asked to have, feature by feature; ``test_page`` tells whole stories."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from hypersdkd.model.guest import OUTPUT_FORMATS, SOURCE_TYPES
from tests.page.gate import until_gated
from tests.page.test_page import manifest_on, named, number, refresh

pytestmark = pytest.mark.system


def test_the_numbers_follow_the_queue(page: Page, daemon, gate, source) -> None:
    """A job is pending, processing, then completed; another fails. Nobody presses anything."""
    before = daemon.api.status()
    daemon.api.pause()
    daemon.drop("gated-numbers.json", named("gated-numbers", source))
    expect(number(page, "Pending")).to_have_text(str(before["queue_depth"] + 1))
    daemon.api.resume()
    until_gated(daemon.base, "gated-numbers")
    expect(number(page, "Processing")).to_have_text("1")
    expect(number(page, "Pending")).to_have_text(str(before["queue_depth"]))
    gate.open()
    expect(number(page, "Completed")).to_have_text(str(before["processed_today"] + 1))
    expect(number(page, "Processing")).to_have_text("0")
    daemon.drop("no-numbers.json", named("no-numbers", daemon.root / "none.raw"))
    expect(number(page, "Failed")).to_have_text(str(before["failed_today"] + 1))


#: Events are asked for, and no answer comes.
_NO_STREAM = """
const real = window.fetch;
const isStream = (address) => String(address).endsWith("/events");
window.fetch = (address, options) => (isStream(address) ? new Promise(() => {}) : real(address, options));
"""


def test_without_a_stream_it_looks_every_three_seconds(page: Page, daemon) -> None:
    """The browser's clock is the test's, and stands still unless it is told to go on."""
    page.add_init_script(_NO_STREAM)
    page.clock.install()
    page.reload()
    state, looks = page.locator("#state"), []
    expect(page.locator("#feed")).to_have_text("Polling every 3 s")
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    daemon.api.pause()
    refresh(page)
    expect(state).to_have_text("Paused")
    daemon.api.resume()
    page.on("request", lambda request: looks.append(request.url.rpartition("/")[2]))
    page.clock.run_for(2900)
    assert looks == []
    page.clock.run_for(100)
    expect(state).to_have_text("Running")
    assert looks.count("status") == 1


def test_each_state_has_its_sign(page: Page, daemon) -> None:
    state, feed = page.locator("#state"), page.locator("#feed")
    expect(state).to_have_class("badge good")
    expect(feed).to_have_class("badge good")
    daemon.api.pause()
    expect(state).to_have_text("Paused")
    expect(state).to_have_class("badge warn")
    daemon.api.resume()
    expect(state).to_have_class("badge good")
    page.get_by_label("Auto-refresh").uncheck()
    expect(feed).to_have_class("badge warn")
    page.route("**/api/**", lambda route: route.abort())
    refresh(page)
    expect(state).to_have_text("Not reachable")
    expect(state).to_have_class("badge bad")


#: Of each stage that can be switched: its label, where the switch is in the manifest, and what it switches off with it.
SWITCHES = {
    "INSPECT": ("Inspect", ("inspect", "enabled"), ("Detect the operating system",)),
    "FIX": ("Fix", ("fix", "enabled"), ("fstab", "fstab mode", "GRUB", "initramfs", "Network", "Network level")),
    "VALIDATE": ("Check the result", ("validate", "enabled"), ("Boot test",)),
}


@pytest.mark.parametrize("stage", SWITCHES)
def test_each_stage_has_its_switch(page: Page, stage: str) -> None:
    label, (key, switch), parts = SWITCHES[stage]
    page.get_by_label(label, exact=True).uncheck()
    assert manifest_on(page)["pipeline"][key][switch] is False
    for part in parts:
        expect(page.get_by_label(part, exact=True)).to_be_disabled()
    page.get_by_label(label, exact=True).check()
    assert manifest_on(page)["pipeline"][key].get(switch, True) is True
    for part in parts:
        expect(page.get_by_label(part, exact=True)).to_be_enabled()


def test_each_output(page: Page) -> None:
    formats, compress = page.get_by_label("Output format"), page.get_by_label("Compress")
    assert sorted(formats.locator("option").all_inner_texts()) == sorted(OUTPUT_FORMATS)
    for form in OUTPUT_FORMATS:
        formats.select_option(form)
        for on in (True, False):
            compress.set_checked(on)
            convert = manifest_on(page)["pipeline"]["convert"]
            assert (convert["output_format"], convert["compress"]) == (form, on)


def test_each_source_type(page: Page) -> None:
    types = page.get_by_label("Source type")
    assert sorted(types.locator("option").all_inner_texts()) == sorted(SOURCE_TYPES)
    for source_type in SOURCE_TYPES:
        types.select_option(source_type)
        path = f"/srv/exports/web01.{source_type}"
        page.get_by_label("Source path").fill(path)
        assert manifest_on(page)["pipeline"]["load"] == {"source_type": source_type, "source_path": path}
    assert json.loads(page.get_by_label("JSON").input_value()) == manifest_on(page)

"""The page in a real browser against a real daemon: seen, steered, and a manifest built, sent and followed."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.browser import PATIENCE
from tests.page.gate import until_gated
from tests.system.daemon_process import until
from tests.system.jobs import batch, pipeline

pytestmark = pytest.mark.system

#: Among others, what HyperSDK's own dashboard begins with.
CLIENT_TYPES = Path(__file__).parents[1] / "golden" / "client-types.json"

expect.set_options(timeout=PATIENCE)


def named(name: str, source, **stages) -> bytes:
    """A manifest whose guest has a name."""
    return json.dumps({"version": "1.0", "name": name, "pipeline": pipeline(source, **stages)}).encode()


def row(page: Page, job: str):
    """The row of a job."""
    return page.get_by_role("list", name="Jobs").get_by_role("listitem").filter(has_text=job)


def show(page: Page, status: str) -> None:
    """Press a filter."""
    page.get_by_role("button", name=status, exact=True).click()


def refresh(page: Page) -> None:
    """Look now, where the test is not about when the page looks by itself."""
    page.get_by_role("button", name="Refresh").click()


def number(page: Page, name: str):
    """One of the queue's numbers."""
    return page.locator("dl.numbers div").filter(has_text=name).locator("dd")


def manifest_on(page: Page) -> dict:
    return json.loads(page.get_by_label("JSON").input_value())


# -- the daemon ---------------------------------------------------------------------------------------


NUMBERS = {
    "Pending": "queue_depth",
    "Processing": "active_jobs",
    "Completed": "processed_today",
    "Failed": "failed_today",
}


def test_first_sight(page, address, daemon):
    expect(page.get_by_role("heading", name="Workflow Daemon")).to_be_visible()
    expect(page.get_by_role("heading", name="Manifest Builder")).to_be_visible()
    expect(page.locator("#state")).to_have_text("Running")
    expect(page.locator("#mode")).to_have_text("manifest")
    expect(page.locator("#feed")).to_have_text("Live")
    expect(page.locator("#workers")).to_have_text("0 of 2")
    status = daemon.api.status()
    for name, key in NUMBERS.items():
        expect(number(page, name)).to_have_text(str(status[key]))
    expect(page.get_by_role("button", name="Active")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("No active jobs.")).to_be_visible()
    page.goto(address.rstrip("/") + "?x#job/none.json")  # without the slash; and a job that there is not
    assert page.url == f"{address}#job/none.json"
    expect(page.locator("#job")).to_contain_text("none.json")
    expect(page.locator("#job .notice")).to_contain_text("there is no job none.json")


def test_an_active_job_its_address_cancel_retry_and_the_result(page, daemon, gate, source):
    daemon.drop("gated-web.json", named("gated-web", source))
    until_gated(daemon.base, "gated-web")
    active = row(page, "gated-web.json")  # by itself: the daemon tells
    bar = active.get_by_role("progressbar")
    expect(bar).to_have_js_property("value", 49)
    expect(active).to_contain_text("CONVERT")
    expect(active).to_contain_text("49%")
    expect(number(page, "Processing")).to_have_text("1")
    expect(page).to_have_title("hypersdkd: 1 active")

    active.get_by_role("link").click()
    job = page.get_by_role("region", name="Job", exact=True)
    expect(page.get_by_role("heading", name="gated-web.json")).to_be_focused()
    assert page.url.endswith("#job/gated-web.json")
    page.reload()
    expect(job.get_by_role("progressbar", name="gated-web")).to_have_js_property("value", 42)
    expect(job).to_contain_text("42.0 MiB of 100 MiB")
    expect(job.get_by_role("button", name="Retry")).to_be_hidden()

    job.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("gated-web.json is being cancelled.")).to_be_visible()
    daemon.until_ended("gated-web.json")
    show(page, "Cancelled")
    cancelled = row(page, "gated-web.json")
    expect(cancelled).to_contain_text("cancelled")
    expect(cancelled.get_by_role("button", name="Cancel")).to_be_hidden()
    expect(job).to_contain_text("What to do: Retry the job")

    gate.open()
    cancelled.get_by_role("button", name="Retry").click()
    expect(page.get_by_text("gated-web.json is pending again.")).to_be_visible()
    daemon.until_ended("gated-web.json")
    show(page, "Completed")
    expect(row(page, "gated-web.json")).to_contain_text("completed")
    expect(job).to_contain_text(f"{daemon.base}/output/gated-web.qcow2")
    job.get_by_text("Log", exact=True).click()
    expect(job.get_by_label("Log")).not_to_be_empty()
    job.get_by_role("link", name="Close").click()
    expect(page.locator("#job")).to_be_hidden()


def test_a_failed_job_says_why_and_what_to_do_and_is_retried(page, daemon, source):
    gone = daemon.root / "<b>gone\u202e.raw"
    daemon.drop("<img src=x onerror=alert(1)>.json", named("hostile", gone))
    daemon.until_ended("<img src=x onerror=alert(1)>.json")
    show(page, "Failed")
    failed = row(page, "<img src=x onerror=alert(1)>")
    expect(failed).to_contain_text("<b>gone")
    expect(failed).to_contain_text("cannot be opened")
    expect(failed).not_to_contain_text("\u202e")
    failed.get_by_role("link").click()
    expect(page.locator("#job")).to_contain_text("What to do: Check the path as the daemon sees it")
    expect(page.locator("#job")).to_contain_text("source-missing")
    assert page.locator("img, #job b").count() == 0
    page.reload()
    expect(page.locator("#job")).to_contain_text("source-missing")

    shutil.copy(source, gone)
    page.locator("#job").get_by_role("button", name="Retry").click()
    until(lambda: "<img src=x onerror=alert(1)>.json" in daemon.ended("processed"), daemon.base)
    refresh(page)
    expect(page.locator("#job")).to_contain_text(f"{daemon.base}/output/hostile.qcow2")
    show(page, "Completed")
    expect(failed).to_contain_text("completed")


def test_a_batch_shows_each_guest(page, daemon, gate, source):
    daemon.drop("both.json", batch(**{"gated-a": pipeline(source), "gated-b": pipeline(source)}))
    until_gated(daemon.base, "gated-a", "gated-b")
    refresh(page)
    expect(row(page, "both.json")).to_contain_text("0 of 2 guests")
    row(page, "both.json").get_by_role("link").click()
    expect(page.locator("#job").get_by_role("progressbar")).to_have_count(2)
    gate.open()
    daemon.until_ended("both.json")
    refresh(page)
    expect(page.locator("#job")).to_contain_text("output/gated-b.qcow2")


def test_pause_and_resume(page, daemon, source):
    page.get_by_role("button", name="Pause").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#state")).to_have_text("Paused")
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()

    daemon.drop("later.json", named("later", source))
    daemon.drop("never.json", named("never", source))
    show(page, "Pending")
    expect(number(page, "Pending")).to_have_text("2")
    row(page, "never.json").get_by_role("button", name="Cancel").click()
    expect(row(page, "never.json")).to_have_count(0)
    expect(row(page, "later.json")).to_contain_text("pending")

    resume.click()
    expect(page.locator("#state")).to_have_text("Running")
    daemon.until_ended("later.json")
    show(page, "All")
    expect(row(page, "later.json")).to_contain_text("completed")
    expect(row(page, "never.json")).to_contain_text("cancelled")


# -- how it stays fresh -------------------------------------------------------------------------------

#: Stands for the daemon's stream of events: the test opens it, sends events and closes it.
_STREAM = """
window.streams = [];
const real = window.fetch;
window.fetch = (address, options) => {
  if (!String(address).endsWith("/events")) return real(address, options);
  return new Promise((resolve) => {
    const body = new ReadableStream({ start(to) { window.streams.push({ address: String(address), to }); } });
    window.streams.at(-1).open = () => resolve(new Response(body));
    window.streams.at(-1).tell = (text) => window.streams.at(-1).to.enqueue(new TextEncoder().encode(text));
  });
};
"""


def test_events_polling_and_neither(page, daemon, address):
    page.add_init_script(_STREAM)
    page.reload()
    feed = page.locator("#feed")
    expect(feed).to_have_text("Polling every 3 s")
    page.evaluate("streams[0].open(), streams[0].tell('retry: 1000\\n\\n')")
    expect(feed).to_have_text("Live")
    assert page.evaluate("streams.map((stream) => stream.address)") == [
        address.replace("/web/dashboard/", "/api/workflow/events")
    ]
    looks: list[str] = []
    page.on("request", lambda request: looks.append(request.url))
    with page.expect_response("**/api/workflow/status"):
        page.evaluate("for (let n = 0; n < 100; n += 1) streams[0].tell(`id: ${n}\\nevent: guest\\ndata: {}\\n\\n`)")
    page.evaluate("streams[0].to.close()")
    expect(feed).to_have_text("Polling every 3 s")
    assert sum(url.endswith("/status") for url in looks) <= 3  # a crowd of events is one look

    auto = page.get_by_label("Auto-refresh")
    auto.uncheck()
    expect(feed).to_have_text("Auto-refresh off")
    daemon.api.pause()
    refresh(page)
    expect(page.locator("#state")).to_have_text("Paused")
    daemon.api.resume()
    auto.check()
    expect(page.locator("#state")).to_have_text("Running")


def test_a_daemon_that_does_not_answer(page, troubles):
    page.route("**/api/**", lambda route: route.abort())
    refresh(page)
    expect(page.locator("#state")).to_have_text("Not reachable")
    expect(page.get_by_role("alert")).to_contain_text("The daemon does not answer. Start it:")
    expect(page.locator("#feed")).to_have_text("No answer")
    expect(page.get_by_role("button", name="Pause")).to_be_disabled()
    page.get_by_label("Source path").fill("/x")
    expect(page.locator("#verdict")).to_have_text("1 problem.")
    page.unroute("**/api/**")
    expect(page.locator("#state")).to_have_text("Running")
    # it may tell of the last job that failed again, as it did before
    expect(page.locator("#alarm")).not_to_contain_text("The daemon does not answer")


# -- the builder --------------------------------------------------------------------------------------


def test_a_manifest_by_the_form_with_an_error_at_its_field_then_sent_and_followed(page, daemon, source):
    verdict, path = page.locator("#verdict"), page.get_by_label("Source path")
    expect(verdict).to_have_text("Not validated yet.")
    expect(path).not_to_have_attribute("aria-invalid", "true")
    page.get_by_label("Name").fill("built here")
    expect(verdict).to_have_text("1 problem.")
    expect(path).to_have_attribute("aria-invalid", "true")
    expect(path).to_have_accessible_description("pipeline.load.source_path is required. Add the key that is named.")
    page.get_by_role("button", name="Submit").click()
    expect(path).to_be_focused()

    page.get_by_label("Source type").select_option("raw")
    path.fill(str(source))
    expect(verdict).to_have_text("Valid.")
    expect(path).to_have_attribute("aria-invalid", "false")
    page.get_by_label("Boot test").check()
    expect(verdict).to_have_text("Valid.")
    page.get_by_label("Boot test").uncheck()
    page.get_by_label("Inspect").uncheck()
    expect(page.get_by_label("Detect the operating system")).to_be_disabled()
    page.get_by_label("Fix", exact=True).uncheck()
    expect(page.get_by_label("fstab mode")).to_be_disabled()
    page.get_by_label("Output format").select_option("raw")
    page.get_by_label("Compress").uncheck()
    page.get_by_label("Output path").fill(str(daemon.base / "output" / "built.raw"))
    expect(verdict).to_have_text("Valid.")

    page.get_by_role("button", name="Submit").click()
    page.locator("#submitted").get_by_role("link").click()
    until(lambda: any(name.startswith("built") for name in daemon.ended("processed")), daemon.base)
    refresh(page)
    expect(page.locator("#job")).to_contain_text(f"{daemon.base}/output/built.raw")
    assert (daemon.base / "output" / "built.raw").read_bytes() == source.read_bytes()
    (sent,) = [path for name, path in daemon.ended("processed").items() if name.startswith("built")]
    assert json.loads(sent.read_text()) == manifest_on(page)


def test_form_and_json_go_together(page):
    initial = json.loads(CLIENT_TYPES.read_text())["requests"]["dashboard (TypeScript)"]["manifest_initial"]
    assert manifest_on(page) == initial
    editor, groups = page.get_by_label("JSON"), page.locator("#manifest fieldset").first
    page.get_by_label("Network level").select_option("basic")
    page.get_by_label("Fix", exact=True).uncheck()
    initial["pipeline"]["fix"]["network"]["fix_level"] = "basic"
    assert manifest_on(page) == {
        **initial,
        "pipeline": {**initial["pipeline"], "fix": {**initial["pipeline"]["fix"], "enabled": False}},
    }
    page.get_by_label("Fix", exact=True).check()  # a switch that is on without being said is not said
    assert manifest_on(page) == initial

    kept = {"version": "1.0", "mine": [1], "pipeline": {"load": {"source_type": "vdx", "source_path": 5}, "fix": None}}
    editor.fill(json.dumps(kept))
    expect(page.get_by_label("Source path")).to_have_value("5")
    expect(page.get_by_label("Source type")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#problems")).to_contain_text("pipeline.convert is required")
    expect(page.locator("#problems")).to_contain_text("mine is not a known key")
    expect(editor).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Source type").select_option("vdi")
    page.get_by_label("Output format").select_option("vmdk")
    kept["pipeline"] = {
        "load": {"source_type": "vdi", "source_path": 5},
        "fix": None,
        "convert": {"output_format": "vmdk"},
    }
    assert manifest_on(page) == kept

    for text, why in {
        '{"version": ': "cannot be read",
        "[]": "one object",
        '{"batch": true}': "a batch",
        '{"manifest_version": "1.0"}': "artifact manifest",
        '{"pipeline": {"load": {"disks": []}}}': "several disks",
    }.items():
        editor.fill(text)
        expect(page.locator("#locked")).to_contain_text(why)
        expect(groups).to_have_js_property("disabled", True)
        expect(page.locator("#verdict")).to_contain_text("problem")
    page.get_by_role("button", name="Validate").click()
    expect(editor).to_be_focused()
    editor.fill(json.dumps(initial))
    expect(page.locator("#locked")).to_be_hidden()
    expect(page.get_by_label("Network level")).to_have_value("basic")


def test_an_answer_that_was_overtaken_is_dropped(page):
    held: list[Route] = []
    page.route("**/manifest/validate", lambda route: held.append(route), times=1)
    with page.expect_request("**/manifest/validate"):
        page.get_by_role("button", name="Validate").click()
    page.get_by_label("Source path").fill("/srv/x.vmdk")
    expect(page.locator("#verdict")).to_have_text("Valid, 1 warning.")
    with page.expect_response("**/manifest/validate"):
        held[0].continue_()
    page.evaluate("new Promise((done) => setTimeout(done))")  # what follows from the answer has been done
    expect(page.locator("#verdict")).to_have_text("Valid, 1 warning.")


def test_a_submission_whose_answer_was_lost_makes_one_job(page, daemon, gate, source):
    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.get_by_label("JSON").fill(named("gated-once", source).decode())
    page.route("**/manifest/submit", lose, times=1)
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#problems")).to_contain_text("The daemon does not answer.")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#submitted")).to_contain_text("Submitted as gated-once")
    until_gated(daemon.base, "gated-once")
    jobs = daemon.api.jobs("all")["jobs"]
    assert len([job for job in jobs if job["id"].startswith("gated-once")]) == 1
    gate.open()
    daemon.until_ended(*(job["id"] for job in jobs if job["id"].startswith("gated-once")))


def test_download(page):
    page.get_by_label("Name").fill("kept")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download JSON").click()
    download = started.value
    assert download.suggested_filename.startswith("manifest-")
    assert download.suggested_filename.endswith(".json")
    assert json.loads(download.path().read_text()) == manifest_on(page)


# -- for everybody ------------------------------------------------------------------------------------


def test_it_fits(page, ended):
    show(page, "All")
    page.get_by_role("list", name="Jobs").get_by_role("link").first.click()
    expect(page.locator("#job .facts").first).to_be_visible()
    for width in (320, 390, 800, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


#: The WCAG contrast of each visible text against what is behind it; those below 4.5 are told.
_CONTRAST = """
() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const ground = getComputedStyle(at).backgroundColor;
      if (!ground.endsWith(", 0)")) return ground;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility() && !node.matches(":disabled, option")
      && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .map((node) => {
      const [a, b] = [light(getComputedStyle(node).color), light(behind(node))].sort((x, y) => y - x);
      return [node.outerHTML.slice(0, 80), (a + 0.05) / (b + 0.05)];
    })
    .filter(([, contrast]) => contrast < 4.5);
}
"""


def test_it_can_be_read(page, ended):
    show(page, "All")
    row(page, "lost.json").get_by_role("link").click()
    expect(page.locator("#job")).to_contain_text("What to do")
    expect(row(page, "fine.json")).to_be_visible()
    page.get_by_role("button", name="Validate").click()
    expect(page.locator("#verdict")).to_have_text("1 problem.")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate(_CONTRAST) == []


def test_every_control_has_a_name_and_can_be_reached(page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the workflow")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    controls = page.locator("button:visible, input:visible, select:visible, textarea:visible")
    for index in range(controls.count()):
        expect(controls.nth(index)).to_have_accessible_name(re.compile(r"\S"))


def test_a_configuration_that_is_not_in_force_is_told(page, daemon):
    daemon.reload("workflow: {max_workers: <b>}")
    expect(page.locator("#alarm")).to_contain_text("The configuration was not reloaded: workflow.max_workers: must be")
    daemon.reload(api={"listen": []})
    expect(page.locator("#alarm")).to_contain_text("Restart the daemon to apply api.listen, api.socket.")
    daemon.reload()
    expect(page.locator("#alarm")).not_to_contain_text("Restart")


def test_a_steady_stream_of_events_does_not_put_the_look_off(page, daemon):
    """Something of another daemon's comes and goes faster than the page looks."""
    show(page, "All")
    expect(page.locator("#feed")).to_have_text("Live")
    place, ended = daemon.base / "processing" / "restless.json", threading.Event()

    def restless() -> None:
        while not ended.wait(0.05):
            place.unlink() if place.exists() else place.touch()
        place.unlink(missing_ok=True)

    thread = threading.Thread(target=restless)
    thread.start()
    try:
        daemon.drop("among-many.json", b"{}")
        expect(row(page, "among-many.json")).to_be_visible(timeout=8_000)
    finally:
        ended.set()
        thread.join()

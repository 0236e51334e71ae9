"""The page of a daemon that asks for tokens, by TLS, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hypersdkd.model.role import Role
from hypersdkd.web.tokens import make_token
from tests.certificates import make_certificate
from tests.page.browser import PATIENCE
from tests.system.daemon_process import DaemonProcess

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def tokens(root: Path) -> dict[str, str]:
    """A token of each role, and the daemon's file of both."""
    made = {role: make_token(role, f"the-{role}") for role in (Role.READ, Role.OPERATE)}
    (root / "tokens").touch(0o600)
    (root / "tokens").write_text("".join(f"{line}\n" for _secret, line in made.values()))
    return {str(role): secret for role, (secret, _line) in made.items()}


@pytest.fixture(scope="module")
def guarded(root: Path, tokens: dict[str, str]) -> Iterator[DaemonProcess]:
    cert, key = make_certificate(root)
    api = {"tokens_file": str(root / "tokens"), "tls": {"cert": str(cert), "key": str(key)}}
    with DaemonProcess(root, api=api) as process:
        yield process


@pytest.fixture
def locked(browser: Browser, guarded: DaemonProcess, troubles: list[str]) -> Iterator[Page]:
    """The page as it was just opened; the certificate is taken as if the reader had."""
    ready = next(json.loads(line) for line in guarded.logged() if '"addresses"' in line)
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(f"{ready['addresses'][0]}/web/dashboard/")
    yield page
    context.close()
    assert troubles == []


def give(page: Page, token: str) -> None:
    page.get_by_label("Token", exact=True).fill(token)
    page.get_by_role("button", name="Use the token").click()


def test_it_asks_for_a_token_keeps_it_to_itself_and_says_what_it_does_not_allow(locked, guarded, tokens):
    page, field = locked, locked.get_by_label("Token", exact=True)
    expect(field).to_be_focused()
    expect(page.locator("#feed")).to_have_text("Token needed")
    expect(page.locator("#state")).to_have_text("Token needed")
    expect(page.locator("#alarm")).to_be_hidden()

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_response("**/status"):
        give(page, "wrong-wrong-wrong-wrong-wrong")
    expect(page.locator("#access")).to_contain_text("none of those in force")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    assert sum(url.endswith("/status") for url in asked) == 1, "a wrong one is not sent again"

    give(page, f" {tokens['read']}\n")
    expect(page.locator("#state")).to_have_text("Running")
    expect(page.locator("#access")).to_be_hidden()
    expect(page.locator("#feed")).to_have_text("Live")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#notice")).to_contain_text("The token the-read may read; this needs one that may operate.")
    page.get_by_label("Source path").fill("/srv/web01.vmdk")
    expect(page.locator("#verdict")).to_have_text("Valid, 1 warning.")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#problems")).to_contain_text("may read")
    assert guarded.api.jobs()["total"] == 0

    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert tokens["read"] not in kept
    assert not any(tokens["read"] in url for url in asked)
    page.reload()
    expect(field).to_be_focused()


def test_who_may_operate_does(locked, guarded, tokens):
    give(locked, tokens["operate"])
    expect(locked.locator("#feed")).to_have_text("Live")
    locked.get_by_role("button", name="Pause").click()
    expect(locked.locator("#state")).to_have_text("Paused")
    guarded.api.resume()
    expect(locked.locator("#state")).to_have_text("Running")  # by the stream


def test_a_token_that_is_taken_away_is_asked_for_again(locked, guarded, tokens, root):
    give(locked, tokens["operate"])
    expect(locked.locator("#feed")).to_have_text("Live")
    kept = (root / "tokens").read_text()
    (root / "tokens").write_text(make_token(Role.READ, "other")[1])
    guarded.reload()
    expect(locked.locator("#feed")).to_have_text("Token needed")
    expect(locked.get_by_label("Token", exact=True)).to_be_visible()
    (root / "tokens").write_text(kept)
    guarded.reload()
    give(locked, tokens["read"])
    expect(locked.locator("#feed")).to_have_text("Live")

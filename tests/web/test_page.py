"""The page's files: what is served, under which rules, and that nothing else is."""

from __future__ import annotations

import configparser
import re
from importlib.resources import files
from pathlib import Path

import pytest

from hypersdkd.model.guest import OUTPUT_FORMATS, SOURCE_TYPES
from hypersdkd.model.manifest_fields import FIX_LEVELS, FSTAB_MODES
from hypersdkd.web.page import PAGE, PAGE_HEADERS, page_files
from tests.web.raw import ask

STATIC = Path(str(files("hypersdkd.web"))) / "static"
NAMES = sorted(path.name for path in STATIC.iterdir())
HTML = (STATIC / "index.html").read_text()

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def test_every_file_is_served_and_packaged():
    assert sorted(page_files()) == NAMES
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    assert setup["options.package_data"]["hypersdkd.web"] == "static/*"


@pytest.mark.parametrize("name", ["", *NAMES])
async def test_a_file_with_its_type_and_rules(url, unix, name):
    for address in (url, unix):
        reply = await ask(address, "GET", PAGE + name)
        assert (reply.status, reply.body) == (200, (STATIC / (name or "index.html")).read_bytes())
        suffix = (name or "index.html").rpartition(".")[2]
        assert reply.headers["Content-Type"] == f"{TYPES[suffix]}; charset=utf-8"
        assert {key: reply.headers[key] for key in PAGE_HEADERS} == dict(PAGE_HEADERS)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Server"] == "hypersdkd"


def test_the_policy_allows_nothing_inline_and_nobody_else():
    policy = dict(rule.strip().split(" ", 1) for rule in PAGE_HEADERS["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in PAGE_HEADERS["Content-Security-Policy"]


async def test_the_api_keeps_its_own_policy(url):
    for path in ("/api/workflow/status", PAGE + "nothing"):
        headers = (await ask(url, "GET", path)).headers
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Cache-Control"] == "no-store"


async def test_what_the_browser_has_is_not_sent_again(url):
    first = await ask(url, "GET", PAGE)
    tag = first.headers["Etag"]
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = await ask(url, "GET", PAGE, headers={"If-None-Match": known})
        assert (again.status, again.body, again.headers["Etag"]) == (304, b"", tag)
        assert again.headers["Content-Security-Policy"] == first.headers["Content-Security-Policy"]
    assert (await ask(url, "GET", PAGE, headers={"If-None-Match": '"other"'})).status == 200
    assert (await ask(url, "GET", PAGE + "page.js")).headers["Etag"] != tag


async def test_head_is_get_without_its_body(url):
    reply = await ask(url, "HEAD", PAGE)
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["Content-Length"]) == len(HTML.encode())


async def test_the_address_without_its_slash_leads_there(url):
    reply = await ask(url, "GET", PAGE.rstrip("/"))
    assert (reply.status, reply.headers["Location"]) == (301, PAGE)


async def test_the_address_without_a_path_leads_there(url):
    reply = await ask(url, "GET", "/")
    assert (reply.status, reply.headers["Location"]) == (302, PAGE)


@pytest.mark.parametrize(
    "path",
    [
        "../page.py",
        "..%2fpage.py",
        "%2e%2e/page.py",
        "..%5cpage.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a/b",
        "page.py",
        "index.html%00",
        "page.js/",
        ".",
        "..",
        "static/page.js",
        "PAGE.JS",
    ],
)
async def test_nothing_else_is_served(url, path):
    reply = await ask(url, "GET", PAGE + path)
    if reply.status == 301:  # a path that is tidied up first
        reply = await ask(url, "GET", reply.headers["Location"])
    assert reply.status == 404 or (reply.status, reply.body) == (200, HTML.encode())  # "." is the page itself
    assert reply.status == 404 or path == "."


async def test_a_foreign_page_cannot_load_it(url):
    assert (await ask(url, "GET", PAGE, headers={"Host": "evil.example"})).status == 403
    assert (await ask(url, "GET", PAGE + "page.js", headers={"Origin": "http://evil.example"})).status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_it_is_only_read(url, method):
    reply = await ask(url, method, PAGE)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")


def test_no_code_or_style_in_the_document_and_nothing_from_elsewhere():
    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>|<style|\sstyle=|\son\w+=", HTML) == []
    links = re.findall(r'(?:src|href)="([^"]*)"', HTML)
    assert [link for link in links if not link.startswith("#") and link not in NAMES] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(".js")])
def test_scripts_make_no_markup_and_name_only_their_neighbours(name):
    text = (STATIC / name).read_text()
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?:", text) == []
    )
    assert [module for module in re.findall(r'from "([^"]+)"', text) if module.removeprefix("./") not in NAMES] == []
    assert text.count("\n") <= 200


def test_every_label_has_its_field_and_every_id_is_one():
    ids = re.findall(r'\sid="([^"]+)"', HTML)
    assert len(ids) == len(set(ids))
    named = re.findall(r'\s(?:for|aria-labelledby|aria-describedby)="([^"]+)"', HTML)
    assert set(named) | set(re.findall(r'href="#([^"]+)"', HTML)) <= set(ids)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("pipeline.load.source_type", SOURCE_TYPES),
        ("pipeline.convert.output_format", OUTPUT_FORMATS),
        ("pipeline.fix.fstab.mode", FSTAB_MODES),
        ("pipeline.fix.network.fix_level", FIX_LEVELS),
    ],
)
def test_the_form_offers_what_the_manifest_takes(path, values):
    (options,) = re.findall(rf'<select[^>]*data-path="{re.escape(path)}".*?</select>', HTML, re.DOTALL)
    assert sorted(re.findall(r"<option>(.*?)</option>", options)) == sorted(values)


def test_every_control_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "dashboard.md").read_text()
    words = re.findall(r"<(?:label|button|legend)[^>]*>(?:<input[^>]*>)?\s*([^<]+?)\s*<", HTML, re.DOTALL)
    assert {"Pause", "Submit", "Source path", "Boot test", "Output"} <= set(words)
    assert [word for word in words if f"**{word}**" not in page] == []

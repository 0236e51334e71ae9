"""An address that is not loopback: one of this machine's, else one that it has for as long as the tests run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

#: For examples and tests, RFC 5737.
_OWN = "192.0.2.1"


@contextmanager
def beyond_loopback() -> Iterator[str]:
    """This machine's own, else another one of its loopback device, which needs root; else the test is skipped, but not
    in CI."""
    found = _address_here()
    if found:
        yield found
        return
    try:
        _ip("address", "add", f"{_OWN}/32", "dev", "lo")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"no address but loopback, and none can be made: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield _OWN
    finally:
        _ip("address", "delete", f"{_OWN}/32", "dev", "lo")


def _address_here() -> str:
    try:
        links = json.loads(_ip("-json", "-4", "address", "show", "scope", "global", "up"))
    except (OSError, subprocess.CalledProcessError):
        return ""
    return next((entry["local"] for link in links for entry in link.get("addr_info", []) if "local" in entry), "")


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

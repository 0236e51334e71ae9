"""An address that is not loopback: one of this machine's, or one in a network of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

#: For examples and tests, RFC 5737.
_OWN = "192.0.2.1"


@dataclass(frozen=True)
class Network:
    """``address`` can be listened on by a command behind ``prefix``."""

    address: str
    prefix: tuple[str, ...] = ()


@contextmanager
def beyond_loopback() -> Iterator[Network]:
    """This machine's own network, else a new one, which needs root; else the test is skipped, but not in CI."""
    found = _address_here()
    if found:
        yield Network(found)
        return
    name = f"hypersdkd-{secrets.token_hex(4)}"
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"no address but loopback, and no network can be made: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "address", "add", f"{_OWN}/32", "dev", "lo")
        yield Network(_OWN, ("ip", "netns", "exec", name))
    finally:
        _ip("netns", "delete", name)


def _address_here() -> str:
    try:
        links = json.loads(_ip("-json", "-4", "address", "show", "scope", "global", "up"))
    except (OSError, subprocess.CalledProcessError):
        return ""
    return next((entry["local"] for link in links for entry in link.get("addr_info", []) if "local" in entry), "")


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

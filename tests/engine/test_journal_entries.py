"""The fields of an entry."""

from __future__ import annotations

import re
from pathlib import Path

import hypersdkd
from hypersdkd.engine.journal_entries import MESSAGE_IDS, entry


def test_a_line_of_a_job() -> None:
    event = {
        "event": "guest failed",
        "job": "a.json",
        "vm": "web01",
        "stage": "load",
        "code": "source-missing",
        "error": "x",
    }
    assert entry(event, 4, "line") == {
        "MESSAGE": "line",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "hypersdkd",
        "MESSAGE_ID": MESSAGE_IDS["guest failed"],
        "HYPERSDKD_JOB": "a.json",
        "HYPERSDKD_GUEST": "web01",
        "HYPERSDKD_STAGE": "load",
        "HYPERSDKD_CODE": "source-missing",
    }


def test_what_is_empty_is_left_out() -> None:
    assert set(entry({"event": "other", "job": "", "vm": None}, 6, "line")) == {
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_IDENTIFIER",
    }


def test_each_kind_is_really_logged() -> None:
    code = "".join(
        path.read_text() for path in Path(hypersdkd.__file__).parent.rglob("*.py") if "entries" not in path.name
    )
    assert [kind for kind in MESSAGE_IDS if not re.search(f'"{kind}"', code)] == []

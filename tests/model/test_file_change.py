"""What is told of a change: the lines that differ, bounded, with nothing in them that is special."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.file_change import SHOWN, change_of

LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=8).map("\n".join)


def test_only_the_lines_that_differ() -> None:
    change = change_of("/etc/fstab", "written", b"# head\n/dev/sda1 /\n# tail\n", b"# head\nUUID=1 /\n# tail\n")
    assert change.as_dict() == {
        "path": "/etc/fstab",
        "action": "written",
        "line": 2,
        "before": "/dev/sda1 /",
        "after": "UUID=1 /",
    }


@given(LINES, LINES)
def test_before_becomes_after_where_it_is_said(old: str, new: str) -> None:
    change = change_of("/f", "written", old.encode(), new.encode())
    assert isinstance(change.before, str)
    assert isinstance(change.after, str)
    lines = old.split("\n")
    count = len(change.before.split("\n"))
    if change.before != change.after:
        parts = [lines[: change.line - 1], change.after.split("\n"), lines[change.line - 1 + count :]]
        replaced = "\n".join("\n".join(part) for part in parts if part)
        inserted = change.before == "" or change.after == ""  # then an empty line and none look alike
        assert inserted or replaced == new


def test_a_file_that_came_or_went() -> None:
    assert (change_of("/f", "written", None, b"x\n").before, change_of("/f", "written", None, b"x\n").after) == (
        None,
        "x\n",
    )
    assert (change_of("/f", "removed", b"x", None).before, change_of("/f", "removed", b"x", None).after) == ("x", None)


def test_what_is_no_text_is_told_by_size_and_checksum() -> None:
    for content in (b"a\0b", b"\xff"):
        change = change_of("/f", "written", b"text", content)
        assert change.after == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert change.before == {"bytes": 4, "sha256": hashlib.sha256(b"text").hexdigest()}
    assert change_of("/f", "removed", b"\xff", None).after is None


def test_hostile_text_is_bounded_and_escaped() -> None:
    change = change_of("/a\nb", "written", None, b"\x1b[2J\tx\r\n" + b"y" * 2 * SHOWN)
    told = change.as_dict()
    assert told["path"] == r"/a\nb"
    assert isinstance(told["after"], str)
    assert told["after"].startswith("\\x1b[2J\tx\\r\ny")
    assert told["after"].endswith(f"… and {SHOWN + 8} characters more")
    json.dumps(told, allow_nan=False)

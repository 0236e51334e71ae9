"""Where there is no terminal; and what a real one is left with."""

from __future__ import annotations

import os
import sys

import pexpect
import pytest

from tests.cli.conftest import NOWHERE, RealRules, Run


@pytest.mark.parametrize("words", [("tui",), ("tui", "--json")])
def test_not_a_terminal(run: Run, words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.status == 2
    assert "tui needs a terminal" in result.out + result.err
    assert "workflow watch" in result.out + result.err


@pytest.mark.parametrize(("key", "status"), [("q", 0), ("\x03", 130)])
def test_the_terminal_is_given_back(workflow: RealRules, key: str, status: int) -> None:
    environment = {**os.environ, "HYPERSDKD_URL": workflow.url or NOWHERE, "TERM": "xterm-256color"}
    child = pexpect.spawn(
        sys.executable,
        ["-c", "import sys; from hypersdkd.cli.hyperctl import main; sys.exit(main(['tui']))"],
        env=environment,
        dimensions=(24, 80),
        timeout=60,
        encoding="utf-8",
    )
    child.expect_exact("\x1b[?1049h")  # another screen
    child.expect_exact("web01")
    child.send(key)
    child.expect_exact("\x1b[?1049l")  # back
    left = child.after + child.read()
    child.close()
    assert child.exitstatus == status, left
    assert "\x1b[?25h" in left, "the cursor is shown again"
    assert "Traceback" not in left

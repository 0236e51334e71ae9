"""The program as a process: exit status, signals, pipes, odd terminals, and what its start imports."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Canned, Run
from tests.cli.test_workflow import fill

COMMAND = [sys.executable, "-c", "import sys; from hypersdkd.cli.hyperctl import main; sys.exit(main())"]
NEVER = 30


def start(*words: str, **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "HYPERSDKD_URL": "http://127.0.0.1:9", "TERM": "xterm", **options.pop("env", {})}
    return subprocess.Popen([*COMMAND, *words], env=environment, text=True, **options)


def test_version_and_help(run: Run) -> None:
    assert run("--version").out == "hyperctl 0.1.0\n"
    assert run("-version").status == 0
    for word in ("Exit status", "HYPERSDKD_URL", "-op list", "-daemon URL"):
        assert word in run("--help").out
    assert "usage: hyperctl workflow list" in run("workflow", "list", "-h").out
    assert "generate" in run("manifest", "--help").out


def test_no_command_is_a_usage_error(run: Run) -> None:
    assert run().status == 2


def test_an_error_is_short_unless_more_is_asked_for(run: Run) -> None:
    short, long = run("bogus"), run("-v", "bogus")
    assert len(short.err.splitlines()) == 2
    assert "code: usage" in long.err


@pytest.mark.parametrize("option", ["--json", "-json"])
def test_an_error_is_an_object_too_with_json(run: Run, option: str) -> None:
    for words, code, status in ((("pause",), "daemon-unreachable", 3), (("bogus",), "usage", 2)):
        result = run(*words, option)
        error = json.loads(result.out)["error"]
        assert (result.status, error["code"]) == (status, code)
        assert set(error) == {"code", "message", "remedy", "path", "detail"}
        assert f"ERROR  {error['message']}" in result.err
    assert run("job", "show", "--", option).out == ""


def test_the_start_imports_little() -> None:
    code = (
        "import sys, hypersdkd.cli.hyperctl, hypersdkd.cli.workflow\n"
        "print(sorted({'pydantic', 'yaml', 'aiohttp', 'asyncio', 'rich', 'structlog'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_reader_that_goes_away(elsewhere: Path) -> None:
    directory = elsewhere / "big" / "to_be_processed"
    directory.mkdir(parents=True)
    for number in range(2000):
        (directory / f"{number:060}.json").touch()
    ours, theirs = os.pipe()
    os.close(ours)
    process = start("workflow", "list", "-dir", str(elsewhere / "big"), stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    _, said = process.communicate(timeout=NEVER)
    assert (process.returncode, said) == (141, "")


def test_a_full_disk() -> None:
    with Path("/dev/full").open("w") as full:
        process = start("--version", stdout=full, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=NEVER)
    assert process.returncode == 1
    assert "No space left" in said
    assert "Traceback" not in said


def test_closed_streams() -> None:
    line = " ".join(f"'{word}'" for word in [*COMMAND, "--version"])
    assert subprocess.run(["sh", "-c", f"{line} >&- 2>&-"], check=False, timeout=NEVER).returncode == 0


def test_ctrl_c_while_watching(elsewhere: Path) -> None:
    process = start("workflow", "watch", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("{")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=NEVER)
    assert (process.returncode, said) == (130, "")


def read_terminal(descriptor: int, until: bytes = b"") -> bytes:
    """What was written to a pseudo-terminal, up to its end or ``until``."""
    text = b""
    while not until or until not in text:
        try:
            text += os.read(descriptor, 65536)
        except OSError:
            break
    return text


def on_terminal(*words: str, **environment: str) -> tuple[subprocess.Popen[str], int]:
    ours, theirs = pty.openpty()
    process = start(*words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    return process, ours


def test_ctrl_c_on_a_terminal_restores_it(elsewhere: Path) -> None:
    process, terminal = on_terminal("workflow", "watch", "--interval", "100", COLUMNS="40")
    shown = read_terminal(terminal, b"Queue: 0")
    process.send_signal(signal.SIGINT)
    shown += read_terminal(terminal)
    os.close(terminal)
    assert process.wait(NEVER) == 130
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")
    assert b"Traceback" not in shown


@pytest.mark.parametrize(
    ("environment", "escapes"),
    [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb", "NO_COLOR": ""}, False)],
)
def test_a_list_on_a_narrow_terminal(elsewhere: Path, environment: dict[str, str], escapes: bool) -> None:
    fill(elsewhere / "q")
    process, terminal = on_terminal("workflow", "list", "-dir", "q", COLUMNS="40", **environment)
    shown = read_terminal(terminal)
    os.close(terminal)
    assert process.wait(NEVER) == 0
    assert (b"\x1b" in shown) == escapes
    assert b"red" in shown
    assert b"\x1b[31mred" not in shown
    if environment == {"NO_COLOR": "1"}:
        assert max(map(len, shown.decode().splitlines())) <= 40


def test_a_locale_that_cannot_say_it(canned: Canned) -> None:
    canned.answers["*"] = (200, "application/json", '{"jobs": [{"id": "ünï→.json"}], "total": 1}'.encode())
    environment = {"PYTHONIOENCODING": "ascii", "HYPERSDKD_URL": canned.url}
    process = start("workflow", "list", stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    out, said = process.communicate(timeout=NEVER)
    assert process.returncode == 0
    assert "\\xfcn\\xef\\u2192.json" in out
    assert "Traceback" not in said

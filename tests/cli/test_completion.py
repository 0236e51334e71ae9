"""What a shell gets when it asks hyperctl: by argcomplete's environment, as the shells' scripts ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.cli.arguments import ACTIONS
from hypersdkd.cli.completion import script
from tests.cli.conftest import Canned, Run

pytestmark = pytest.mark.usefixtures("elsewhere")


def offered(line: str, shell: str = "bash") -> list[str]:
    """What may stand where ``line`` ends. Nothing else is said, and nothing is run."""
    answer = Path("offered")
    answer.unlink(missing_ok=True)
    ended = subprocess.run(
        [Path(sys.executable).with_name("hyperctl")],
        env={
            **os.environ,
            "_ARGCOMPLETE": "1",
            "_ARGCOMPLETE_SHELL": shell,
            "_ARGCOMPLETE_IFS": "\n",
            "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
            "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n\"'><=;|&(:",
            "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
            "COMP_LINE": line,
            "COMP_POINT": str(len(line.encode())),
        },
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"", b"")
    return answer.read_text().split("\n") if answer.read_text() else []


def page(*jobs: tuple[str, str]) -> tuple[int, str, bytes]:
    rows = [{"id": name, "status": status} for name, status in jobs]
    return 200, "application/json", json.dumps({"jobs": rows, "total": len(rows)}).encode()


def test_commands_and_actions() -> None:
    assert offered("hyperctl wor") == ["workflow"]
    assert set(ACTIONS) < set(offered("hyperctl "))
    assert offered("hyperctl job ") == list(ACTIONS["job"])


def test_the_options_of_every_command_are_offered_anywhere() -> None:
    assert offered("hyperctl --js") == ["--json"]
    assert offered("hyperctl workflow list --js") == ["--json"]
    assert offered("hyperctl --url http://vm1:80 workf") == ["workflow"]
    assert "--wait" in offered("hyperctl manifest submit --json --")
    assert "--wait" not in offered("hyperctl manifest validate --")


def test_values() -> None:
    assert offered("hyperctl workflow list --status f") == ["failed"]
    assert offered("hyperctl workflow list --status=f") == ["failed"]
    assert offered("hyperctl workflow list --limit ") == []


def test_files_are_those_that_fit() -> None:
    for name in ("web 01.json", "b.YAML", "c.yml", "disk.vmdk", ".hidden.json", "line\nbreak.json"):
        Path(name).touch()
    Path("more.d").mkdir()
    assert offered("hyperctl manifest submit ") == ["c.yml", "more.d/", r"web\ 01.json"]
    assert offered(r"hyperctl manifest submit web\ ") == [r"web\ 01.json"]
    assert offered("hyperctl manifest validate --file more") == ["more.d/"]
    assert offered("hyperctl manifest submit .h") == [".hidden.json"]
    assert offered("hyperctl manifest generate d") == ["disk.vmdk"]
    assert offered("hyperctl manifest generate disk.vmdk more") == ["more.d/"]
    assert offered("hyperctl workflow status --dir ") == ["more.d/"]
    assert offered("hyperctl manifest submit nowhere/") == []
    assert offered("hyperctl manifest submit ~nobody-of-that-name/") == []


def test_files_below_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("home").mkdir()
    Path("home/a.json").touch()
    monkeypatch.setenv("HOME", str(Path("home").absolute()))
    assert offered("hyperctl manifest submit ~/") == ["~/a.json"]


def test_jobs_are_the_daemons_and_fit_the_action(canned: Canned) -> None:
    canned.answers["*"] = page(("web01.json", "failed"), ("db $(id).json", "failed"), ("x\x1b[2J.json", "failed"))
    assert offered("hyperctl job retry ") == ["web01.json", r"db\ \$\(id\).json"]
    assert offered("hyperctl job retry w") == ["web01.json"]
    asked = [path.partition("?")[2] for path in canned.asked]
    assert sorted(set(asked)) == ["status=cancelled&limit=100", "status=failed&limit=100"]
    assert offered("hyperctl job show web", "fish") == ["web01.json"]


@pytest.mark.parametrize("where", ["before", "behind"])
def test_jobs_are_those_of_the_daemon_that_the_line_names(canned: Canned, where: str) -> None:
    canned.answers["*"] = page(("web01.json", "pending"))
    url, os.environ["HYPERSDKD_URL"] = canned.url, "http://127.0.0.1:9"  # the fixture's; it is put back by it
    line = f"hyperctl --url {url} job cancel " if where == "before" else f"hyperctl job cancel --url {url} "
    assert offered(line) == ["web01.json"]


def test_no_daemon_no_jobs() -> None:
    assert offered("hyperctl job show ") == []


def test_what_is_no_daemon_has_no_jobs(canned: Canned) -> None:
    canned.answers["*"] = (200, "text/html", b"<p>hello")
    assert offered("hyperctl job show ") == []
    canned.answers["*"] = (200, "application/json", b'{"jobs": 3}')
    assert offered("hyperctl job show ") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert (result.status, result.err) == (0, "")
    assert result.out == script(shell)
    ended = subprocess.run([shell, "-n"], input=result.out, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_shell_that_is_not_known(run: Run) -> None:
    result = run("completion", "tcsh")
    assert result.status == 2
    assert "bash" in result.err
    assert offered("hyperctl completion z") == ["zsh"]

"""Programs are run to their end, within bounds, and nothing of them is left."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.host.process import ERROR_LIMIT, OUTPUT_LIMIT, Limits, describe_signal, run
from hypersdkd.model.problem import ProblemError
from tests.problems import raises_problem


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process has ended (a zombie that nobody awaits counts), waiting for it if need be."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with open(fd, closefd=True):
        return bool(select.select([fd], [], [], seconds)[0])


def test_output_status_and_errors_are_kept() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=10)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", "err", 3)


def test_lines_end_in_newline_or_carriage_return() -> None:
    lines: list[str] = []
    run(["printf", r"    (1.00/100%%)\r    (2.00/100%%)\r\nend"], timeout=10, on_line=lines.append)
    assert lines == ["    (1.00/100%)", "    (2.00/100%)", "end"]


def test_a_line_without_an_end_does_not_gather_for_ever() -> None:
    lengths: list[int] = []
    run(["head", "-c", "300000", "/dev/zero"], timeout=10, on_line=lambda line: lengths.append(len(line)))
    assert max(lengths) <= 4 * 2 * 4096


def test_output_is_bounded() -> None:
    script = f"head -c {OUTPUT_LIMIT * 2} /dev/zero; head -c {ERROR_LIMIT * 4} /dev/zero | tr '\\0' e >&2"
    done = run(["sh", "-c", script], timeout=30)
    assert len(done.stdout) == OUTPUT_LIMIT
    assert len(done.stderr) == ERROR_LIMIT


def test_standard_input_is_empty_and_the_locale_is_c() -> None:
    done = run(["sh", "-c", 'cat; echo "$LC_ALL $EXTRA"'], timeout=10, env={"EXTRA": "more"})
    assert done.stdout == b"C more\n"


def test_a_missing_program_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with raises_problem("tool-missing", "qemu-img") as caught:
        run(["qemu-img", "--version"], timeout=1)
    assert "qemu-utils" in caught[0].remedy


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    with raises_problem("tool-missing"):
        run([program], timeout=1)


def test_a_timeout_kills_the_child_and_its_own_children(tmp_path: Path) -> None:
    script = f"sleep 1000 & echo $! $$ > {tmp_path}/pids; wait"
    with raises_problem("tool-timeout"):
        run(["sh", "-c", script], timeout=0.3)
    assert all(gone(int(pid)) for pid in (tmp_path / "pids").read_text().split())


def test_a_timeout_says_what_the_child_said() -> None:
    with raises_problem("tool-timeout") as caught:
        run(["sh", "-c", "echo why >&2; exec sleep 1000"], timeout=0.3)
    assert caught[0].detail == "why"


def test_what_a_child_leaves_behind_is_not_waited_for(tmp_path: Path) -> None:
    done = run(["sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; echo done"], timeout=20)
    assert done.stdout == b"done\n"
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("where", ["on_line", "watch"])
def test_an_error_of_the_caller_ends_the_child(tmp_path: Path, where: str) -> None:
    def stop(*_: object) -> None:
        raise KeyError(where)

    with pytest.raises(KeyError):
        run(["sh", "-c", f"echo $$ > {tmp_path}/pid; echo line; exec sleep 1000"], timeout=20, **{where: stop})
    assert gone(int((tmp_path / "pid").read_text()))


def test_watch_is_called_while_the_child_is_silent() -> None:
    class EnoughError(Exception):
        pass

    calls: list[int] = []

    def look() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise EnoughError

    with pytest.raises(EnoughError):
        run(["sleep", "1000"], timeout=30, watch=look)


def test_limits_are_the_childs_own() -> None:
    done = run(["sh", "-c", "ulimit -v; ulimit -t"], timeout=10, limits=Limits(address_space=1 << 30, cpu_seconds=7))
    assert done.stdout.split() == [b"1048576", b"7"]


def test_the_child_has_a_group_of_its_own_in_our_session() -> None:
    done = run(["sh", "-c", "exec cat /proc/self/stat"], timeout=10)
    group, session = done.stdout.rpartition(b")")[2].split()[2:4]
    assert int(session) == os.getsid(0)
    assert int(group) != os.getpgid(0)


def test_the_child_dies_with_us(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "started")
    code = (
        "from hypersdkd.host.process import run\n"
        f"run(['sh', '-c', 'echo $$ > {tmp_path}/started; exec sleep 1000'], timeout=1000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        pid = int((tmp_path / "started").read_text())
        parent.kill()
    assert gone(pid)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    run(["true"], timeout=10)
    with pytest.raises(ProblemError):
        run(["sleep", "1000"], timeout=0.05)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(("number", "word"), [(9, "memory ran out"), (11, "SIGSEGV"), (50, "signal 50")])
def test_a_signal_is_told_with_what_it_may_mean(number: int, word: str) -> None:
    assert word in describe_signal(number)

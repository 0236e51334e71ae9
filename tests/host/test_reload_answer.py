"""A reload's outcome comes to who asked for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hypersdkd.host.reload_answer import Answer, answer, ask

#: A daemon that answers SIGHUP with problems of any length, or ends.
DAEMON = """
import os, signal, sys
from hypersdkd.host.reload_answer import Answer, answer
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
print("ready", flush=True)
signal.sigwait([signal.SIGHUP])
if sys.argv[2] == "answer":
    answer({"RUNTIME_DIRECTORY": sys.argv[1]}, Answer(["\\u00e9" * 9000] * 200, "note"))
    signal.sigwait([signal.SIGTERM])
"""


@pytest.mark.parametrize("does", ["answer", "end"])
def test_an_answer_or_the_daemons_end(tmp_path: Path, does: str) -> None:
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    stale.bind(os.fspath(tmp_path / "reload-1.sock"))
    stale.close()
    with subprocess.Popen([sys.executable, "-c", DAEMON, tmp_path, does], stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        if does == "answer":
            given = ask(daemon.pid, tmp_path)
            assert (len(given.problems), given.note) == (20, "note")
            daemon.kill()
        else:
            with pytest.raises(ProcessLookupError):
                ask(daemon.pid, tmp_path)
    assert os.listdir(tmp_path) == ["reload-1.sock"]


def test_nobody_waits(tmp_path: Path) -> None:
    answer({}, Answer([]))
    answer({"RUNTIME_DIRECTORY": str(tmp_path)}, Answer([]))


def test_a_daemon_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProcessLookupError):
        ask(2**22 + 1, tmp_path)

"""What hangs is found and ended, and says why: the daemon by systemd's watchdog, a worker by the daemon's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box
from tests.systemd.installed import QUEUE, ROOT, drop, install, put, show, start, until

pytestmark = pytest.mark.system

DROP_IN = "/etc/systemd/system/hypersdkd.service.d/watchdog.conf"

#: Nobody waits half a minute here.
SOONER = """\
[Service]
WatchdogSec=6
TimeoutAbortSec=5
"""


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    with Box({shared: "/srv/box"}, [ROOT]) as box:
        install(box)
        put(box, (ROOT / "tests/systemd/site_plugin.py").read_text(), "/etc/hypersdkd/plugins.d/site.py")
        put(box, SOONER, DROP_IN)
        box.run("systemctl", "daemon-reload")
        yield box


def hold_up(box: Box, shared: Path, what: str) -> Callable[[], str]:
    """Have the daemon's plugin hold it up. What is returned waits until systemd has ended it and started another, and
    returns what the first one said."""
    start(box)
    invocation, restarts = show(box, "InvocationID"), show(box, "NRestarts")
    (shared / "freeze").write_text(what)
    box.run("curl", "-s", "--max-time", "10", "http://localhost:8080/api/workflow/status", check=False)
    (shared / "freeze").unlink()

    def started_again() -> str:
        until(box, f"test $(systemctl show --value -p NRestarts hypersdkd) -gt {restarts}")
        until(box, "systemctl is-active -q hypersdkd")
        log = box.run("journalctl", "--no-pager", f"_SYSTEMD_INVOCATION_ID={invocation}")
        assert "Fatal Python error: Aborted" in log
        return log

    return started_again


def until_status(box: Box, *words: str) -> None:
    """Wait until the daemon's status has all these words in this order."""
    until(box, f"systemctl show --value -p StatusText hypersdkd | grep -q '{'.*'.join(words)}'")


def test_a_frozen_loop(box: Box, shared: Path) -> None:
    log = hold_up(box, shared, "loop")()
    assert re.search(r"the daemon's loop has been stuck for \d+ s in site.py:\d+, _sleep_in_the_loop", log)
    until_status(box, "^0 running, 0 queued; started again after this: ", "stuck", ", _sleep_in_the_loop$")


def test_a_stuck_scheduler(box: Box, shared: Path) -> None:
    """As one whose storage does not answer. The next daemon does what the stuck one could not."""
    started_again = hold_up(box, shared, "disk")
    drop(box, "web01.json", "/srv/box/web01.vmdk")
    assert re.search(r"the scheduler has made no progress for \d+ s: a thread is in site.py:\d+", started_again())
    until_status(box, "started again after this: the scheduler has made no progress", ", _sleep_in_the_loop$")
    until(box, f"ls {QUEUE}/failed/*/web01.json.error.json 2>/dev/null | grep -q .")


def test_a_process_of_which_no_thread_runs(box: Box, shared: Path) -> None:
    """Nothing of ours can say anything to systemd then; the log has where it was."""
    assert "in _hold_everything" in hold_up(box, shared, "everything")()


def test_a_stop_leaves_nothing_behind(box: Box) -> None:
    box.run("systemctl", "stop", "hypersdkd")
    assert box.run("sh", "-c", "ls /run/hypersdkd; ls -d /run/hypersdkd.service || true").split() == ["worker.sock"]

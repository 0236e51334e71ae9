"""What hangs is found and ended, and says why: the daemon by systemd's watchdog, a worker by the daemon's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd.box import Box
from tests.systemd.installed import QUEUE, ROOT, drop, install, journal, need_a_box, put, show, start, until

pytestmark = pytest.mark.system

DROP_IN = "/etc/systemd/system/hypersdkd.service.d/watchdog.conf"

#: Nobody waits half a minute here. What the daemon said last stays to be seen where it is not started again.
LEFT_DOWN = """\
[Service]
WatchdogSec=6
TimeoutAbortSec=5
Restart=no
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that the box sees as /srv/box."""
    shared = tmp_path_factory.mktemp("box")
    shared.chmod(0o755)
    return shared


@pytest.fixture(scope="module")
def box(shared: Path) -> Iterator[Box]:
    need_a_box()
    with Box({shared: "/srv/box"}, [ROOT]) as box:
        install(box)
        put(box, (ROOT / "tests/systemd/site_plugin.py").read_text(), "/etc/hypersdkd/plugins.d/site.py")
        put(box, LEFT_DOWN, DROP_IN)
        box.run("systemctl", "daemon-reload")
        yield box


def freeze(box: Box, shared: Path, what: str) -> None:
    """Start the daemon and have its plugin hold it up."""
    box.run("systemctl", "reset-failed")
    start(box)
    (shared / "freeze").write_text(what)
    box.run("curl", "-s", "--max-time", "10", "http://localhost:8080/api/workflow/status", check=False)
    (shared / "freeze").unlink()


def until_ended(box: Box) -> str:
    """Wait until systemd has ended it; what it said to systemd last."""
    until(box, "systemctl is-failed -q hypersdkd")
    assert show(box, "Result") == "watchdog"
    return show(box, "StatusText")


def said(box: Box) -> str:
    """What this start of the daemon has said."""
    return box.run("journalctl", "--no-pager", f"_SYSTEMD_INVOCATION_ID={show(box, 'InvocationID')}")


def test_a_frozen_loop(box: Box, shared: Path) -> None:
    freeze(box, shared, "loop")
    status = until_ended(box)
    assert status.startswith("the daemon's loop has been stuck for ")
    assert "in site.py:" in status
    assert status.endswith(", _sleep_in_the_loop")
    log = said(box)
    assert "the daemon's loop has been stuck" in log
    assert "Fatal Python error: Aborted" in log


def test_a_stuck_scheduler(box: Box, shared: Path) -> None:
    freeze(box, shared, "disk")
    drop(box, "web01.json", "/srv/box/web01.vmdk")
    status = until_ended(box)
    assert status.startswith("the scheduler has made no progress for ")
    assert status.endswith(", _sleep_in_the_loop")
    assert "the scheduler has made no progress" in said(box)


def test_a_process_of_which_no_thread_runs(box: Box, shared: Path) -> None:
    """Nothing of ours can say anything to systemd then; the log has where it was. With the unit's own ``Restart=`` the
    next daemon does what the stuck one could not."""
    put(box, LEFT_DOWN.replace("Restart=no\n", ""), DROP_IN)
    box.run("systemctl", "daemon-reload")
    freeze(box, shared, "everything")
    until(box, "test $(systemctl show --value -p NRestarts hypersdkd) -ge 1")
    until(box, "systemctl is-active -q hypersdkd")
    assert "in _hold_everything" in journal(box)
    until(box, f"ls {QUEUE}/failed/*/web01.json.error.json 2>/dev/null | grep -q .")

"""A reload of a real daemon by SIGHUP: what runs goes on as it began, what comes is under the new settings."""

from __future__ import annotations

from pathlib import Path

from tests.images import MIB, raw_disk
from tests.page.gate import Gate, at_the_gate
from tests.system.daemon_process import DaemonProcess, until
from tests.system.jobs import batch, outcome, pipeline, run

_HEARS = """
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.types import Subscriber

def hear(changes):
    with open({heard!r}, "a") as file:
        file.writelines(f"{{change.kind}} {{change.data}}\\n" for change in changes)

@hookimpl
def hypersdkd_subscribers():
    return [Subscriber("hears", hear)]
"""


def test_guests_that_run_go_on_and_those_to_come_are_under_the_new_settings(tmp_path: Path) -> None:
    daemon = DaemonProcess(tmp_path, workers=2)
    source, heard = raw_disk(tmp_path / "disk.raw", 4 * MIB), tmp_path / "heard"
    gate = Gate(daemon.plugins).install()
    gate.shut()
    with daemon:
        guests = {f"gated{number}": pipeline(source) for number in range(3)}
        daemon.drop("gated.json", batch(**guests))
        until(lambda: len(at_the_gate(daemon.base)) == 2, daemon.base)
        daemon.reload("workflow: [")
        assert daemon.api.status()["config"]["problems"][0]["code"] == "config-invalid"
        (daemon.plugins / "hears.py").write_text(_HEARS.format(heard=str(heard)))
        (daemon.plugins / "page_gate.py").unlink()
        workflow = {**daemon.settings["workflow"], "max_workers": 1, "base_dir": "/elsewhere"}  # type: ignore[dict-item]
        daemon.reload(workflow=workflow)
        status = daemon.api.status()
        assert (status["max_workers"], status["workers_running"]) == (1, 2)
        assert (status["config"]["needs_restart"], status["config"]["problems"]) == (["workflow.base_dir"], [])
        assert status["base_dir"] == str(daemon.base)
        assert {record["name"] for record in status["plugins"]} >= {"hears", "status"}
        gate.open()
        assert outcome(daemon, "gated.json").kind == "processed"
        assert run(daemon, "more.json", batch(a=pipeline(source), b=pipeline(source))).kind == "processed"
        assert daemon.stop() == 0
        assert "more.json" in heard.read_text()

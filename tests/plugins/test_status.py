"""The status reply keeps the eight fields that clients decode, whole numbers whole."""

from __future__ import annotations

from hypersdkd_plugins.status import hypersdkd_status

from hypersdkd.host.self_confinement import shortcoming
from hypersdkd.spec.ports import StatusView


def test_the_eight_fields_and_ours() -> None:
    view = StatusView(
        mode="manifest",
        mode_reason="configured",
        version="1",
        base_dir="/q",
        pending=1,
        processing=2,
        processed_today=3,
        failed_today=4,
        cancelled_today=5,
        waiting=6,
        max_workers=7,
        workers_running=8,
        uptime_seconds=9,
        paused=True,
        draining=False,
        executor="local",
        free_bytes=10,
        eta_seconds=None,
        last_error="",
    )
    status = hypersdkd_status(view)
    assert {
        "mode": "manifest",
        "running": True,
        "queue_depth": 1,
        "active_jobs": 2,
        "processed_today": 3,
        "failed_today": 4,
        "max_workers": 7,
        "uptime_seconds": 9,
    }.items() <= status.items()
    assert (status["waiting"], status["paused"], status["disk"]) == (6, True, {"free_bytes": 10})
    assert status["workers_unconfined"] == shortcoming()
    assert len({key.casefold() for key in status}) == len(status)

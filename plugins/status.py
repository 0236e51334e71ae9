"""The status reply: the eight fields of HyperSDK's API, and what an operator asks next."""

from __future__ import annotations

from collections.abc import Mapping

from hypersdkd.host.self_confinement import shortcoming
from hypersdkd.spec.hooks import hookimpl
from hypersdkd.spec.ports import StatusView


@hookimpl
def hypersdkd_status(view: StatusView) -> Mapping[str, object]:
    """The core's numbers under the names that clients know."""
    return {
        "mode": view.mode,
        "running": not view.draining and not view.missing_directories,
        "queue_depth": view.pending,
        "active_jobs": view.processing,
        "processed_today": view.processed_today,
        "failed_today": view.failed_today,
        "max_workers": view.max_workers,
        "uptime_seconds": view.uptime_seconds,
        "cancelled_today": view.cancelled_today,
        "waiting": view.waiting,
        "paused": view.paused,
        "draining": view.draining,
        "workers_running": view.workers_running,
        "executor": view.executor,
        "version": view.version,
        "mode_reason": view.mode_reason,
        "base_dir": view.base_dir,
        "missing_directories": list(view.missing_directories),
        "disk": {"free_bytes": view.free_bytes},
        "eta_seconds": view.eta_seconds,
        "last_error": view.last_error,
        "config": dict(view.config),
        "workers_unconfined": shortcoming(),
        "plugins": list(view.plugins),
    }

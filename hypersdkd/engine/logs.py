"""The daemon's log, on standard error: JSON for a journal, colours for a person."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog

#: sd-daemon(3): the journal reads ``<N>`` at the start of a line as its priority.
_PRIORITY: Final[Mapping[str, int]] = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class _SteadyLogger(structlog.PrintLogger):
    """What cannot be written (a full disk, a reader that is gone) is lost; the daemon goes on."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def set_up(level: str, style: Literal["auto", "json", "console"]) -> None:
    """Set the log up once, at start. ``auto``: console on a terminal, else JSON."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    console = style == "console" or (style == "auto" and terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        last: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(colors=terminal)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=True)]
        if "JOURNAL_STREAM" in os.environ:
            last = [_remember_priority, *last[:-1], _journal_line]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: _SteadyLogger(sys.stderr) if sys.stderr is not None else structlog.ReturnLogger(),
        cache_logger_on_first_use=False,
    )


def _remember_priority(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["priority"] = _PRIORITY.get(str(event.get("level")), 6)
    return event


def _journal_line(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    priority = event.pop("priority", 6)
    return f"<{priority}>{structlog.processors.JSONRenderer(ensure_ascii=True)(logger, method, event)!s}"

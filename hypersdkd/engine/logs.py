"""The daemon's log: entries of the system's journal, or lines on standard error; JSON, or colours for a person."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, Literal

import structlog

from hypersdkd.engine.journal_entries import entry
from hypersdkd.host import journald
from hypersdkd.model.problem import Problem

#: sd-daemon(3): the journal reads ``<N>`` at the start of a line as its priority.
_PRIORITY: Final[Mapping[str, int]] = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class _SteadyLogger(structlog.PrintLogger):
    """What cannot be written (a full disk, a reader that is gone) is lost; the daemon goes on."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


#: Lines of one kind that a library may log in so many seconds; it repeats some for every connection.
_LINES: Final = 5
_SECONDS: Final = 60.0

#: Kinds that are counted at once.
_KINDS: Final = 1000

#: The levels that our log knows; what is between two is the lower one.
_LEVELS: Final = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


class _Bridge(logging.Handler):
    """Takes what libraries log (asyncio, aiohttp) into our log. Of a line that comes again and again some are kept."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Log it, unless its like was logged often enough of late; the next one then says how many were not."""
        kind = record.name, str(record.msg)[:200]
        since, count = self._seen.get(kind, (record.created, 0))
        left_out = 0
        if record.created - since >= _SECONDS:
            left_out, since, count = max(0, count - _LINES), record.created, 0
        if len(self._seen) >= _KINDS:
            self._seen.clear()
        self._seen[kind] = since, count + 1
        if count >= _LINES:
            return
        fields: dict[str, object] = {"logger": record.name}
        if left_out:
            fields["left_out"] = left_out
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc_info"] = record.exc_info
        try:
            message = record.getMessage()
        except Exception:  # a library's line that cannot be formatted ends nothing
            message = str(record.msg)
        structlog.get_logger().log(
            max(known for known in _LEVELS if known <= max(record.levelno, 10)), message, **fields
        )


def _take_over(level: int) -> None:
    """Let the standard library's log come out by ours, from warnings on."""
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _Bridge)]
    root.addHandler(_Bridge())
    root.setLevel(max(level, logging.WARNING))


def set_up(level: str, style: Literal["auto", "json", "console"]) -> None:
    """Set the log up once, at start. ``auto``: console on a terminal, else JSON."""
    number = logging.getLevelNamesMapping()[level.upper()]
    terminal = sys.stderr is not None and sys.stderr.isatty()
    console = style == "console" or (style == "auto" and terminal)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        last: list[structlog.typing.Processor] = [_without_empty, structlog.dev.ConsoleRenderer(colors=terminal)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=True)]
        if "JOURNAL_STREAM" in os.environ:
            last = [_remember_priority, *last[:-1], _journal_line]
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _SteadyLogger(sys.stderr) if sys.stderr is not None else structlog.ReturnLogger(),
        cache_logger_on_first_use=False,
    )
    _take_over(number)


def warn_of(problems: Iterable[Problem]) -> None:
    """Log each of them as a warning."""
    for each in problems:
        structlog.get_logger().warning(each.message, code=each.code, path=each.path, remedy=each.remedy)


def close() -> None:
    """Let go of a log that cannot be written, so that Python's last flush of it does not fail the exit."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stderr.fileno())
            os.close(nowhere)


def _without_empty(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A program finds ``vm`` and ``stage`` in each line of a job; a person need not see that there is none."""
    return {key: value for key, value in event.items() if value != ""}


def _remember_priority(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["priority"] = _PRIORITY.get(str(event.get("level")), 6)
    return event


def _journal_line(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """The line's entry in the journal; only what the journal does not take by itself comes by standard error."""
    priority = event.pop("priority", 6)
    line = str(structlog.processors.JSONRenderer(ensure_ascii=True)(logger, method, event))
    if journald.send(entry(event, priority, line)):
        raise structlog.DropEvent
    return f"<{priority}>{line}"

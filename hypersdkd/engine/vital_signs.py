"""What the daemon tells systemd while it works: STATUS, and WATCHDOG as long as it gets on; else why it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from hypersdkd.host.last_words import leave_words, take_words
from hypersdkd.host.loop_watch import LoopWatch
from hypersdkd.host.systemd import Notifier, watchdog_interval

#: Seconds between two status texts.
_PAUSE: Final = 1.0

#: Seconds without a round after which something is taken for stuck, where no watchdog of systemd's says how long.
_STUCK: Final = 15.0


class VitalSigns:
    """``stalled`` tells which loop has made no round for so many seconds, ``status`` what the daemon does.

    Why a daemon was stuck is left for the next one, for systemd forgets its status when it starts it again.
    """

    def __init__(self, notifier: Notifier, stalled: Callable[[float], str], status: Callable[[], str]) -> None:
        self._notifier = notifier
        self._stalled = stalled
        self._status = status
        self._log = structlog.get_logger()
        self._said = ""
        self._before = take_words()
        if self._before:
            self._log.warning("the daemon before this one was stuck", words=self._before)

    async def run(self) -> None:
        """Tell of it until cancelled."""
        limit = watchdog_interval() or _STUCK
        watch = LoopWatch(limit, self._loop_is_stuck)
        try:
            while True:
                watch.beat()
                self._tell(self._stalled(limit))
                await asyncio.sleep(min(_PAUSE, limit / 2))
        finally:
            watch.close()

    def _tell(self, stalled: str) -> None:
        if stalled:
            if not self._said:
                self._log.error(stalled)
            self._say(stalled)
            return
        if self._said:
            take_words()
            self._said = ""
        before = f"started again after this: {self._before}" if self._before else ""
        self._notifier.status("; ".join(filter(None, (self._status(), before))))
        self._notifier.watchdog()

    def _loop_is_stuck(self, line: str, stack: str) -> None:
        """In the watch's thread. Nobody says WATCHDOG meanwhile, so systemd ends a daemon that stays so."""
        self._say(line)
        if stack:
            self._log.error(line, stack=stack)

    def _say(self, words: str) -> None:
        self._said = words
        self._notifier.status(words)
        leave_words(words)

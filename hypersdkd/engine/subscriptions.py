"""Telling plugins' subscribers of every change: in batches, in the plugin's own thread, from a bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from hypersdkd.engine.broadcast import Broadcast
from hypersdkd.engine.hook_calls import HookCalls, PluginCallError
from hypersdkd.engine.plugin_record import PluginRecord, PluginState
from hypersdkd.model.change import Change
from hypersdkd.model.problem import ProblemError
from hypersdkd.spec.types import Subscriber

#: Seconds that a subscriber gets for what it has not heard yet when the daemon stops.
LAST_WORDS: Final = 2.0

#: Seconds between two looks at whether a plugin's thread is free again.
STUCK_PAUSE: Final = 1.0


class Subscriptions:
    """The subscribers of a daemon. Loop only.

    One that blocks holds up nobody: the broadcast cuts off who is too far behind, and who comes back hears what the
    broadcast still remembers, after a ``reset`` if that is not all.
    """

    def __init__(self, calls: HookCalls, broadcast: Broadcast) -> None:
        self._calls = calls
        self._broadcast = broadcast
        self._tasks: dict[Subscriber, asyncio.Task[None]] = {}

    def follow(self, subscribers: Sequence[tuple[PluginRecord, Subscriber]]) -> None:
        """From now on tell these, and nobody else; those that were told before go on where they are."""
        wanted = {subscriber: record for record, subscriber in subscribers}
        for gone in self._tasks.keys() - wanted.keys():
            self._tasks.pop(gone).cancel()
        for subscriber, record in wanted.items():
            if subscriber not in self._tasks:
                work = self._tell(record, subscriber, self._broadcast.last_id)
                self._tasks[subscriber] = asyncio.create_task(work, name=f"subscriber {subscriber.name}")

    async def close(self) -> None:
        """End the broadcast; let each hear the rest, if it is quick; then tell nobody."""
        self._broadcast.close()
        tasks, self._tasks = list(self._tasks.values()), {}
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _tell(self, record: PluginRecord, subscriber: Subscriber, last_id: str) -> None:
        while True:
            with self._broadcast.listen(last_id) as listener:
                while (change := await listener.next()) is not None:
                    changes = (change, *listener.at_hand())
                    await self._hand_over(record, subscriber, changes)
                    last_id = changes[-1].id
            if self._broadcast.closed:
                return

    async def _hand_over(self, record: PluginRecord, subscriber: Subscriber, changes: Sequence[Change]) -> None:
        """Until the plugin has been called with them, however long an earlier call holds its thread."""
        while True:
            try:
                await self._calls.contained(record, lambda: subscriber.hear(changes))
            except ProblemError as error:
                record.blame(PluginState.FAULTY, error.problem.message)
            except PluginCallError as error:
                if not error.called:
                    await asyncio.sleep(STUCK_PAUSE)
                    continue
            return

"""What a worker does beside its stages: long reading, such as checksums, that nothing waits for but the publication."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hypersdkd.model.problem import fail


class SideWork:
    """A context manager around the stages: leaving it waits for all that was begun, and concludes it.

    Where both a stage and what was done beside it fail, the latter counts: a source that is not what was promised
    explains the former.
    """

    def __init__(self) -> None:
        self._begun: list[_Task] = []
        self.failed = ""
        """The stage that began what failed."""

    def begin(self, stage: str, work: Callable[[], Callable[[], None]]) -> None:
        """Do ``work`` of a stage in a thread; what it returns is called when the stages are over, by the thread that
        waits."""
        self._begun.append(_Task(stage, work))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.conclude()

    def conclude(self) -> None:
        """Wait for all; raises what the first that failed did."""
        begun, self._begun = self._begun, []
        for task in begun:
            task.join()
        for task in begun:
            self.failed = task.stage
            task.conclude()
        self.failed = ""


class _Task(threading.Thread):
    """Begins by itself. It does not keep a process from ending that has given up."""

    def __init__(self, stage: str, work: Callable[[], Callable[[], None]]) -> None:
        super().__init__(name="side work", daemon=True)
        self.stage = stage
        self._work = work
        self._rest: Callable[[], None] | None = None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._rest = self._work()
        except Exception as error:
            self._error = error

    def conclude(self) -> None:
        """Raises what the work did, or what is left to do does."""
        if self._error is not None:
            raise self._error
        if self._rest is None:
            raise fail("step-failed", "what was done beside the stages did not end")
        self._rest()

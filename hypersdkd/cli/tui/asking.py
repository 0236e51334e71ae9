"""Asks the daemon beside the screen, which stays alive meanwhile: one thread a question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from textual.message import Message
from textual.message_pump import MessagePump

from hypersdkd.client.http import Reply
from hypersdkd.model.problem import Problem, ProblemError

Then = Callable[[Reply], None]
Otherwise = Callable[[Problem], None]


class Answered(Message):
    """A reply has come, or a problem; whoever asked knows what to do with it."""

    def __init__(self, finish: Callable[[], None]) -> None:
        super().__init__()
        self.finish = finish


def post(to: MessagePump, message: Message) -> None:
    """Give ``message`` to the screen from any thread; one that is gone is not told."""
    with suppress(RuntimeError):  # its loop is closed
        to.post_message(message)


def ask(to: MessagePump, question: Callable[[], Reply], then: Then, otherwise: Otherwise) -> None:
    """Call ``question`` in a thread, and ``then`` or ``otherwise`` on the screen by :class:`Answered`."""

    def run() -> None:
        try:
            reply = question()
        except ProblemError as error:
            problem = error.problem
            post(to, Answered(lambda: otherwise(problem)))
        else:
            post(to, Answered(lambda: then(reply)))

    threading.Thread(target=run, daemon=True, name="asking").start()

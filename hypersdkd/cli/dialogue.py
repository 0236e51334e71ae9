"""Asking questions, and the plain way to do it: one line a question, from a pipe or a terminal that cannot draw.

The answers are those of HyperSDK's Go client: a number or a word for a choice, ``y`` or ``yes``, an empty line for
the default, ``back``. A whole line is one answer, spaces included.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, Protocol

from hypersdkd.cli.terminal import Terminal
from hypersdkd.model.problem import fail

#: The answer to any question that goes back; the label of a choice that does.
BACK: Final = "back"
GO_BACK: Final = "go back"

YES: Final = frozenset({"y", "yes"})
NO: Final = frozenset({"n", "no"})

#: Bytes of one answer at most: the longest path, and room.
_ANSWER_BYTES: Final = 8192


class GoBackError(Exception):
    """The answer was to go back."""


class Dialogue(Protocol):
    """Asks; an empty answer is the default.

    Every method raises :class:`GoBackError`, and ``EOFError`` when no more answers come.
    """

    def choose(self, question: str, options: Sequence[str], default: str) -> str:
        """One of ``options``."""

    def confirm(self, question: str, default: bool) -> bool:
        """Yes or no."""

    def text(self, question: str, default: str) -> str:
        """A text without spaces around it."""


def chosen(answer: str, options: Sequence[str], default: str) -> str | None:
    """The option that an answer means, by its number or its name; ``None`` for none of them."""
    word = answer.strip().lower()
    if not word:
        return default
    by_number = {str(number): option for number, option in enumerate(options, start=1)}
    found = by_number.get(word, word if word in options else None)
    if word == BACK or found == GO_BACK:
        raise GoBackError
    return found


def confirmed(answer: str, default: bool) -> bool | None:
    """What an answer to a question of yes or no means; ``None`` for another word."""
    word = answer.strip().lower()
    if word == BACK:
        raise GoBackError
    if word in YES | NO:
        return word in YES
    return None if word else default


def given(answer: str, default: str) -> str:
    """A text as an answer."""
    text = answer.strip()
    if text.lower() == BACK:
        raise GoBackError
    return text or default


def yes_or_no(default: bool) -> str:
    """The answers to a question, the default in capitals."""
    return "Y/n" if default else "y/N"


class LineDialogue:
    """Reads standard input by lines. As in the Go client, a choice that is none is the default, another word is no."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def choose(self, question: str, options: Sequence[str], default: str) -> str:
        """See :class:`Dialogue`."""
        self._terminal.say(f"{question}:")
        for number, option in enumerate(options, start=1):
            self._terminal.say(f"  {number}. {option}")
        answer = self._ask(f"Choice [{options.index(default) + 1}]")
        found = chosen(answer, options, default)
        if found is None:
            self._terminal.note("WARNING", f"{answer} is not a choice; {default} is taken")
        return found or default

    def confirm(self, question: str, default: bool) -> bool:
        """See :class:`Dialogue`."""
        answer = self._ask(f"{question} [{yes_or_no(default)}]")
        found = confirmed(answer, default)
        if found is None:
            self._terminal.note("WARNING", f"{answer} is neither yes nor no; no is taken")
        return found or False

    def text(self, question: str, default: str) -> str:
        """See :class:`Dialogue`."""
        return given(self._ask(f"{question} [{default}]"), default)

    def _ask(self, prompt: str) -> str:
        out = self._terminal.out
        out.write(f"{prompt}: ")
        out.flush()
        line = sys.stdin.buffer.readline(_ANSWER_BYTES) if sys.stdin is not None else b""
        if not line:
            out.write("\n")
            raise EOFError
        if len(line) == _ANSWER_BYTES:
            raise fail("request-invalid", f"An answer is longer than {_ANSWER_BYTES} bytes")
        answer = line.decode("utf-8", "surrogateescape").strip()
        if not sys.stdin.isatty():  # a terminal has shown what was typed
            self._terminal.say(answer)
        return answer

"""The dialogue on a terminal that can draw, by prompt_toolkit. Its import takes 0.2 s, so it has a module of its own.

What is typed is what :mod:`hypersdkd.cli.dialogue` reads. Beyond that the arrow keys move between choices, Tab
completes a path, Escape goes back, and an answer that is none is refused before it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import PathCompleter
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import create_output
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import PromptSession, choice
from prompt_toolkit.validation import Validator

from hypersdkd.cli.dialogue import GO_BACK, GoBackError, confirmed, given, yes_or_no


class PromptDialogue:
    """See :class:`hypersdkd.cli.dialogue.Dialogue`."""

    def choose(self, question: str, options: Sequence[str], default: str) -> str:
        """A list to choose from, by arrow keys or by number."""
        found = choice(
            question,
            options=[(option, option) for option in options],
            default=default,
            key_bindings=_keys(ends=True),
        )
        if found == GO_BACK:
            raise GoBackError
        return found

    def confirm(self, question: str, default: bool) -> bool:
        """A line that takes yes, no or back."""

        def understood(answer: str) -> bool:
            try:
                return confirmed(answer, default) is not None
            except GoBackError:
                return True

        validator = Validator.from_callable(understood, "Type yes, no or back.", move_cursor_to_end=True)
        session: PromptSession[str] = PromptSession(validator=validator, validate_while_typing=False)
        answer = session.prompt(f"{question} [{yes_or_no(default)}]: ", key_bindings=_keys())
        return confirmed(answer, default) or False

    def text(self, question: str, default: str) -> str:
        """A line with Tab for the names of files."""
        session: PromptSession[str] = PromptSession(completer=PathCompleter(), complete_while_typing=False)
        return given(session.prompt(f"{question} [{default}]: ", key_bindings=_keys()), default)


@contextmanager
def prompts(out: TextIO) -> Iterator[PromptDialogue]:
    """A dialogue that draws on ``out``."""
    output = create_output(stdout=out)
    if isinstance(output, Vt100_Output):
        # Nothing here needs to know where the cursor is, and a terminal that does not say is waited for.
        output.enable_cpr = False
    with create_app_session(output=output):
        yield PromptDialogue()


def _keys(*, ends: bool = False) -> KeyBindings:
    """Escape goes back; with ``ends`` Ctrl-D ends the answers, which a line does by itself."""
    keys = KeyBindings()
    keys.add("escape", eager=True)(_leaving(GoBackError))
    if ends:
        keys.add("c-d")(_leaving(EOFError))
    return keys


def _leaving(error: type[Exception]) -> Callable[[KeyPressEvent], None]:
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(exception=error(), style="class:aborting")

    return leave

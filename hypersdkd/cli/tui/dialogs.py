"""The small windows above a screen: a question with yes and no, a path to submit, and help."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Button, Input, Static

from hypersdkd.cli.text import is_offered

_HELP: Final = """\
1-6          jobs that are active, pending, completed,
             failed, cancelled; all jobs
/            search by a part of the name
Enter        the job under the cursor, whole
n, b         next page, page before
s            submit a manifest
c, r         cancel a job, run it again
p            pause the daemon, or resume
Escape       back
q            leave (Ctrl-C: leave with status 130)

The mouse works as well: tabs, rows, keys below.
Status: ● live events, ○ asked twice a second,
✗ no daemon answers; it is tried again by itself."""


class Confirm(ModalScreen[bool]):
    """A question; the result says whether the answer was yes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "Yes"),
        ("n", "answer(False)", "No"),
        ("escape", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question above its answers; "no" has the focus."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            with Horizontal():
                yield Button("No (n)", id="no")
                yield Button("Yes (y)", id="yes")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """An answer by mouse or Enter."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """An answer by a key."""
        self.dismiss(yes)


class Submit(ModalScreen[str]):
    """Asks for a manifest's path; the result is empty when there is to be none."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Back")]

    def compose(self) -> ComposeResult:
        """One line to type in."""
        with Vertical(classes="dialog"):
            yield Static("Manifest to submit (→ completes, Enter submits, Escape goes back)", markup=False)
            yield Input(placeholder="/path/to/manifest.json", suggester=PathSuggester(), id="path")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        event.stop()
        self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """Escape."""
        self.dismiss("")


class Help(ModalScreen[None]):
    """All keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "dismiss", "Back"),
        ("question_mark", "dismiss", "Back"),
        ("enter", "dismiss", "Back"),
    ]

    def compose(self) -> ComposeResult:
        """The keys, one a line."""
        with Vertical(classes="dialog"):
            yield Static(_HELP, markup=False)


class PathSuggester(Suggester):
    """The first file or directory that begins as what was typed."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The whole path, a directory with its slash."""
        typed = Path(value).expanduser()
        directory, start = (typed, "") if value.endswith("/") else (typed.parent, typed.name)
        try:
            found = min(path for path in directory.iterdir() if is_offered(path.name, start))
            end = "/" if found.is_dir() else ""
        except (OSError, ValueError):
            return None
        return f"{value}{found.name[len(start) :]}{end}"

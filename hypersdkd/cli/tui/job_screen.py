"""One job on the whole screen; looked at again while it runs."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Static

from hypersdkd.cli.reply import rows, text
from hypersdkd.cli.tui.asking import Answered, ask
from hypersdkd.cli.tui.words import job_text, problem_text
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.job import ENDED_STATES
from hypersdkd.model.problem import Problem, ProblemError

#: Lines of the log that are shown.
_LOG_LINES: Final = 200

#: Seconds between two looks at a job that has not ended.
_EVERY: Final = 1.0


class JobScreen(Screen[None]):
    """A job's problem, progress, stages, findings and log. ``job_id`` is whose."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Back"),
        ("end", "log_end", "Log"),
        ("c", "app.cancel_job", "Cancel"),
        ("r", "app.retry_job", "Retry"),
        ("q", "app.quit", "Quit"),
    ]

    def __init__(self, daemon: Daemon, job_id: str) -> None:
        super().__init__()
        self.job_id = job_id
        self._daemon = daemon
        self._asked = False
        self._ended = False
        self._seen: tuple[Reply, Reply, Reply] | None = None

    def compose(self) -> ComposeResult:
        """The text, which scrolls, above the keys."""
        with VerticalScroll():
            yield Static("…", id="job", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Look now, and again."""
        self.look()
        self.set_interval(_EVERY, self._look_again)

    def on_resize(self) -> None:
        """Bars are as wide as the screen."""
        if self._seen is not None:
            self._show()

    def look(self) -> None:
        """Ask for the job anew, unless the answer is on its way."""
        if self._asked:
            return
        self._asked = True
        ask(self, self._question, self._take, self._fail)

    def on_answered(self, event: Answered) -> None:
        """An answer has come."""
        try:
            event.finish()
        except ProblemError as error:  # a reply that is none of ours
            self._seen = None
            self._fail(error.problem)

    def action_leave(self) -> None:
        """Back to the table."""
        self.dismiss()

    def action_log_end(self) -> None:
        """To the log's end."""
        self.query_one(VerticalScroll).scroll_end(animate=False)

    def _look_again(self) -> None:
        if not self._ended:
            self.look()

    def _question(self) -> Reply:
        job, events = self._daemon.job(self.job_id), self._daemon.job_events(self.job_id)
        return {"job": job, "events": events, "log": self._daemon.job_log(self.job_id, _LOG_LINES)}

    def _take(self, reply: Reply) -> None:
        self._asked = False
        job, events, log = (part if isinstance(part, dict) else {} for part in reply.values())
        self._seen = (job, events, log)
        self._ended = text(job, "status") in ENDED_STATES
        self._show()

    def _fail(self, problem: Problem) -> None:
        self._asked = False
        if self._seen is None:
            self.query_one("#job", Static).update(problem_text(problem))

    def _show(self) -> None:
        if self._seen is None:
            return
        job, events, log = self._seen
        shown = job_text(job, rows(events, "events"), log.get("lines"), max(20, self.size.width - 6))
        self.query_one("#job", Static).update(shown)

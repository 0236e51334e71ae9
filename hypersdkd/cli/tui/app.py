"""The application: the daemon in two lines, tabs, a search and the table of jobs; what its keys do."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Footer, Input, Static, Tab, Tabs

from hypersdkd.cli import exits
from hypersdkd.cli.manifest_files import read_manifest_file
from hypersdkd.cli.reply import rows, text
from hypersdkd.cli.text import clean
from hypersdkd.cli.tui.asking import Answered, ask, post
from hypersdkd.cli.tui.dialogs import Confirm, Help, Submit
from hypersdkd.cli.tui.following import Following, Look
from hypersdkd.cli.tui.job_screen import JobScreen
from hypersdkd.cli.tui.jobs_table import JobsTable
from hypersdkd.cli.tui.words import problem_text, status_lines
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import Problem, ProblemError

STATES: Final = ("active", "pending", "completed", "failed", "cancelled", "all")


class Looked(Message):
    """The daemon was looked at."""

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look


class QueueApp(App[int]):
    """The whole screen of ``hyperctl tui``; its result is the exit status."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #status { height: 2; text-wrap: nowrap; text-overflow: ellipsis; background: $panel; padding: 0 1; }
    #search { height: 1; border: none; padding: 0 1; }
    #search:focus { border: none; }
    #place { height: 1; padding: 0 1; color: $text-muted; }
    JobsTable { height: 1fr; }
    Confirm, Submit, Help { align: center middle; }
    .dialog { width: 70; max-width: 100%; height: auto; padding: 1 2; border: round $primary; background: $surface; }
    .dialog Horizontal { height: auto; margin-top: 1; }
    .dialog Button { margin-right: 2; }
    #job { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"state('{state}')", show=False) for number, state in enumerate(STATES, start=1)),
        ("slash", "search", "Search"),
        ("s", "submit", "Submit"),
        ("c", "cancel_job", "Cancel"),
        ("r", "retry_job", "Retry"),
        ("p", "pause", "Pause"),
        ("n", "turn(1)", "Next"),
        Binding("b", "turn(-1)", show=False),
        ("question_mark", "help", "Help"),
        ("q", "quit", "Quit"),
        Binding("escape", "table", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
    ]

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self.animation_level = "none"  # over ssh each step of one is sent
        self._daemon = daemon
        self._following = Following(daemon, lambda look: post(self, Looked(look)))
        self._status: Reply = {}
        self._shape: object = None

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Static("connecting…", id="status", markup=False)
        yield Tabs(*(Tab(state.capitalize(), id=state) for state in STATES))
        yield Input(placeholder="/ searches by name", id="search")
        yield JobsTable()
        yield Static("", id="place", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to follow."""
        self.query_one(JobsTable).focus()
        self._following.start()

    def on_unmount(self) -> None:
        """Stop."""
        self._following.close()

    def on_looked(self, event: Looked) -> None:
        """Show the daemon; ask for the page again if it may be another one now."""
        try:
            self._take_look(event.look)
        except ProblemError as error:  # a reply that is none of ours
            self._take_look(Look("away", problem=error.problem))

    def _take_look(self, look: Look) -> None:
        self._status = look.reply or self._status
        base = self.screen_stack[0]
        base.query_one("#status", Static).update("\n".join(status_lines(look, self._status)))
        if look.problem is not None:
            self._shape = None  # whatever happens meanwhile is to be asked for
            return
        running = rows(look.reply, "jobs")
        base.query_one(JobsTable).take_running(running)
        counts = [look.reply.get(key) for key in ("queue_depth", "processed_today", "failed_today", "cancelled_today")]
        shape = (counts, [text(row, "id") for row in running])
        if shape != self._shape:
            self._shape = shape
            self._ask_page()

    def on_answered(self, event: Answered) -> None:
        """An answer has come."""
        try:
            event.finish()
        except ProblemError as error:
            self._fail(error.problem)

    def on_tabs_tab_activated(self, event: Tabs.TabActivated) -> None:
        """Other jobs."""
        table = self.query_one(JobsTable)
        table.first_page(event.tab.id or "all", table.part)
        self._ask_page()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search as it is typed; the API takes 255 characters."""
        if event.input.id == "search":
            table = self.query_one(JobsTable)
            table.first_page(table.status, event.value[:255])
            self._ask_page()

    def on_input_submitted(self) -> None:
        """Back to the table with what was searched for."""
        self.action_table()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Look at one job."""
        if job_id := self.query_one(JobsTable).chosen:
            self.push_screen(JobScreen(self._daemon, job_id))

    def action_state(self, state: str) -> None:
        """The tab of a state."""
        self.screen_stack[0].query_one(Tabs).active = state

    def action_search(self) -> None:
        """To the search."""
        self.screen_stack[0].query_one(Input).focus()

    def action_table(self) -> None:
        """Back to the table."""
        self.screen_stack[0].query_one(JobsTable).focus()

    def action_turn(self, pages: int) -> None:
        """Another page."""
        if self.screen_stack[0].query_one(JobsTable).turn(pages):
            self._ask_page()

    def action_help(self) -> None:
        """All keys."""
        self.push_screen(Help())

    def action_cancel_job(self) -> None:
        """End the job that is meant, if the user is sure."""
        self._sure("Cancel", self._daemon.cancel_job, "is being cancelled")

    def action_retry_job(self) -> None:
        """Run the job that is meant again, if the user is sure."""
        self._sure("Retry", self._daemon.retry_job, "is pending again")

    def action_pause(self) -> None:
        """Pause or resume, if the user is sure."""
        paused = self._status.get("paused") is True
        question = "Resume: start jobs again?" if paused else "Pause: start no further job? What runs goes on."
        change = self._daemon.resume if paused else self._daemon.pause
        self._confirmed(question, change, "Resumed" if paused else "Paused")

    def action_submit(self) -> None:
        """Ask for a manifest, and submit it."""
        self.push_screen(Submit(), self._submit)

    async def action_quit(self) -> None:
        """Leave."""
        self.exit(exits.FINE)

    def action_interrupt(self) -> None:
        """Leave as by Ctrl-C anywhere else."""
        self.exit(exits.INTERRUPTED)

    def _submit(self, path: str | None) -> None:
        if not path:
            return

        def send() -> Reply:
            manifest = read_manifest_file(str(Path(path).expanduser()))
            return self._daemon.submit_manifest(manifest.text, name=manifest.job_name)

        ask(self, send, lambda reply: self._say(f"Submitted as {clean(text(reply, 'job_id'))}"), self._fail)

    def _sure(self, verb: str, change: Callable[[str], Reply], said: str) -> None:
        screen = self.screen
        job_id = screen.job_id if isinstance(screen, JobScreen) else self.screen_stack[0].query_one(JobsTable).chosen
        if job_id:
            shown = clean(job_id, 50)
            self._confirmed(f"{verb} {shown}?", partial(change, job_id), f"{shown} {said}")

    def _confirmed(self, question: str, change: Callable[[], Reply], said: str) -> None:
        def then(yes: bool | None) -> None:
            if yes:
                ask(self, change, lambda _: self._say(said), self._fail)

        self.push_screen(Confirm(question), then)

    def _say(self, said: str) -> None:
        self.notify(said, markup=False)
        self._ask_page()
        if isinstance(self.screen, JobScreen):
            self.screen.look()

    def _fail(self, problem: Problem) -> None:
        self.notify(problem_text(problem), severity="error", timeout=15, markup=False)

    def _ask_page(self) -> None:
        table = self.screen_stack[0].query_one(JobsTable)
        asked = table.question(self._daemon)

        def take(reply: Reply) -> None:
            if asked.keywords == table.question(self._daemon).keywords and asked.args == (table.status,):
                table.take(reply)
                self.screen_stack[0].query_one("#place", Static).update(table.place)

        ask(self, asked, take, self._fail)

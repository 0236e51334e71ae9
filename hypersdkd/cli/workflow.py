"""``hyperctl workflow status|list|queue``: the daemon and its queue, or the directories without a daemon."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from datetime import date
from typing import Final

from hypersdkd.cli import exits
from hypersdkd.cli.connection import ask_or_read
from hypersdkd.cli.fitting import Concessions
from hypersdkd.cli.reply import elapsed, inner, rows, text, whole
from hypersdkd.cli.terminal import Terminal
from hypersdkd.cli.text import duration, size
from hypersdkd.client.directories import DEFAULT_QUEUES, OfflineQueue
from hypersdkd.client.http import Daemon, Reply
from hypersdkd.model.problem import fail

#: The directories of a queue: the count's key, its name, and what lies there.
_DIRECTORIES: Final = (
    ("to_be_processed", "To Be Processed", "Drop files here to queue them"),
    ("processing", "Processing", "Currently being processed"),
    ("processed", "Processed (today)", "Successfully completed"),
    ("failed", "Failed (today)", "Failed jobs with error details"),
)

#: The status reply's key for each of them.
_COUNTS: Final = ("queue_depth", "active_jobs", "processed_today", "failed_today")

#: What a list does without on a narrow terminal. A name is its ID without the suffix, so it goes first.
_CONCESSIONS: Final[Concessions] = (
    ("Name", 0),
    ("Reason", 24),
    ("Reason", 0),
    ("Elapsed", 0),
    ("Stage", 0),
    ("ID", 10),
)

#: Jobs of a page at most, the API's limit.
_PAGE_LIMIT: Final = 10_000


def status(arguments: Namespace, terminal: Terminal) -> int:
    """What the daemon does and how much it has to do."""
    answer = ask_or_read(arguments, terminal, Daemon.status)
    if isinstance(answer, list):
        return _local_status(arguments, terminal, answer)
    if arguments.json:
        terminal.json(answer)
        return exits.FINE
    running = answer.get("running") is True
    observes = text(answer, "executor") == "observe"
    _show_status(terminal, answer, running=running)
    terminal.say()
    terminal.heading("Queue Statistics")
    _show_counts(terminal, "Count", [whole(answer, key) for key in _COUNTS], whole(answer, "cancelled_today"))
    terminal.say()
    _say_what_next(terminal, answer)
    if running and observes:
        terminal.note("SUCCESS", "This daemon observes: another one works the queue")
    elif observes:
        terminal.note("WARNING", f"The queue to observe is not there yet: {_missing(answer)}")
    elif running:
        terminal.note("SUCCESS", "Workflow daemon is running")
    else:
        terminal.note("WARNING", "The daemon answers, but its workflow is not running")
    return exits.FINE


def _show_counts(terminal: Terminal, heading: str, counts: list[int], cancelled: int) -> None:
    table = [(name, count) for (_, name, _), count in zip(_DIRECTORIES, counts, strict=True)]
    if cancelled:
        table.append(("Cancelled (today)", cancelled))
    terminal.table(("Queue", heading), table)


def _show_status(terminal: Terminal, reply: Reply, *, running: bool) -> None:
    state = "Running" if running else "Draining" if reply.get("draining") is True else "Stopped"
    executor = text(reply, "executor")
    disk = inner(reply, "disk")
    listed: list[tuple[str, object]] = [
        ("Status", f"{state} (paused)" if reply.get("paused") is True else state),
        ("Mode", text(reply, "mode").upper()),
        ("Max Workers", whole(reply, "max_workers")),
        ("Uptime", duration(whole(reply, "uptime_seconds"))),
    ]
    optional: list[tuple[str, str]] = [
        ("Executor", "" if executor == "local" else executor),
        ("Version", text(reply, "version")),
        ("Directory", text(reply, "base_dir")),
        ("Waiting", str(whole(reply, "waiting") or "")),
        ("Time To Go", duration(whole(reply, "eta_seconds")) if reply.get("eta_seconds") is not None else ""),
        ("Free Space", size(whole(disk, "free_bytes")) if disk else ""),
        ("Last Error", text(reply, "last_error")),
        ("Configuration", _configuration(inner(reply, "config"))),
    ]
    terminal.heading("Workflow Daemon Status")
    terminal.table(("Property", "Value"), [*listed, *(row for row in optional if row[1])])


def _missing(reply: Reply) -> str:
    missing = reply.get("missing_directories")
    return ", ".join(map(str, missing)) if isinstance(missing, list) else ""


def _configuration(reply: Mapping[str, object]) -> str:
    """What is to be done about the configuration's file; empty if it is in force as it is."""
    problems, keys = rows(reply, "problems"), reply.get("needs_restart")
    if problems:
        first = ": ".join(filter(None, (text(problems[0], "path"), text(problems[0], "message"))))
        return f"Not reloaded: {first}" + (f" and {len(problems) - 1} more" if len(problems) > 1 else "")
    return f"Restart to apply {', '.join(map(str, keys))}" if isinstance(keys, list) and keys else ""


def _say_what_next(terminal: Terminal, reply: Reply) -> None:
    queued, waiting, active = (whole(reply, key) for key in ("queue_depth", "waiting", "active_jobs"))
    if queued:
        terminal.info(f"You have {queued} job(s) queued for processing")
        if waiting:
            terminal.info(f"{waiting} of them wait for something: `hyperctl workflow queue` says for what")
    elif active:
        terminal.info(f"Currently processing {active} job(s)")
    else:
        terminal.info("All queues are empty!")
        terminal.info("To submit jobs:")
        if text(reply, "mode") == "disk":
            base = text(reply, "base_dir") or "/var/lib/hyper2kvm/workflow"
            terminal.say(f"  cp my-vm.vmdk {base.rstrip('/')}/to_be_processed/")
        else:
            terminal.say("  hyperctl manifest submit -file my-vm-manifest.json")


def _local_status(arguments: Namespace, terminal: Terminal, queues: list[OfflineQueue]) -> int:
    """Each queue's counts; as JSON that of the first, which is the one a daemon would take."""
    if arguments.json:
        terminal.json((queues or [OfflineQueue(DEFAULT_QUEUES[0], "manifest")])[0].status())
        return exits.FINE
    terminal.heading("Local Workflow Status")
    for queue in queues:
        if not queue.trouble():  # which has been said
            terminal.info(f"Found {f'{queue.mode} workflow'.lstrip()}: {queue.base}")
            terminal.say("  " + counts_line(queue.status()))
    if not queues:
        terminal.info("No workflow directories on this host")
    return exits.FINE


def counts_line(reply: Mapping[str, object]) -> str:
    """The four counts of a status reply on one line, and that of the cancelled jobs if there are any."""
    names = ("Queue", "Active", "Done", "Failed")
    counts = [f"{name}: {whole(reply, key)}" for name, key in zip(names, _COUNTS, strict=True)]
    cancelled = whole(reply, "cancelled_today")
    return " | ".join([*counts, f"Cancelled: {cancelled}"] if cancelled else counts)


def list_jobs(arguments: Namespace, terminal: Terminal) -> int:
    """The jobs of every state, or those that are asked for, one page of them."""
    wanted, name, day, limit = arguments.status, arguments.name, arguments.date, arguments.limit
    _check_filter(day, limit)
    answer = ask_or_read(arguments, terminal, lambda daemon: daemon.jobs(wanted, q=name, date=day, limit=limit))
    if isinstance(answer, list):
        found = [job for queue in answer for job in queue.jobs(wanted, q=name, date=day)]
        answer = {"jobs": found[:limit], "total": len(found), "cursor": ""}
    if arguments.json:
        terminal.json(answer)
        return exits.FINE
    jobs, total = rows(answer, "jobs"), whole(answer, "total")
    if jobs:
        terminal.heading("Workflow Jobs")
        headings = ("ID", "Name", "Stage", "Status", "Progress", "Elapsed", "Reason")
        shown = len(headings) if any(job.get("error") for job in jobs) else -1
        terminal.table(headings[:shown], [_job_row(job)[:shown] for job in jobs], _CONCESSIONS)
    else:
        terminal.info("No jobs found")
    if len(jobs) < total:
        terminal.info(f"The first {len(jobs)} are shown (--limit changes that)")
    terminal.note("SUCCESS", f"Found {total} job(s)")
    return exits.FINE


def _job_row(job: Mapping[str, object]) -> tuple[object, ...]:
    progress = whole(job, "progress")
    return (
        text(job, "id"),
        text(job, "name"),
        text(job, "stage"),
        text(job, "status"),
        f"{progress}%" if progress else "-",
        elapsed(job),
        text(job, "error"),
    )


def _check_filter(day: str, limit: int) -> None:
    try:
        valid = not day or date.fromisoformat(day).isoformat() == day
    except ValueError:
        valid = False
    if not valid:
        raise fail("usage", "--date is not a day written as YYYY-MM-DD")
    if not 1 <= limit <= _PAGE_LIMIT:
        raise fail("usage", f"--limit must be from 1 to {_PAGE_LIMIT}")


def queue(arguments: Namespace, terminal: Terminal) -> int:
    """Files in each directory, and why some wait or are ignored."""
    answer = ask_or_read(arguments, terminal, Daemon.queue if arguments.json else _queue_and_pause)
    answers = [each.queue() for each in answer] if isinstance(answer, list) else [answer]
    if arguments.json:
        terminal.json(_together(answers))
        return exits.FINE
    _show_queue(terminal, _together(answers))
    if answers and answers[0].get("paused") is True:
        terminal.note("WARNING", "The queue is paused: no further job is started (`hyperctl resume` undoes it)")
    terminal.note("SUCCESS", "Scanned workflow directories")
    return exits.FINE


def _queue_and_pause(daemon: Daemon) -> Reply:
    """The queue's reply, and of the status whether it is paused."""
    return {**daemon.queue(), "paused": daemon.status().get("paused")}


def _together(answers: list[Reply]) -> Reply:
    """One queue's reply; of several (both modes' directories exist, and no daemon) their sum."""
    if len(answers) == 1:
        return answers[0]
    lists: Reply = {
        key: [entry for answer in answers for entry in rows(answer, key)]
        for key in ("pending", "waiting", "ignored", "foreign")
    }
    keys = (*(key for key, _, _ in _DIRECTORIES), "cancelled")
    counts = {key: sum(whole(inner(answer, "counts"), key) for answer in answers) for key in keys}
    return {**lists, "counts": counts}


def _show_queue(terminal: Terminal, reply: Reply) -> None:
    counts = inner(reply, "counts")
    terminal.heading("Queue Statistics")
    _show_counts(terminal, "Files", [whole(counts, key) for key, _, _ in _DIRECTORIES], whole(counts, "cancelled"))
    for kind in ("waiting", "ignored", "foreign"):
        entries = rows(reply, kind)
        if entries:
            terminal.say()
            terminal.heading(kind.capitalize())
            terminal.table(("Name", "Reason"), [(text(entry, "name"), text(entry, "reason")) for entry in entries])
    terminal.say()
    terminal.info("Directory Locations:")
    for key, _, meaning in _DIRECTORIES:
        terminal.say(f"  {key + '/':<17} - {meaning}")

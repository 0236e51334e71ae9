"""``hyperctl manifest submit``: send manifests to the daemon, and follow their jobs with ``--wait``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect
from hypersdkd.cli.manifest_files import ManifestFile, manifest_names, noun, read_manifest_file, show_problems
from hypersdkd.cli.outcome import record_of, show_record
from hypersdkd.cli.progress import follow, problem_of
from hypersdkd.cli.reply import text
from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.http import Daemon, DaemonRefusedError, Reply
from hypersdkd.model.job import JobState


def submit(arguments: Namespace, terminal: Terminal) -> int:
    """Submit each manifest; 1 if any was refused, or, with ``--wait``, if any job did not complete.

    A manifest that is refused does not keep the others from being submitted.
    """
    daemon = connect(arguments)
    manifests = [read_manifest_file(name) for name in manifest_names(arguments, "submit")]
    several = len(manifests) > 1
    replies = [send_manifest(daemon, manifest, arguments, terminal, several=several) for manifest in manifests]
    accepted = [text(reply, "job_id") for reply in replies if reply.get("success") is True]
    ended: dict[str, Reply] = {}
    if arguments.wait and accepted:
        ended = follow(daemon, accepted, terminal, quiet=arguments.json)
    if arguments.json:
        results = [{**reply, "job": ended.get(text(reply, "job_id"))} if arguments.wait else reply for reply in replies]
        terminal.json(results[0] if len(results) == 1 else {"files": results})
    elif arguments.wait:
        _show_outcomes(daemon, ended, arguments, terminal)
    elif accepted:
        terminal.info("Monitor progress:")
        terminal.say("  hyperctl workflow -op status")
        terminal.say("  hyperctl workflow -op watch")
    well = len(accepted) == len(manifests) and all(map(_completed, ended.values()))
    return exits.FINE if well else exits.FAILED


def send_manifest(
    daemon: Daemon, manifest: ManifestFile, arguments: Namespace, terminal: Terminal, *, several: bool = False
) -> Reply:
    """Submit one manifest and, without ``--json``, say what became of it. The reply says so too (``success``).

    With ``several`` the job is shown with its file, since there are others.
    """
    try:
        reply = daemon.submit_manifest(manifest.text, name=manifest.job_name)
    except DaemonRefusedError as error:
        if not error.reply.get("errors"):
            raise
        if not arguments.json:
            show_problems(terminal, manifest, error.problems)
            terminal.note("ERROR", f"{noun(error.reply)} validation failed: {manifest.name}: {error.problem.message}")
        return {**error.reply, "file": manifest.name}
    if not arguments.json:
        terminal.note("SUCCESS", "Manifest submitted successfully!")
        terminal.say(f"Job ID: {text(reply, 'job_id')}{f' (of {manifest.name})' if several else ''}")
        terminal.say(f"Location: {text(reply, 'manifest_path')}")
    return {**reply, "file": manifest.name}


def _completed(job: Reply) -> bool:
    return text(job, "status") == JobState.COMPLETED


def _show_outcomes(daemon: Daemon, ended: Mapping[str, Reply], arguments: Namespace, terminal: Terminal) -> None:
    for job_id, job in ended.items():
        show_record(record_of(daemon, job), terminal)
        if _completed(job):
            terminal.note("SUCCESS", f"{job_id} completed")
        else:
            terminal.note("ERROR", f"{job_id} {text(job, 'status')}")
            terminal.problem(problem_of(job), verbose=arguments.verbose)

"""``hyperctl manifest validate``: by the daemon's rules, or by the same rules here if there is no daemon."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect, is_unreachable
from hypersdkd.cli.manifest_files import ManifestFile, manifest_names, noun, read_manifest_file, show_problems
from hypersdkd.cli.reply import rows
from hypersdkd.cli.summary import show_job_config, show_summary
from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.http import Daemon, DaemonRefusedError, Reply
from hypersdkd.model.document import parse_document
from hypersdkd.model.job_config import read_document
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.replies import JOB_CONFIG


@dataclass(slots=True)
class _Judge:
    """Asks the daemon until it turns out to be away, then judges by the model's own rules."""

    daemon: Daemon
    away: str = ""

    def judge(self, manifest: ManifestFile) -> Reply:
        """The API's reply to ``manifest``, whoever gave it."""
        if not self.away:
            try:
                return self.daemon.validate_manifest(manifest.text)
            except DaemonRefusedError as error:
                if not error.reply.get("errors"):
                    raise
                return _verdict(error.problems, ())
            except ProblemError as error:
                if not is_unreachable(error):
                    raise
                self.away = error.problem.message
        validation = read_document(manifest.text, manifest.syntax)
        taken_for = validation.taken_for if validation.parsed else ""
        return _verdict(validation.problems, validation.warnings, taken_for)

    @property
    def rules(self) -> str:
        """Whose rules were used, for the user."""
        if self.away:
            return f"Checked by hyperctl's own rules, which know no plugins ({self.away})"
        return f"Checked by the daemon at {self.daemon.address}"


def validate(arguments: Namespace, terminal: Terminal) -> int:
    """Judge each manifest; 1 if any is invalid."""
    judge = _Judge(connect(arguments))
    verdicts: list[Reply] = []
    names = manifest_names(arguments, "validate")
    for name in names:
        manifest = read_manifest_file(name)
        reply = judge.judge(manifest)
        verdicts.append({**reply, "file": manifest.name})
        if not arguments.json:
            _show(terminal, manifest, reply, several=len(names) > 1)
    if arguments.json:
        terminal.json(verdicts[0] if len(verdicts) == 1 else {"files": verdicts})
    else:
        terminal.note("INFO", judge.rules)
    return exits.FINE if all(verdict["valid"] is True for verdict in verdicts) else exits.FAILED


def _show(terminal: Terminal, manifest: ManifestFile, reply: Reply, *, several: bool) -> None:
    """With ``several`` each summary and verdict says of which file it is, since there are others."""
    problems = [Problem.from_dict(problem) for problem in rows(reply, "problems")]
    warnings = [Problem.from_dict(warning) for warning in rows(reply, "warnings")]
    if reply.get("valid") is not True:
        terminal.say("Validation Errors:")
        show_problems(terminal, manifest, problems or _bare(reply))
    show_problems(terminal, manifest, warnings, "warning: ")
    if reply.get("valid") is not True:
        unread = bool(problems) and problems[0].code.startswith("document-")
        terminal.note(
            "ERROR", f"{'Failed to parse manifest' if unread else f'{noun(reply)} validation failed'}: {manifest.name}"
        )
        return
    if several:
        terminal.info(f"File: {manifest.name}")
    show = show_job_config if reply.get("taken_for") == JOB_CONFIG else show_summary
    show(terminal, parse_document(manifest.text, manifest.syntax).value)
    terminal.note("SUCCESS", f"{noun(reply)} is valid!{f' ({manifest.name})' if several else ''}")


def _bare(reply: Reply) -> list[Problem]:
    """The problems of a daemon that gives messages only, as the Go one does."""
    errors = reply.get("errors")
    return [Problem("manifest-rejected", str(error)) for error in errors] if isinstance(errors, list) else []


def _verdict(problems: tuple[Problem, ...], warnings: tuple[Problem, ...], taken_for: str = "") -> Reply:
    return {
        **({"taken_for": taken_for} if taken_for else {}),
        "valid": not problems,
        "errors": [problem.message for problem in problems],
        "problems": [problem.as_dict() for problem in problems],
        "warnings": [warning.as_dict() for warning in warnings],
    }

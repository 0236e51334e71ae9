"""The command line: one parser, and the Go spellings rewritten to it.

The Go flag package takes one dash or two, ``-op X`` or ``-op=X``, and wants flags in places of its own;
today's habit is ``hyperctl COMMAND ACTION``. :func:`normalise` turns either into the second, so that the
parser, its help and the documentation know one form only.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Final, NoReturn, TypeAlias

from hypersdkd import __version__
from hypersdkd.model.job import JobState
from hypersdkd.model.problem import fail

#: Options of the root, accepted anywhere on the line. Go's ``-daemon URL`` is ``--url``.
_GLOBAL: Final = {
    "--url": True,
    "--socket": True,
    "--config": True,
    "--token-file": True,
    "--ca": True,
    "--json": False,
    "--verbose": False,
    "-v": False,
}
_ROOT: Final = {**_GLOBAL, "--version": False}

#: Every other option, and whether a value follows it.
_OTHERS: Final = {
    "--dir": True,
    "--file": True,
    "--lines": True,
    "--status": True,
    "--date": True,
    "--name": True,
    "--limit": True,
    "--interval": True,
    "--count": True,
    "--wait": False,
    "--format": True,
    "--force": False,
    "--checksums": False,
    "--inspect": False,
    "--help": False,
    "-h": False,
}

#: How Go's client names an action by an option.
_ACTION_OPTIONS: Final = {"workflow": "--op", "manifest": "--action"}
_ALIASES: Final = {"--daemon": "--url"}

#: The actions of each command that has some. A test compares them with the parser.
ACTIONS: Final = {
    "workflow": ("status", "list", "queue", "watch"),
    "manifest": ("create", "validate", "submit", "generate"),
    "job": ("show", "log", "logs", "report", "cancel", "retry"),
}


_EPILOG: Final = """\
The daemon is the one that HYPERSDKD_URL names (http[s]://HOST:PORT or unix:PATH), unless --url or --socket does.
HYPERSDKD_TOKEN_FILE and HYPERSDKD_CA_FILE stand for --token-file and --ca.
The Go client's spellings work too: workflow -op list, -op=list, -dir D; manifest validate -file F; -daemon URL.
Exit status: 0 fine; 1 invalid, failed, unknown or not possible; 2 usage; 3 no daemon; 130 Ctrl-C."""


class Parser(argparse.ArgumentParser):
    """Raises ``usage`` problems instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse for whatever it cannot parse."""
        raise fail("usage", message, remedy=f"See `{self.prog} --help`.")


def build_parser() -> Parser:
    """The whole command line. ``run`` in the result names ``module:function`` of the command."""
    parser = Parser(
        prog="hyperctl",
        description="Watch and steer hypersdkd, the daemon that converts VM disks for KVM.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hyperctl {__version__}")
    parser.add_argument(
        "--url", default="", help="the daemon's address, http://HOST:PORT, https://HOST:PORT or unix:PATH"
    )
    parser.add_argument("--socket", default="", metavar="PATH", help="the daemon's unix socket")
    parser.add_argument("--config", default="", metavar="FILE", help="the daemon's configuration, to find its address")
    parser.add_argument(
        "--token-file", default="", metavar="FILE", help="the file with the token that the daemon asks for"
    )
    parser.add_argument(
        "--ca", default="", metavar="FILE", help="certificates to trust instead of the system's (https)"
    )
    parser.add_argument("--json", action="store_true", help="print the API's JSON instead of text")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more about a problem")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_workflow(commands)
    _add_manifest(commands)
    _add_job(commands)
    for name, help_text in (
        ("pause", "start no further job; what runs goes on"),
        ("resume", "undo pause"),
        ("plugins", "list the daemon's plugins and how they are"),
    ):
        _leaf(commands, name, help_text, f"hypersdkd.cli.{'plugins' if name == 'plugins' else 'job'}:{name}")
    _leaf(commands, "tui", "the queue and its jobs on the whole screen", "hypersdkd.cli.tui.command:tui")
    completion = _leaf(
        commands, "completion", "print what a shell needs to complete hyperctl", "hypersdkd.cli.completion:completion"
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    return parser


#: argparse has no public name for it, and at run time its class takes no parameters.
_Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Each command with its words and its parser; an alias is none of its own."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for action in below:
        names: dict[argparse.ArgumentParser, str] = {}
        for name, child in action.choices.items():
            names.setdefault(child, name)
        for child, name in names.items():
            yield from leaves(child, (*words, name))


def _leaf(commands: _Commands, name: str, help_text: str, run: str, *aliases: str) -> Parser:
    parser = commands.add_parser(name, help=help_text, description=help_text, aliases=aliases, allow_abbrev=False)
    parser.set_defaults(run=run)
    return parser


def _actions(commands: _Commands, name: str, help_text: str) -> _Commands:
    group = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
    return group.add_subparsers(dest="action", metavar="ACTION", required=True)


def _add_workflow(commands: _Commands) -> None:
    actions = _actions(commands, "workflow", "the daemon and its queue")
    module = "hypersdkd.cli.workflow"
    status = _leaf(actions, "status", "what the daemon does and how much it has to do", f"{module}:status")
    listing = _leaf(actions, "list", "list the jobs of every state, or some of them", f"{module}:list_jobs")
    listing.add_argument(
        "--status", choices=(*map(str, JobState), "active", "all"), default="all", help="jobs in this state only"
    )
    listing.add_argument("--date", default="", metavar="YYYY-MM-DD", help="jobs that ended on this day only")
    listing.add_argument("--name", default="", metavar="PART", help="jobs whose name has this part, in any case")
    listing.add_argument("--limit", type=int, default=1000, metavar="N", help="jobs to show at most (1000)")
    queue = _leaf(actions, "queue", "files in each directory, and why some wait", f"{module}:queue")
    watch = _leaf(actions, "watch", "follow the queue until Ctrl-C", "hypersdkd.cli.watch:watch")
    watch.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between two looks (1)")
    watch.add_argument("--count", type=int, default=0, metavar="N", help="end after N looks (0: never)")
    for parser in (status, listing, queue, watch):
        parser.add_argument("--dir", default="", help="read this queue's directories instead of asking the daemon")


def _add_manifest(commands: _Commands) -> None:
    actions = _actions(commands, "manifest", "make, check and submit manifests")
    _leaf(actions, "create", "build a manifest by questions, save and submit it", "hypersdkd.cli.create:create")
    validate = _leaf(actions, "validate", "check manifests", "hypersdkd.cli.validate:validate")
    submit = _leaf(actions, "submit", "send manifests to the daemon", "hypersdkd.cli.submit:submit")
    for parser in (validate, submit):
        parser.add_argument("--file", action="append", default=[], metavar="FILE", help="the same as FILE")
        parser.add_argument("files", nargs="*", metavar="FILE", help="a manifest, a directory of them, or - for stdin")
    submit.add_argument("--wait", action="store_true", help="follow the jobs to their end; exit 1 unless all completed")
    generate = _leaf(
        actions, "generate", "write OUTDIR/STEM-manifest.json for a disk", "hypersdkd.cli.generate:generate"
    )
    # A missing word is answered in the Go client's words, so argparse may not count them.
    generate.usage = "hyperctl manifest generate [-h] [--format FORMAT] [--force] [--checksums] [--inspect] SRC OUTDIR"
    generate.add_argument("paths", nargs="*", metavar="SRC OUTDIR", help="the disk, and where to write its manifest")
    generate.add_argument(
        "--format", choices=("json", "yaml"), default="json", help="of the manifest: json (default) or yaml"
    )
    generate.add_argument("--force", action="store_true", help="replace a manifest that is there")
    generate.add_argument("--checksums", action="store_true", help="read all of it, for its size and SHA-256")
    generate.add_argument("--inspect", action="store_true", help="look into the guest: which system it has")


def _add_job(commands: _Commands) -> None:
    actions = _actions(commands, "job", "one job: look at it, end it, run it again")
    module = "hypersdkd.cli.job"
    show = _leaf(actions, "show", "one job whole", f"{module}:show")
    log = _leaf(actions, "log", "the end of its log", f"{module}:log", "logs")
    log.add_argument("--lines", type=int, default=100, metavar="N", help="lines to show (100)")
    report = _leaf(actions, "report", "its report, as JSON", f"{module}:report")
    cancel = _leaf(actions, "cancel", "end it", f"{module}:cancel")
    retry = _leaf(actions, "retry", "put a failed or cancelled job back", f"{module}:retry")
    for parser in (show, log, report, cancel, retry):
        parser.add_argument("id", metavar="ID", help="the job's ID, as `workflow list` shows it")


def normalise(words: Sequence[str]) -> list[str]:
    """``words`` (without the program's name) in the parser's one form: root options, command, action, rest.

    Raises ``command-unknown`` for an action that does not exist, ``command-incomplete`` for one that is missing.
    """
    root: list[str] = []
    rest: list[str] = []
    action = ""
    bare: list[int] = []
    for name, group in _groups(words):
        if name in _ACTION_OPTIONS.values():
            action = _value_of(name, group)
        elif name in _ROOT:
            root += group
        else:
            if not name:
                bare.append(len(rest))
            rest += group
    if not bare:
        return [*root, *rest]
    command = rest.pop(bare[0])
    if command not in ACTIONS:
        return [*root, command, *rest]
    if not action and len(bare) > 1:
        action = rest.pop(bare[1] - 1)
    if "-h" in rest or "--help" in rest:
        return [*root, command, *([action] if action in ACTIONS[command] else []), "--help"]
    if not action and command == "workflow":
        action = "status"
    _check_action(command, action)
    return [*root, command, action, *rest]


def _groups(words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Options (their two-dash name, and the words they take) and bare words (an empty name).

    Raises ``usage`` for an option that no command has.
    """
    known = {**_ROOT, **_OTHERS, **dict.fromkeys(_ACTION_OPTIONS.values(), True)}
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield (word, [word])
            for bare in rest:
                yield ("", [bare])
            return
        option, equals, value = word.partition("=")
        name = "--" + option.lstrip("-") if len(option) > 2 else option
        name = _ALIASES.get(name, name)
        if not word.startswith("-") or word == "-":
            yield ("", [word])
        elif name not in known:
            raise fail("usage", f"flag provided but not defined: {option}")
        elif equals or not known[name]:
            yield (name, [name + equals + value])
        else:
            # argparse would take a value with a leading dash for an option.
            following = next(rest, None)
            yield (name, [name] if following is None else [f"{name}={following}"])


def _value_of(name: str, group: Sequence[str]) -> str:
    value = group[0].partition("=")[2]
    if not value:
        raise fail("usage", f"{name} needs a value")
    return value


def _check_action(command: str, action: str) -> None:
    known = ", ".join(ACTIONS[command])
    if not action:
        raise fail(
            "command-incomplete",
            f"Action required. Usage: hyperctl {command} <action>",
            remedy=f"Actions: {known}. See `hyperctl {command} --help`.",
        )
    if action not in ACTIONS[command]:
        kind = "workflow operation" if command == "workflow" else f"{command} action"
        raise fail("command-unknown", f"Unknown {kind}: {action}", remedy=f"Available {kind.split()[1]}s: {known}.")

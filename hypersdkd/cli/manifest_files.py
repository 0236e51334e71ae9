"""The manifests that a command line names: files, directories of them, standard input; and their problems."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.http import Reply
from hypersdkd.model.document import MAX_BYTES
from hypersdkd.model.guest import type_by_suffix
from hypersdkd.model.job import SIDECAR_SUFFIXES
from hypersdkd.model.place import problem_place
from hypersdkd.model.problem import Problem, fail
from hypersdkd.model.replies import JOB_CONFIG

_SYNTAXES: Final = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}

#: Problems of one manifest that are listed; each costs a look through the text for its place.
LISTED: Final = 50


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One manifest: its name as given, its bytes, and its syntax by the suffix (empty for standard input)."""

    name: str
    text: bytes
    syntax: str

    @property
    def job_name(self) -> str:
        """What its job is called where it does not say: standard input has no name, and ``manifest generate`` writes
        ``NAME-manifest.json``."""
        return Path(self.name).stem.removesuffix("-manifest") if self.syntax else ""


def manifest_names(arguments: Namespace, action: str) -> list[str]:
    """The files that are meant, directories replaced by the manifests in them.

    ``command-incomplete`` if there are none, ``file-unreadable`` for a directory without manifests.
    """
    given: list[str] = [*arguments.file, *arguments.files]
    if not given:
        raise fail(
            "command-incomplete",
            "Manifest file required",
            remedy=f"Usage: hyperctl manifest {action} -file manifest.json",
        )
    return [name for each in given for name in _expanded(each)]


def _expanded(given: str) -> Sequence[str]:
    directory = Path(given)
    try:
        if given == "-" or not directory.is_dir():
            return (given,)
        found = sorted(path for path in directory.iterdir() if _is_manifest(path) and path.is_file())
    except OSError as error:
        raise _unreadable(given, error) from error
    if not found:
        raise fail("file-unreadable", f"There is no manifest in {given}", remedy="Name a directory of .json or .yaml.")
    return [str(path) for path in found]


def _is_manifest(path: Path) -> bool:
    name = path.name.lower()
    return path.suffix.lower() in _SYNTAXES and not name.startswith(".") and not name.endswith(SIDECAR_SUFFIXES)


def _instead_of(name: str) -> str:
    """What to do about a file that no manifest is called like."""
    if not os.path.lexists(name):
        return f"Check the path: there is no file {name}."
    if type_by_suffix(name):
        return f"It is called like a disk; make a manifest of it first: hyperctl manifest generate {name} ."
    return f"Rename {name}, or send it by standard input: hyperctl manifest ... - < FILE"


def read_manifest_file(name: str) -> ManifestFile:
    """Read one manifest; ``-`` is standard input. Raises ``file-unreadable`` and ``document-too-large``."""
    if name == "-":
        label, syntax = "<stdin>", ""
        text = sys.stdin.buffer.read(MAX_BYTES + 1)
    else:
        label, syntax = name, _SYNTAXES.get(Path(name).suffix.lower(), "")
        if not syntax:
            raise fail("file-unreadable", "Unsupported file format (use .json or .yaml)", remedy=_instead_of(name))
        try:
            with Path(name).open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            raise _unreadable(name, error) from error
    if len(text) > MAX_BYTES:
        raise fail("document-too-large", f"{label} is larger than {MAX_BYTES} bytes")
    return ManifestFile(label, text, syntax)


def _unreadable(name: str, error: Exception) -> Exception:
    why = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
    return fail("file-unreadable", f"Failed to read manifest: open {name}: {why}", remedy="Check the path.")


def noun(reply: Reply) -> str:
    """What the daemon took the file for, to begin a sentence with. The Go daemon knows only manifests."""
    return "Job config" if reply.get("taken_for") == JOB_CONFIG else "Manifest"


def show_problems(terminal: Terminal, manifest: ManifestFile, problems: Sequence[Problem], kind: str = "") -> None:
    """Each problem as ``FILE:LINE:COL: message``, with its path and remedy below; ``kind`` goes before the message."""
    for place, problem in _placed(manifest, problems[:LISTED]):
        terminal.say(f"  {manifest.name}:{place}: {kind}{problem.message}")
        where = f"path: {problem.path}; " if problem.path else ""
        terminal.say(f"      {where}remedy: {problem.remedy}")
    if len(problems) > LISTED:
        terminal.say(f"  and {len(problems) - LISTED} more")


def _placed(manifest: ManifestFile, problems: Sequence[Problem]) -> Iterator[tuple[str, Problem]]:
    for problem in problems:
        line, column = problem_place(manifest.text, manifest.syntax, problem)
        yield f"{line}:{column}", problem

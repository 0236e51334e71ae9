"""``hyperctl manifest create``: a manifest by questions, in four steps, each of which can go back."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from hypersdkd.cli import exits
from hypersdkd.cli.connection import connect
from hypersdkd.cli.dialogue import GO_BACK, Dialogue, GoBackError, LineDialogue
from hypersdkd.cli.generate import is_here, type_here
from hypersdkd.cli.manifest_files import read_manifest_file
from hypersdkd.cli.manifest_output import encoded, write_manifest
from hypersdkd.cli.submit import send_manifest
from hypersdkd.cli.terminal import Terminal
from hypersdkd.client.http import Reply
from hypersdkd.model.guest import SOURCE_TYPES
from hypersdkd.model.manifest_draft import ManifestDraft
from hypersdkd.model.problem import ProblemError, fail

#: In the order of the Go client's numbers.
_OUTPUT_FORMATS: Final = ("qcow2", "raw", "vmdk", "vdi")

_DEFAULT_FILE: Final = "my-vm-manifest.json"
_SAVE: Final = "save"
_CANCEL: Final = "cancel"

#: A question: the draft so far becomes one with its answer.
_Question = Callable[[Dialogue, ManifestDraft], ManifestDraft]


def create(arguments: Namespace, terminal: Terminal) -> int:
    """Ask, save, and submit if that is wanted. With ``--json`` the questions go to standard error."""
    talk = replace(terminal, out=terminal.err) if arguments.json else terminal
    submitted: Reply | None = None
    talk.say("An empty answer takes the default; back returns to the step before.")
    with _dialogue(talk) as dialogue:
        try:
            answer = _build(dialogue, talk)
        except EOFError:
            raise fail(
                "command-incomplete",
                "The answers ended before the manifest was complete; nothing was written",
                remedy="Answer every question; an empty line takes the default.",
            ) from None
        if answer is None:
            talk.note("INFO", "Cancelled; nothing was written")
            if arguments.json:
                terminal.json({"manifest_path": None, "manifest": None, "submitted": None})
            return exits.FINE
        target, draft = answer
        talk.note("SUCCESS", f"Manifest saved to: {target}")
        wanted = _wants_submission(dialogue)
    if wanted:
        submitted = send_manifest(connect(arguments), read_manifest_file(str(target)), arguments, terminal)
    if arguments.json:
        terminal.json({"manifest_path": str(target), "manifest": draft.document(), "submitted": submitted})
    elif not wanted:
        terminal.info(f"Submit it with: hyperctl manifest submit -file {target}")
    return exits.FAILED if submitted is not None and submitted.get("success") is not True else exits.FINE


@contextmanager
def _dialogue(terminal: Terminal) -> Iterator[Dialogue]:
    if terminal.interactive and sys.stdin is not None and sys.stdin.isatty():
        # prompt_toolkit takes 0.2 s to import, and only a terminal needs it.
        from hypersdkd.cli.prompts import prompts  # noqa: PLC0415

        with prompts(terminal.out) as dialogue:
            yield dialogue
    else:
        yield LineDialogue(terminal)


def _build(dialogue: Dialogue, terminal: Terminal) -> tuple[Path, ManifestDraft] | None:
    """The manifest and the file that holds it now; ``None`` if it was cancelled."""
    draft = ManifestDraft("")
    step = question = 0
    while True:
        if question == 0:
            terminal.heading(f"Step {step + 1}/4: {_TITLES[step]}")
        try:
            if step == len(_STEPS):
                return _review(dialogue, terminal, draft)
            draft = _STEPS[step][question](dialogue, draft)
            question += 1
            if question == len(_STEPS[step]):
                if step == 0:
                    _warn_of_type(terminal, draft)
                step, question = step + 1, 0
        except GoBackError:
            # From the first question to the step before, from others to the first.
            step, question = (max(0, step - 1), 0) if question == 0 else (step, 0)


def _source_type(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    found = dialogue.choose("Source type", SOURCE_TYPES, draft.source_type)
    # A path that nobody gave goes with the type that it was made of.
    path = "" if draft.source_path == _default_path(draft) else draft.source_path
    return replace(draft, source_type=found, source_path=path)


def _default_path(draft: ManifestDraft) -> str:
    return f"/path/to/disk.{draft.source_type}"


def _source_path(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    path = dialogue.text("Source path", draft.source_path or _default_path(draft))
    return replace(draft, source_path=str(Path(path).absolute()) if is_here(path) else path)


def _inspect(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    return replace(draft, inspect=dialogue.confirm("Enable INSPECT stage (detect OS)?", draft.inspect))


def _fix(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    return replace(draft, fix=dialogue.confirm("Enable FIX stage (fstab, grub, initramfs)?", draft.fix))


def _output_format(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    found = dialogue.choose("Output format", (*_OUTPUT_FORMATS, GO_BACK), draft.output_format)
    return replace(draft, output_format=found)


def _compress(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    return replace(draft, compress=dialogue.confirm("Enable compression?", draft.compress))


def _validate(dialogue: Dialogue, draft: ManifestDraft) -> ManifestDraft:
    return replace(draft, validate=dialogue.confirm("Enable VALIDATE stage?", draft.validate))


_TITLES: Final = ("Source", "Pipeline", "Output", "Review")
_STEPS: Final[tuple[tuple[_Question, ...], ...]] = (
    (_source_type, _source_path),
    (_inspect, _fix),
    (_output_format, _compress, _validate),
)


def _warn_of_type(terminal: Terminal, draft: ManifestDraft) -> None:
    if is_here(draft.source_path):
        found = type_here(draft.source_path)
        if found != draft.source_type:
            terminal.note(
                "WARNING", f"{draft.source_path} is {found}, not {draft.source_type}; type back to correct it"
            )


def _review(dialogue: Dialogue, terminal: Terminal, draft: ManifestDraft) -> tuple[Path, ManifestDraft] | None:
    """Show it, and save it under a name that is given; raises ``GoBackError`` to the step before."""
    while True:
        for line in encoded(draft.document()).decode().splitlines():
            terminal.say(f"  {line}")
        if dialogue.choose("What to do", (_SAVE, _CANCEL, GO_BACK), _SAVE) == _CANCEL:
            return None
        try:
            return _save(dialogue, terminal, draft), draft
        except GoBackError:
            terminal.heading(f"Step 4/4: {_TITLES[3]}")


def _save(dialogue: Dialogue, terminal: Terminal, draft: ManifestDraft) -> Path:
    """Ask for a name until the manifest is written. YAML for a name that says so, else JSON."""
    while True:
        target = Path(dialogue.text("File name", _DEFAULT_FILE))
        try:
            content = encoded(draft.document(), yaml_text=target.suffix.lower() in {".yaml", ".yml"})
            if not _write(dialogue, target, content):
                continue
        except ProblemError as error:
            terminal.problem(error.problem)
            continue
        return target


def _write(dialogue: Dialogue, target: Path, content: bytes) -> bool:
    """Write the manifest, over another one only when that is wanted; false when it is not."""
    try:
        write_manifest(target, content, replace=False)
    except ProblemError as error:
        if error.problem.code != "file-exists" or not target.is_file():
            raise
        if not dialogue.confirm(f"{target} exists and is another manifest. Replace it?", False):
            return False
        write_manifest(target, content, replace=True)
    return True


def _wants_submission(dialogue: Dialogue) -> bool:
    """Whether to submit now. To go back is too late, and no answer is none."""
    try:
        return dialogue.confirm("Submit the manifest now?", False)
    except (EOFError, GoBackError):
        return False

"""Both spellings of the command line: the Go client's, and today's."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

import pytest

from hypersdkd.cli import arguments
from hypersdkd.cli.arguments import ACTIONS, build_parser, normalise
from hypersdkd.model.problem import ProblemError


def leaves(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Each command with its words (aliases too) and its parser."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield words, parser
    for action in below:
        for name, child in action.choices.items():
            yield from leaves(child, (*words, name))


@pytest.mark.parametrize(
    "line",
    [
        "workflow -op list",
        "workflow -op=list",
        "workflow --op list",
        "workflow --op=list",
        "workflow list",
    ],
)
def test_workflow_spellings(line: str) -> None:
    assert normalise(line.split()) == ["workflow", "list"]


@pytest.mark.parametrize("line", ["workflow -op queue -dir D", "workflow -dir=D -op queue", "workflow queue --dir D"])
def test_the_directory_of_queue(line: str) -> None:
    parsed = build_parser().parse_args(normalise(line.split()))
    assert (parsed.command, parsed.action, parsed.dir) == ("workflow", "queue", "D")


def test_status_is_what_workflow_does() -> None:
    assert normalise(["workflow"]) == ["workflow", "status"]
    assert normalise(["workflow", "-json"]) == ["--json", "workflow", "status"]


@pytest.mark.parametrize(
    "line",
    [
        "manifest validate -file F",
        "manifest validate -file=F",
        "manifest validate --file F",
        "manifest validate F",
        "manifest -file F validate",
        "manifest -action validate -file F",
        "manifest --action=validate F",
    ],
)
def test_manifest_spellings(line: str) -> None:
    parsed = build_parser().parse_args(normalise(line.split()))
    assert (parsed.action, [*parsed.file, *parsed.files]) == ("validate", ["F"])


@pytest.mark.parametrize(
    "line", ["--url U job show ID", "job --url=U show ID", "job show ID -url U", "job show ID -daemon U"]
)
def test_global_options_stand_anywhere(line: str) -> None:
    parsed = build_parser().parse_args(normalise(line.split()))
    assert (parsed.url, parsed.action, parsed.id) == ("U", "show", "ID")


def test_words_after_two_dashes_are_no_options() -> None:
    parsed = build_parser().parse_args(normalise(["manifest", "validate", "--", "-file", "--json"]))
    assert parsed.files == ["-file", "--json"]
    assert not parsed.json
    parsed = build_parser().parse_args(normalise(["job", "show", "--", "-x.json"]))
    assert parsed.id == "-x.json"


def test_a_value_may_begin_with_a_dash() -> None:
    parsed = build_parser().parse_args(normalise(["manifest", "validate", "-file", "-"]))
    assert parsed.file == ["-"]
    parsed = build_parser().parse_args(normalise(["manifest", "validate", "-file", "-x.json"]))
    assert parsed.file == ["-x.json"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("workflow -op bogus", "command-unknown"),
        ("manifest bogus", "command-unknown"),
        ("manifest", "command-incomplete"),
        ("job", "command-incomplete"),
        ("bogus", "usage"),
        ("", "usage"),
        ("workflow -op", "usage"),
        ("workflow --bogus", "usage"),
        ("workflow -x", "usage"),
        ("workflow list more", "usage"),
        ("job show", "usage"),
        ("job log ID --lines many", "usage"),
        ("job log ID --lines", "usage"),
        ("workflow --ur x", "usage"),
    ],
)
def test_what_cannot_be_understood(line: str, code: str) -> None:
    with pytest.raises(ProblemError) as caught:
        build_parser().parse_args(normalise(line.split()))
    assert caught.value.problem.code == code


def test_the_tables_agree_with_the_parser() -> None:
    words: dict[str, set[str]] = {}
    options: dict[str, bool] = {}
    for (command, *action), parser in leaves(build_parser()):
        words.setdefault(command, set()).update(action)
        for each in parser._actions:
            options |= dict.fromkeys(each.option_strings, each.nargs != 0)
    assert {command: set(actions) for command, actions in ACTIONS.items()} == {
        command: actions for command, actions in words.items() if actions
    }
    assert options == arguments._OTHERS
    root = {name: each.nargs != 0 for each in build_parser()._actions for name in each.option_strings}
    assert root == {**arguments._ROOT, "-h": False, "--help": False}


def test_every_command_has_its_function() -> None:
    for _, parser in leaves(build_parser()):
        module, _, name = parser.get_default("run").partition(":")
        assert callable(getattr(importlib.import_module(module), name))

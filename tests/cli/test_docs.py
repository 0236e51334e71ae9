"""docs/hyperctl.md and the parser name the same commands, words and options."""

from __future__ import annotations

import argparse
import re
from importlib.metadata import entry_points
from pathlib import Path

from hypersdkd.cli import exits
from hypersdkd.cli.arguments import build_parser, normalise
from tests.cli.test_arguments import leaves

PAGE = (Path(__file__).parents[2] / "docs" / "hyperctl.md").read_text()
COMMANDS = dict(re.findall(r"^### `hyperctl ([^`]+)`\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def options(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings} - {"-h", "--help"}


def documented(text: str) -> set[str]:
    """The options in the first column of a section's table."""
    cells = re.findall(r"^\| (`-[^|]*) \|", text, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(--?[a-z][a-z-]*)", cell)}


def test_every_command_with_its_words_and_options() -> None:
    parsers = {}
    for words, parser in leaves(build_parser()):
        usage = re.sub(r"\[-.*?\] ?", "", " ".join(parser.format_usage().split()))
        parsers[usage.removeprefix("usage: hyperctl ").strip()] = options(parser)
        assert words[:1] == tuple(usage.split()[2:3])
    # An option's own value stands in brackets of its own; what argparse repeats for an alias is one command.
    assert {name: documented(text) for name, text in COMMANDS.items()} == {
        name: found for name, found in parsers.items() if " logs " not in f" {name} "
    }
    assert "`hyperctl job logs ID`" in PAGE


def test_the_options_of_every_command() -> None:
    section = PAGE.partition("## Options of every command")[2].partition("\n## ")[0]
    assert documented(section) == options(build_parser()) | {"-h", "--help"}


def test_every_exit_status() -> None:
    section = PAGE.partition("## Exit status")[2].partition("\n## ")[0]
    statuses = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == statuses


def test_examples_of_the_page_can_be_parsed() -> None:
    lines = re.findall(r"^\$ hyperctl (.*)$", PAGE, re.MULTILINE)
    assert len(lines) >= 8
    for line in lines:
        build_parser().parse_args(normalise(line.split()))


def test_the_plugins_that_are_shown_are_those_that_come_along() -> None:
    """The example as a whole is compared with the real daemon's elsewhere; this is quick."""
    shown = re.findall(r"^(\w+) +loaded ", COMMANDS["plugins"], re.MULTILINE)
    points = entry_points(group="hypersdkd")
    assert shown == sorted(point.name for point in points if point.value.startswith("hypersdkd_plugins."))

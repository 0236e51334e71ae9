"""The man pages: made of the program as it is, right for man, and whole."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hypersdkd import daemon
from hypersdkd.cli import exits
from hypersdkd.cli.arguments import build_parser
from hypersdkd.client.address import URL_VARIABLE
from hypersdkd.client.credentials import CA_VARIABLE, TOKEN_VARIABLE
from hypersdkd.engine.config import Settings
from tests.cli.test_arguments import leaves
from tests.cli.test_docs import options
from tests.test_docs_configuration import leaves as keys

ROOT = Path(__file__).parents[2]
NAMES = {"hyperctl.1", "hypersdkd.8", "hypersdkd.yaml.5"}

#: 2026-01-02, a day that is not today's.
EPOCH = "1767312000"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each page's file, by its name, as a package would have it made."""
    directory = tmp_path_factory.mktemp("pages")
    for place in ("one", "two"):
        environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHON": str(ROOT / ".venv/bin/python")}
        subprocess.run([ROOT / "script/man", directory / place], env=environment, check=True, timeout=60)
    one, two = ({path.name: path for path in (directory / place).iterdir()} for place in ("one", "two"))
    assert one.keys() == NAMES
    assert {name: path.read_bytes() for name, path in one.items()} == {
        name: path.read_bytes() for name, path in two.items()
    }
    return one


def man(page: Path, *arguments: str, width: int = 80) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": str(width)}
    return subprocess.run(
        ["man", *arguments, "-E", "UTF-8", "-l", page],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def texts(pages: dict[str, Path]) -> dict[str, str]:
    """What a reader sees, in lines that are not broken."""
    return {name: man(path, width=10_000).stdout for name, path in pages.items()}


@pytest.mark.parametrize("width", [60, 80, 160])
@pytest.mark.parametrize("name", sorted(NAMES))
def test_no_warnings(pages: dict[str, Path], name: str, width: int) -> None:
    assert man(pages[name], "--warnings", "-Tutf8", "-Z", width=width).stderr == ""


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_name_line_is_what_apropos_reads(pages: dict[str, Path], name: str) -> None:
    told = subprocess.run(["lexgrog", pages[name]], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.startswith(f'{pages[name]}: "{name.rpartition(".")[0]} - ')


def test_a_line_has_no_markdown_left(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        assert "`" not in text, name
        assert "](" not in text, name
        assert "**" not in text, name
        assert "2026-01-02" in text, name


def test_hyperctl_has_every_command_option_and_exit_status(texts: dict[str, str]) -> None:
    text = texts["hyperctl.1"]
    for words, parser in leaves(build_parser()):
        heading = f"   hyperctl {' '.join(words)}"
        if words[-1] == "logs":  # another name of `log`
            assert "hyperctl job logs ID is the same" in text
            continue
        found = [part for part in text.split("\n   hyperctl ") if f"   hyperctl {part}".startswith(heading)]
        assert len(found) == 1, words
        for option in options(parser):
            assert f"\n       {option}" in found[0], words
    for option in options(build_parser()):
        assert f"{option}" in text.partition("\nOPTIONS\n")[2].partition("\nEXIT STATUS\n")[0]
    for name, value in vars(exits).items():
        if name.isupper() and isinstance(value, int):
            assert f"\n       {value}  " in text
    for variable in (URL_VARIABLE, TOKEN_VARIABLE, CA_VARIABLE):
        assert f"\n       {variable}\n" in text


def test_hypersdkd_has_every_option(texts: dict[str, str]) -> None:
    for option in options(daemon.build_parser()):
        assert f"\n       {option}" in texts["hypersdkd.8"]
    assert f"\n       {daemon.EXIT_CONFIG}  " in texts["hypersdkd.8"]


def test_the_configuration_has_every_key_in_the_words_of_its_definition(texts: dict[str, str]) -> None:
    text = texts["hypersdkd.yaml.5"]
    for key, description, _default in keys(Settings):
        entry = text.partition(f"\n       {key} ")[2] or text.partition(f"\n       {key}\n")[2]
        assert description.replace("`", "") in entry.split("\n\n")[0], key
    assert "(integer, 1 to 256) Guests converted" in text


def test_a_command_that_the_docs_do_not_know_is_an_error(tmp_path: Path) -> None:
    """A page is never made with a hole in it."""
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import man_pages; from hypersdkd.cli import arguments\n"
        "whole = arguments.build_parser\n"
        "def more():\n"
        "    parser = whole()\n"
        "    parser._subparsers._group_actions[0].add_parser('brand-new', help='new')\n"
        "    return parser\n"
        "arguments.build_parser = more\n"
        "man_pages.hyperctl()\n"
    )
    ended = subprocess.run(
        [ROOT / ".venv/bin/python", "-c", program, ROOT / "script"], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert "says nothing of: brand-new" in ended.stderr

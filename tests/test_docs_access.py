"""docs/access.md: its files are such files, its commands are commands, and each page of the way in points to it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hypersdkd.cli.arguments import build_parser, normalise
from hypersdkd.daemon import main
from hypersdkd.engine.config import load_config
from hypersdkd.web.attempts import LIMIT
from hypersdkd.web.tokens import parse_tokens

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "access.md").read_text()


def blocks(kind: str) -> list[str]:
    found = re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.mark.parametrize("text", blocks("yaml"))
def test_each_configuration_is_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    assert load_config(tmp_path / "c.yaml").settings.api.tokens_file


def test_the_lines_of_the_tokens_file() -> None:
    (text,) = blocks("text")
    tokens, wrong = parse_tokens(text.encode())
    assert (len(tokens), wrong) == (1, ())


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [shlex.split(line.partition(" >> ")[0]) for text in blocks("sh") for line in text.splitlines()]
    monkeypatch.chdir(tmp_path)
    made = [line[1:] for line in lines if line[0] == "hypersdkd"]
    assert len(made) == 2
    for words in made:
        assert main(words) == 0
        tokens, wrong = parse_tokens(capsys.readouterr().out.encode())
        assert (tokens[0].role, tokens[0].name, wrong) == (words[1], words[2], ())
        assert (tmp_path / words[3]).stat().st_mode & 0o777 == 0o600
    for words in (line[1:] for line in lines if line[0] == "hyperctl"):
        parsed = build_parser().parse_args(normalise(words))
        assert (parsed.token_file, parsed.url[:8]) == ("ci.token", "https://")


def test_the_numbers_and_the_ways_to_it() -> None:
    assert LIMIT == 10
    assert "ten a minute" in PAGE
    for name in ("api", "configuration", "dashboard", "hyperctl", "hypersdkd", "install", "metrics"):
        assert "(access.md)" in (DOCS / f"{name}.md").read_text(), name

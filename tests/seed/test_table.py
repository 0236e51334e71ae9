"""docs/seed.md names tests that there are, files that there are, and commands that the walk types."""

from __future__ import annotations

import ast
import re

import pytest
import yaml

from hypersdkd.web.endpoints import ENDPOINTS
from tests.seed.table import CONFIGURATION, PAGE, ROOT, ROWS

WALK = "tests/seed/test_walk.py::"


@pytest.mark.parametrize("node", sorted({test for row in ROWS for test in row.tests}))
def test_the_test_is_there(node: str) -> None:
    file, name = node.split("::")
    functions = [each for each in ast.parse((ROOT / file).read_text()).body if hasattr(each, "name")]
    assert name in [function.name for function in functions]


def test_every_row_is_held() -> None:
    assert [row.asked for row in ROWS if not row.tests] == []
    assert len(ROWS) > 70


def test_every_command_is_judged_by_a_test_of_the_walk() -> None:
    commands = [row for row in ROWS if row.command]
    assert len(commands) >= 20
    assert [row.asked for row in commands if not any(test.startswith(WALK) for test in row.tests)] == []


def test_every_file_that_is_named_is_there() -> None:
    files = re.findall(r"`((?:hypersdkd|tests|plugins|script)/[\w./]+)`", PAGE)
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_address_is_one_of_the_daemon() -> None:
    asked = set(re.findall(r"`(GET|POST) (/api/[\w/]+)`", PAGE))
    assert len(asked) >= 5
    assert asked <= {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


def test_every_line_of_the_configuration_has_its_row() -> None:
    settings = yaml.safe_load(CONFIGURATION)
    lines = [f"mode: {settings['mode']}"]
    lines += [f"workflow.{key}: {value}" for key, value in settings["workflow"].items()]
    assert [row.asked.strip("`") for row in ROWS if row.section == "Configuration"][: len(lines)] == lines

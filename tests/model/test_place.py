"""Lines and columns of paths, in both syntaxes and in broken text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.document import parse_document
from hypersdkd.model.manifest import read_manifest
from hypersdkd.model.place import duplicate_place, place, problem_place
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.wording import below

JSON = b"""\
{
\t"version": "1.0", "\\u00e9 [1].x": {"a": 1},
  "vms": [
    {"name": "{[\\"]}"},
    {"name": "b", "pipeline": {
      "load": {"source_path": 5}}}]
}
"""

YAML = """\
# é
version: "1.0"
"é [1].x": {a: 1}
vms:
  - name: a
  - name: b
    pipeline:
      load: {source_path: 5}
""".encode()


@pytest.mark.parametrize(
    ("path", "in_json", "in_yaml"),
    [
        ("", (1, 1), (2, 1)),
        ("version", (2, 2), (2, 1)),
        (below("", "é [1].x"), (2, 20), (3, 1)),
        (below(below("", "é [1].x"), "a"), (2, 37), (3, 13)),
        ("vms", (3, 3), (4, 1)),
        ("vms[0]", (4, 5), (5, 5)),
        ("vms[1]", (5, 5), (6, 5)),
        ("vms[1].name", (5, 6), (6, 5)),
        ("vms[1].pipeline.load.source_path", (6, 16), (8, 14)),
    ],
)
def test_the_place_of_a_key_or_item(path: str, in_json: tuple[int, int], in_yaml: tuple[int, int]) -> None:
    assert place(JSON, "json", path) == in_json
    assert place(YAML, "yaml", path) == in_yaml
    assert (place(JSON, "", path), place(YAML, "", path)) == (in_json, in_yaml)


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("pipeline", ""),
        ("vms[7].name", "vms"),
        ("vms[1].pipeline.load.source_type", "vms[1].pipeline.load"),
        ("vms[1].pipeline.convert.output_format", "vms[1].pipeline"),
        ("version.deeper", "version"),
    ],
)
def test_a_missing_key_has_its_parents_place(path: str, parent: str) -> None:
    assert place(JSON, "", path) == place(JSON, "", parent)
    assert place(YAML, "", path) == place(YAML, "", parent)


def test_an_alias_is_the_place_of_what_is_below_it() -> None:
    text = b"base: &b {load: {}}\nvms:\n- pipeline: *b\n"
    assert place(text, "yaml", "vms[0].pipeline.load.source_type") == (3, 3)


def test_broken_text_gives_the_nearest_place() -> None:
    assert place(b'{"a": {"b": [1, ', "", "a.b[1]") == (1, 8)
    assert place(b"a:\n  b: [1, }", "", "a.b") == (2, 3)
    assert place(b"", "", "a") == (1, 1)
    assert place(b"]]}}", "json", "a") == (1, 1)


def test_problems_of_syntax_have_the_place_of_the_break() -> None:
    for text in (b'{"a": 1,\n "a": 2}', b"{\n bad}", b"a: [\nb: }", b"\xef\xbb\xbf{}"):
        problem = read_manifest(text).problems[0]
        line, column = problem_place(text, "", problem)
        assert problem.detail == f"line {line}, column {column}"
    (problem,) = read_manifest(b'{"version": "1.0",\n"pipeline": 5}').problems
    assert problem_place(b'{"version": "1.0",\n"pipeline": 5}', "", problem) == (2, 1)


def test_a_foreign_detail_is_no_place() -> None:
    problem = Problem("manifest-value", "x", detail="line 9, column 9", path="a")
    assert problem_place(b'{"a": 1}', "", problem) == (1, 2)


def test_the_second_of_two_equal_keys() -> None:
    assert duplicate_place('{"a": {"b": "a"},\n "c": [{"b": 1}, {"\\u0062": 1, "b": 2}]}') == (2, 32)
    assert duplicate_place('{"a": 1, "b": 2}') == (1, 1)


KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TREES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=3), st.sampled_from([None, 2]), st.data())
def test_the_place_of_any_path_is_where_its_key_is_written(
    value: dict[str, object], indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent)
    path, node, last = "", value, "{"
    while isinstance(node, dict | list) and node:
        part = data.draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else len(node) - 1
        path, node = below(path, part), node[part]  # type: ignore[call-overload]
        last = json.dumps(part) if isinstance(part, str) else json.dumps(node)[0]
        if data.draw(st.booleans()):
            break
    line, column = place(text.encode(), "json", path)
    assert text.splitlines()[line - 1][column - 1 :].startswith(last)


@given(st.text(st.sampled_from('ab:-[]{}&*"\\, \n\t1'), max_size=60), st.text(max_size=10))
def test_any_text_and_path_have_a_place(text: str, path: str) -> None:
    lines = text.encode().decode("utf-8", "replace").split("\n")
    for syntax in ("json", "yaml"):
        line, column = place(text.encode(), syntax, path)
        assert 1 <= line <= len(lines) + 1
        assert column >= 1


@given(st.binary(max_size=80))
def test_any_problem_of_any_bytes_has_a_place(text: bytes) -> None:
    try:
        parse_document(text)
    except ProblemError as error:
        line, column = problem_place(text, "", error.problem)
        assert line >= 1
        assert column >= 1

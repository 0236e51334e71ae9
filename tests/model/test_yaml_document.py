"""YAML gives plain JSON values only, and its aliases cannot be used against the reader."""

import time
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model import yaml_document
from hypersdkd.model.problem import Problem, ProblemError
from hypersdkd.model.yaml_document import parse_yaml


def problem_of(text: str) -> Problem:
    with pytest.raises(ProblemError) as caught:
        parse_yaml(text)
    return caught.value.problem


def test_scalars_have_json_types() -> None:
    text = """
    plain: some text
    quoted: "1.0"
    none: ~
    yes_no: [yes, Off]
    whole: [0x1F, 1_000, -5]
    real: [1.5, 1e3, -0.5e+2]
    date: [2026-01-01, 2026-01-01T10:00:00Z]
    mac: 00:50:56:10:20:30
    tagged: [!!str 5, !!int "7", !!float 2]
    block: |
      two
      lines
    """
    assert parse_yaml(text) == {
        "plain": "some text",
        "quoted": "1.0",
        "none": None,
        "yes_no": [True, False],
        "whole": [31, 1000, -5],
        "real": [1.5, "1e3", -50.0],  # YAML 1.1 wants a dot
        "date": ["2026-01-01", "2026-01-01T10:00:00Z"],
        "mac": "00:50:56:10:20:30",
        "tagged": ["5", 7, 2.0],
        "block": "two\nlines\n",
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system [id]",
        "a: !!python/name:os.system",
        "a: !!binary aGVsbG8=",
        "a: !!set {x}",
        "a: !local x",
        "a: .nan",
        "a: -.inf",
        "a: 1.0e+999",
        'a: !!int ""',
        "a: !!int x",
        "a: !!bool maybe",
        "a: 0x" + "f" * 5000,
        "a: " + "9" * 5000,
        "a: *nowhere",
        "a: [b",
        "a: b: c",
        "a: 1\n--- {}",
        "a: 1\n...\nb: 2",
        "a\0b: 1",
        "%YAML 9.9\n--- {}",
    ],
)
def test_what_has_no_json_value_or_is_broken_is_refused(text: str) -> None:
    problem = problem_of(text)
    assert problem.code == "document-syntax"
    assert problem.message.isprintable()
    assert len(problem.message) < 200


@pytest.mark.parametrize("key", ["1", "true", "~", "1.5", "[a]", "{a: b}"])
def test_keys_are_text(key: str) -> None:
    assert problem_of(f"? {key}\n: x").code == "document-shape"


def test_a_duplicate_key_is_refused_at_its_place() -> None:
    problem = problem_of("a:\n  x: 1\n  y: 2\n  x: 3\n")
    assert (problem.code, problem.detail) == ("document-duplicate-key", "line 4, column 3")


def test_aliases_and_merge_keys_are_resolved() -> None:
    text = """
    base: &base {format: qcow2, compress: true}
    more: &more {level: 3, compress: false}
    one: {<<: *base, compress: false}
    two:
      <<: [*base, *more]
      name: two
    three: *base
    literal: {"<<": x}
    """
    base = {"format": "qcow2", "compress": True}
    assert parse_yaml(text) == {
        "base": base,
        "more": {"level": 3, "compress": False},
        "one": {"format": "qcow2", "compress": False},
        "two": {"name": "two", "format": "qcow2", "compress": True, "level": 3},
        "three": base,
        "literal": {"<<": "x"},
    }


def test_a_merge_key_takes_objects_only() -> None:
    assert problem_of("a: {<<: 5}").code == "document-syntax"
    assert problem_of("a: {<<: [{b: 1}, 5]}").code == "document-syntax"


@pytest.mark.parametrize("text", ["a: &x {b: *x}", "a: &x [*x]", "&x a: *x\nb: &x [[*x]]"])
def test_an_alias_inside_its_own_anchor(text: str) -> None:
    assert problem_of(text).code == "document-aliases"


def bomb(levels: int, width: int) -> str:
    lines = ["a0: &a0 [" + "x, " * width + "x]"]
    lines += [f"a{n}: &a{n} [" + f"*a{n - 1}, " * width + f"*a{n - 1}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        bomb(9, 9),
        bomb(25, 1),
        "a: &a " + "x" * 1_000_000 + "\nb: [" + "*a, " * 20 + "]",
        "a: &a [" + "x, " * 1000 + "]\nb: [" + "*a, " * 2000 + "]",
        "a: &a {k: " + "x" * 1_000_000 + "}\nb: [" + "{<<: *a}, " * 20 + "]",
    ],
)
def test_an_alias_bomb_fails_at_once_and_takes_no_memory(text: str) -> None:
    tracemalloc.start()
    try:
        assert problem_of(text).code == "document-aliases"
        assert tracemalloc.get_traced_memory()[1] < 20 * len(text) + 5_000_000
    finally:
        tracemalloc.stop()


def test_depth_counts_through_aliases() -> None:
    assert problem_of("- " * 33).code == "document-too-deep"
    assert parse_yaml("- " * 32) is not None
    chain = "k0: &k0 [x]\n" + "".join(f"k{n}: &k{n} [*k{n - 1}]\n" for n in range(1, 31))
    assert parse_yaml(chain) is not None
    assert problem_of(chain + "k31: &k31 [*k30]").code == "document-too-deep"


def test_values_are_counted_while_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_document, "MAX_VALUES", 50)
    assert parse_yaml("[" + "0," * 48 + "0]") == [0] * 49
    # What comes after the limit is never looked at: it would be a syntax error.
    assert problem_of("[" + "0," * 50 + "0}").code == "document-too-large"


@pytest.mark.parametrize("before", ["", "a: 1\n", "a: 1\r", "a: 1\x85", "a: 1\u2028", "--- |\n text\n"])
@pytest.mark.parametrize("directive", ["%YAML 1.1\n---\n", "%TAG ! x\n---\n", "%x", "\ufeff%TAG ! x\n--- a"])
def test_directives_are_refused(before: str, directive: str) -> None:
    problem = problem_of(before + directive)
    assert (problem.code, "begins with %" in problem.message) == ("document-syntax", True)
    assert problem.detail == f"line {len(before.splitlines()) + 1}, column 1"


def test_a_percent_sign_within_a_line_is_text() -> None:
    assert parse_yaml("a: 5%\nb: |\n  %TAG\n") == {"a": "5%", "b": "%TAG\n"}


def test_many_directives_cost_nothing() -> None:
    text = "".join(f"%TAG !{number:x}! x\n" for number in range(100_000)) + "---\na: 1\n"
    started = time.process_time()
    assert problem_of(text).code == "document-syntax"
    assert time.process_time() - started < 1  # for libyaml: minutes


def test_what_would_take_long_to_read_is_not_begun() -> None:
    room = yaml_document.MAX_YAML_BYTES - len('a: ""')
    assert parse_yaml('a: "' + "x" * room + '"') is not None
    assert problem_of('a: "' + "x" * (room + 1) + '"').code == "document-too-large"
    problem = problem_of('a: "' + "é" * (room // 2 + 1) + '"')
    assert (problem.code, "JSON" in problem.remedy) == ("document-too-large", True)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), PLAIN, min_size=1, max_size=4))
def test_what_the_safe_writer_writes_is_read_back(value: dict[str, object]) -> None:
    assert parse_yaml(yaml.safe_dump(value)) == value


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"%@#?,<~ \n\t0.1é"), max_size=60))
def test_any_text_gives_a_value_or_a_document_problem(text: str) -> None:
    try:
        parse_yaml(text)
    except ProblemError as error:
        assert error.problem.code.startswith("document-")

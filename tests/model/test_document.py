"""Documents: every hostile or broken text ends as a problem with a stable code, at its place, and fast."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model import document
from hypersdkd.model.document import MAX_BYTES, JsonEnd, json_end, parse_document
from hypersdkd.model.problem import Problem, ProblemError


def problem_of(text: bytes, syntax: str = "") -> Problem:
    with pytest.raises(ProblemError) as caught:
        parse_document(text, syntax)
    return caught.value.problem


@pytest.mark.parametrize(
    ("text", "syntax", "found"),
    [
        (b' {"a": [1, 1.5, true, null, "x"]}\n', "", "json"),
        (b"a: [1, 1.5, true, null, x]", "", "yaml"),
        (b'{"a": [1, 1.5, true, null, "x"]}', "yaml", "yaml"),
    ],
)
def test_both_syntaxes_give_the_same_values(text: bytes, syntax: str, found: str) -> None:
    document = parse_document(text, syntax)
    assert document.syntax == found
    assert document.value == {"a": [1, 1.5, True, None, "x"]}


def test_json_null_is_an_empty_object_and_yaml_null_is_nothing() -> None:
    assert parse_document(b" null\n").value == {}
    assert problem_of(b"null", "yaml").code == "document-syntax"


@pytest.mark.parametrize("text", [b"", b" \r\n\t", b"# only a comment\n", b"---\n"])
def test_an_empty_document_is_refused(text: bytes) -> None:
    assert problem_of(text).message == "The document is empty"


@pytest.mark.parametrize("text", [b"[]", b'"x"', b"5", b"true", b"- a", b"plain"])
def test_anything_but_an_object_is_refused(text: bytes) -> None:
    assert problem_of(text).code == "document-shape"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b"{bad json}", "line 1, column 2"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 1,\n}', "line 2, column 1"),
        (b'{"a": 1} x', "line 1, column 10"),
        (b'{"a": 1}{"a": 1}', "line 1, column 9"),
        (b'{"a": "\n"}', "line 1, column 8"),
        (b'{"a": "\x00"}', "line 1, column 8"),
        (b"\xef\xbb\xbf{}", "line 1, column 1"),
    ],
)
def test_broken_json_is_reported_as_json_with_its_place(text: bytes, where: str) -> None:
    problem = problem_of(text)
    assert (problem.code, problem.detail) == ("document-syntax", where)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000])
def test_numbers_that_json_cannot_hold_are_refused(number: bytes) -> None:
    problem = problem_of(b'{"a": %b}' % number)
    assert problem.code == "document-syntax"
    assert problem.message.startswith("A number cannot be read")
    assert len(problem.message) < 100


def test_the_size_limit() -> None:
    head, tail = b'{"a":"', b'"}'
    room = MAX_BYTES - len(head) - len(tail)
    assert len(parse_document(head + b"x" * room + tail).value["a"]) == room  # type: ignore[arg-type]
    assert problem_of(head + b"x" * (room + 1) + tail).code == "document-too-large"
    assert problem_of(b"[" + b"0," * (25 * 1024 * 1024)).code == "document-too-large"


def test_the_number_of_values_is_limited() -> None:
    assert problem_of(b'{"a":[' + b"[]," * 1_000_001 + b"0]}").code == "document-too-large"


def test_the_depth_limit_in_json() -> None:
    assert parse_document(b'{"a":' * 31 + b"{}" + b"}" * 31).value
    for depth in (32, 500, 100_000):
        assert problem_of(b'{"a":' * depth + b"{}" + b"}" * depth).code == "document-too-deep"
    assert problem_of(b"[" * 900_000).code == "document-too-deep"


def test_a_duplicate_key_is_refused_at_its_place() -> None:
    problem = problem_of(b'{"a": {"x": 1,\n  "y\\u0007": 2, "y\\u0007": 3}, "x": 4}')
    assert (problem.code, problem.detail) == ("document-duplicate-key", "line 2, column 17")
    assert problem.message.isprintable()


def test_bytes_that_are_not_utf8_are_replaced_with_a_warning() -> None:
    document = parse_document(b'{"a": 1,\n "\xc3\xa9\xff": 2}')
    assert document.value == {"a": 1, "é\ufffd": 2}
    (warning,) = document.warnings
    assert (warning.code, warning.detail) == ("manifest-encoding", "line 2, column 4")


def test_half_surrogates_become_what_utf8_can_hold() -> None:
    document = parse_document(b'{"a\\ud800": ["\\uDfff", "\\ud83d\\ude00"]}')
    assert document.value == {"a\ufffd": ["\ufffd", "\U0001f600"]}
    assert problem_of(b'{"\\ud800": 1, "\\ud801": 2}').code == "document-duplicate-key"


def test_utf16_is_refused() -> None:
    for encoding in ("utf-16", "utf-16-le"):
        assert problem_of('{"a": 1}'.encode(encoding)).code == "document-syntax"


WHOLE = '{"a": [1.5e3, true, null, "\\u00e9\\n", {}], "b": -2}'


def test_json_that_ends_too_early_is_told_from_broken_json() -> None:
    for end in range(len(WHOLE)):
        assert json_end(WHOLE[:end].encode()) is JsonEnd.CUT, WHOLE[:end]
    assert json_end('{"name": "é"}'.encode()[:-3]) is JsonEnd.CUT


@pytest.mark.parametrize(
    "text",
    [b'{"a":1} x', b'{"a":1} 5', b"{bad", b'{"a":1,}', b'{"a":1}{', b"[truX", b"[" * 5000, b"nope", b"[1]", b"null"],
)
def test_broken_json_is_not_merely_cut(text: bytes) -> None:
    assert json_end(text) is JsonEnd.OTHER


def test_a_whole_object_is_told_from_its_parts() -> None:
    assert json_end(WHOLE.encode()) is JsonEnd.OBJECT
    assert json_end(WHOLE.encode() + b" \n") is JsonEnd.OBJECT


def test_what_is_too_large_anyway_is_not_truncated() -> None:
    assert json_end(b'{"a": "' + b"x" * MAX_BYTES) is JsonEnd.OTHER


def test_what_holds_too_much_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_VALUES", 10)
    monkeypatch.setattr(document.json, "loads", None)
    assert json_end(b"[" + b"1," * 10) is JsonEnd.OTHER


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON_VALUES, max_size=4))
def test_any_json_object_is_read_as_json_reads_it(value: dict[str, object]) -> None:
    text = json.dumps(value)
    expected = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    assert parse_document(text.encode(), "json").value == expected


@given(st.binary(max_size=200), st.sampled_from(["", "json", "yaml"]))
def test_any_bytes_give_an_object_or_a_document_problem(text: bytes, syntax: str) -> None:
    json_end(text)
    try:
        value = parse_document(text, syntax).value
    except ProblemError as error:
        assert error.problem.code.startswith("document-")
        assert error.problem.message.isprintable()
    else:
        json.dumps(value, allow_nan=False).encode()

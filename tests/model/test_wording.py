"""Foreign texts in messages stay on one line, short and harmless; paths can be taken apart again."""

from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.model.wording import below, kind, path_parts, shown


@given(st.text())
def test_shown_text_is_printable_and_short(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 12 * 60 + 2


def test_shown_text_is_recognisable() -> None:
    assert shown('Zoë "x"') == '"Zoë \\"x\\""'
    assert shown("a\nb\x1b[31m\x9b") == '"a\\nb\\u001b[31m\\u009b"'
    assert shown("x" * 100) == '"' + "x" * 59 + '…"'


def test_kinds_are_told_in_words() -> None:
    values = (None, True, False, 0, 1.5, "", [], {}, object())
    assert [kind(value) for value in values] == [
        "null", "true", "false", "a number", "a number", "text", "a list", "an object", "something else"
    ]  # fmt: skip


@given(st.lists(st.integers(0, 10**6) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5))
def test_a_path_is_taken_apart_as_it_was_made(parts: list[int | str]) -> None:
    path = ""
    for part in parts:
        path = below(path, part)
    assert path_parts(path) == tuple(parts)
    assert path.isprintable()

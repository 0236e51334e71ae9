"""An OVF's text is read within limits, and told from one that is still being written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypersdkd.host.ovf_xml import MAX_BYTES, is_cut, parsed, within
from hypersdkd.model.problem import ProblemError
from tests import appliances
from tests.problems import raises_problem

TEXT = appliances.ovf([{"file": "disk1.vmdk"}], name="w\u00e9b", extra="<Info><![CDATA[a]]><!-- b --></Info>")


def test_every_beginning_of_a_text_is_cut_and_no_end() -> None:
    for text in (TEXT, TEXT.replace(b'"UTF-8"', b'"UTF-16"').decode().encode("utf-16")):
        step = len(text) // 200
        assert all(is_cut(text[:size]) for size in (*range(1, 400), *range(400, len(text) - 2, step), len(text) - 2))
        assert not is_cut(text)
        assert not is_cut(text + "\n".encode("utf-16-le" if text is not TEXT else "ascii"))


def test_an_end_that_was_only_set_aside_is_cut() -> None:
    assert is_cut(TEXT[:-100] + bytes(100)) and is_cut(bytes(100))


@pytest.mark.parametrize(
    "text",
    [
        b"words",
        b"<a><b>",
        b"<Envelope></Envelope><more",
        b"<Envelope>&x;",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><Envelope>",
        b"<Envelope>" * 100,
        b"<Envelope a='1' a='2'>",
        b"<?xml version='1.0' encoding='nonsense'?><Envelope>",
        b"<Envelope>" + b" " * MAX_BYTES,
    ],
)
def test_what_more_text_cannot_mend_is_not_cut(text: bytes) -> None:
    assert not is_cut(text)
    with raises_problem("image-limits" if len(text) > 900 else "image-invalid"):
        parsed(text, "a.ovf")


def test_the_reading_ends_where_a_limit_is() -> None:
    """Not at the end of a text whose tree would take a gigabyte."""
    with raises_problem("image-limits", "20000 elements"):
        parsed(b"<Envelope>" + b"<a/>" * 20_001 + b"<not-closed>", "a.ovf")
    with raises_problem("image-limits", "64 within"):
        parsed(b"<Envelope>" * 65, "a.ovf")
    assert len(list(within(parsed(TEXT, "a.ovf"), "References", "File"))) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100), st.sampled_from([b"", b"<Envelope>", b"<?xml", b"<Envelope a='"]))
def test_anything(text: bytes, before: bytes) -> None:
    is_cut(before + text)
    with pytest.raises(ProblemError):
        parsed(before + text + b"<", "a.ovf")

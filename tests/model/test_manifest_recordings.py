"""Every recorded answer of the Go API's validate is given here too, but for the departures on purpose."""

import pytest

from hypersdkd.model.manifest import read_manifest, submit_phrase
from hypersdkd.model.problem import CODES
from tests.golden.departures import DEPARTURES
from tests.golden.exchanges import Exchange, posts_to

VALIDATE = [exchange for exchange in posts_to("/api/workflow/manifest/validate") if not exchange.bug]


def answer(exchange: Exchange) -> tuple[int, object]:
    """Status and body as the Go API would write them for our judgement."""
    validation = read_manifest(exchange.body)
    if not validation.parsed:
        first = validation.problems[0]
        return CODES[first.code].http, submit_phrase(first)
    messages = [problem.message for problem in validation.problems]
    return 200, {"valid": validation.valid, "errors": messages}


def recorded(exchange: Exchange) -> tuple[int, object]:
    """What was recorded, where ``errors`` is a list even if there are none (null was a bug)."""
    if isinstance(exchange.answer, dict):
        return exchange.status, {**exchange.answer, "errors": exchange.answer["errors"] or []}
    return exchange.status, exchange.answer


def agrees(exchange: Exchange) -> bool:
    """The text after the prefix ``Invalid JSON:`` is the parser's own and no promise."""
    status, body = answer(exchange)
    expected_status, expected = recorded(exchange)
    if isinstance(expected, str) and expected.startswith("Invalid JSON: "):
        return status == expected_status and str(body).startswith("Invalid JSON: ")
    return (status, body) == (expected_status, expected)


def test_there_are_recordings() -> None:
    assert len(VALIDATE) > 80


@pytest.mark.parametrize("exchange", VALIDATE, ids=lambda exchange: exchange.name)
def test_validate_answers_as_recorded(exchange: Exchange) -> None:
    if exchange.name in DEPARTURES:
        assert not agrees(exchange), f"no departure any more: {DEPARTURES[exchange.name]}"
    else:
        assert agrees(exchange), (answer(exchange), recorded(exchange))

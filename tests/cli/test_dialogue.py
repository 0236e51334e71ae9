"""What an answer means, however it was typed."""

from __future__ import annotations

import pytest

from hypersdkd.cli.dialogue import GO_BACK, GoBackError, chosen, confirmed, given, yes_or_no

OPTIONS = ("qcow2", "raw", GO_BACK)


@pytest.mark.parametrize(
    ("answer", "option"),
    [
        ("", "raw"),
        (" ", "raw"),
        ("1", "qcow2"),
        (" 2\t", "raw"),
        ("QCOW2", "qcow2"),
        ("0", None),
        ("4", None),
        ("01", None),
        ("-1", None),
        ("²", None),
        ("raw disk", None),
    ],
)
def test_choices(answer: str, option: str | None) -> None:
    assert chosen(answer, OPTIONS, "raw") == option


@pytest.mark.parametrize("answer", ["3", "back", "BACK ", "go back", "Go Back"])
def test_choices_that_go_back(answer: str) -> None:
    with pytest.raises(GoBackError):
        chosen(answer, OPTIONS, "raw")


@pytest.mark.parametrize("default", [True, False])
def test_yes_and_no(default: bool) -> None:
    for answer in ("y", "Y", " yes ", "YES"):
        assert confirmed(answer, default) is True
    for answer in ("n", "No"):
        assert confirmed(answer, default) is False
    for answer in ("ye", "1", "true", "nope"):
        assert confirmed(answer, default) is None
    assert confirmed(" ", default) is default
    with pytest.raises(GoBackError):
        confirmed("Back", default)
    assert yes_or_no(default)[0 if default else 2].isupper()


def test_texts() -> None:
    assert given("  /srv/a b.vmdk ", "x") == "/srv/a b.vmdk"
    assert given(" ", "x") == "x"
    assert given("back.vmdk", "x") == "back.vmdk"
    with pytest.raises(GoBackError):
        given("BACK", "x")

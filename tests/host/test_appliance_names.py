"""Names in descriptors and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.host.appliance_names import file_meant, spellings


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("disk.vmdk", ("disk.vmdk",)),
        ("./disk.vmdk", ("disk.vmdk",)),
        ("././a/./b", ("a/b",)),
        ("my%20disk.vmdk", ("my disk.vmdk", "my%20disk.vmdk")),
        ("100%.vmdk", ("100%.vmdk",)),
        ("%e4.vmdk", ("\udce4.vmdk", "%e4.vmdk")),
        ("../disk.vmdk", ("../disk.vmdk",)),
        ("/etc/passwd", ("/etc/passwd",)),
        ("%2e%2e/a", ("../a", "%2e%2e/a")),
        ("", ("",)),
    ],
)
def test_spellings(reference: str, expected: tuple[str, ...]) -> None:
    assert spellings(reference) == expected


def test_the_file_that_is_meant() -> None:
    assert file_meant("./a%20b", {"a b", "a%20b"}) == "a b"
    assert file_meant("a%20b", {"in/a%20b", "a%20b"}, "in") == "in/a%20b"
    assert file_meant("../a", {"a", "in/a"}, "in") is None
    assert file_meant("in/a", {"in/a"}, "in") is None


@given(st.text(max_size=30))
def test_any_text(reference: str) -> None:
    first, *others = spellings(reference)
    assert "./" not in f"/{first}".replace("../", "") and len(others) <= 1

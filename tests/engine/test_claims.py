"""Claims are durable records; one that cannot be read is never taken for one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypersdkd.engine.claims import Claim, ClaimState, ClaimStore

surrogates = st.text(st.characters(categories=["L", "Cc", "Cs"]))
claims = st.builds(
    Claim,
    id=surrogates,
    state=st.sampled_from(ClaimState),
    file=surrogates,
    original_name=surrogates,
    claimed_at=st.text(),
    runs=st.integers(1, 9),
    outcome=st.text(),
    date=st.text(),
    target=surrogates,
)


@pytest.fixture
def store(tmp_path: Path) -> ClaimStore:
    return ClaimStore(tmp_path)


def claim(job: str) -> Claim:
    return Claim(job, ClaimState.CLAIMING, job, job, "2026-01-01T00:00:00.000Z")


@given(claims)
def test_a_claim_is_read_back(made: Claim) -> None:
    assert Claim.from_json(made.to_json()) == made
    assert made.to_json().isascii()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"id": "a"}', b'{"id": "a", "state": "x"}', b"\xff"])
def test_what_is_no_claim_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        Claim.from_json(content)


def test_unknown_keys_are_for_a_later_version() -> None:
    content = claim("a").to_json().replace(b"{", b'{"new": 1,', 1)
    assert Claim.from_json(content) == claim("a")


def test_an_id_is_taken_once(store: ClaimStore) -> None:
    assert not store.exists("a.json")
    store.create(claim("a.json"))
    assert store.exists("a.json")
    with pytest.raises(FileExistsError):
        store.create(claim("a.json"))
    advanced = store.advance(claim("a.json"), ClaimState.ACTIVE, file="other")
    assert store.read("a.json") == advanced
    store.remove("a.json")
    assert store.read("a.json") is None
    assert store.read("x" * 300) is None


def test_all_gives_every_claim_and_clears_what_never_became_one(store: ClaimStore, tmp_path: Path) -> None:
    store.create(claim("a"))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / ".draft-1-2").touch()
    assert [found.id for found in store.all()] == ["a"]
    assert not (tmp_path / "begun").exists()


def test_what_cannot_be_read_is_left_alone(store: ClaimStore, tmp_path: Path) -> None:
    for name in ("torn", "unreadable", "held"):
        (tmp_path / name).mkdir()
    (tmp_path / "torn" / "claim.json").write_text("{")
    (tmp_path / "unreadable" / "claim.json").mkdir()
    (tmp_path / "held" / "job").touch()
    (tmp_path / "stray").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    assert list(store.all()) == []
    assert len(list(tmp_path.iterdir())) == 5


def test_a_wish_to_cancel_is_kept_until_it_is_forgotten(store: ClaimStore) -> None:
    store.create(claim("a"))
    assert not store.cancel_asked("a")
    store.ask_cancel("a")
    assert store.cancel_asked("a")
    store.forget_cancel("a")
    store.forget_cancel("a")
    assert not store.cancel_asked("a")


def test_guests_come_in_their_order(store: ClaimStore) -> None:
    store.create(claim("a"))
    for name in ("00010", "00002", "work"):
        (store.directory("a") / name).mkdir()
    assert [path.name for path in store.guest_directories("a")] == ["00002", "00010"]
    assert store.guest_directories("none") == []

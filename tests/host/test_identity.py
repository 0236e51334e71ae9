"""Being another user for a moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypersdkd.host import identity
from hypersdkd.host.identity import acting_as, name_of, service_user
from tests.privileges import NOBODY, unprivileged

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another")


@pytest.fixture
def entered() -> Iterator[Path]:
    """A directory that another user may enter, with a file that only its owner can read."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "secret").write_text("x")
        (directory / "secret").chmod(0o600)
        yield directory


@as_root
def test_the_rights_are_the_others(entered: Path) -> None:
    before = os.geteuid(), os.getegid(), os.getgroups()
    with acting_as(NOBODY), pytest.raises(PermissionError):
        (entered / "secret").read_text()
    with acting_as(54321):  # a number without a name
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (54321, 54321, [54321])
    assert (os.geteuid(), os.getegid(), os.getgroups()) == before


def test_one_is_oneself_already() -> None:
    with acting_as(os.geteuid()):
        assert name_of(os.geteuid())
    assert name_of(54321) == "54321"


@as_root
def test_whose_rights_count(entered: Path) -> None:
    ours, theirs = entered / "secret", entered / "theirs"
    theirs.write_text("x")
    os.chown(theirs, NOBODY, -1)
    assert service_user([], ours) == service_user([ours, entered / "none"], ours) == os.geteuid()
    assert service_user([ours, theirs], ours) == service_user([ours], theirs) == NOBODY
    with unprivileged():
        assert service_user([theirs, ours], ours) == NOBODY


@as_root
def test_where_nothing_is_there_yet_the_units_user_counts(entered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "SERVICE_USER", "nobody")
    assert service_user([], entered / "none") == NOBODY
    monkeypatch.setattr(identity, "SERVICE_USER", "no-such-user")
    assert service_user([], entered / "none") == os.geteuid()

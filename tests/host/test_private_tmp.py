"""An empty /tmp for one process, with what it needs of the real one still there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hypersdkd.host import private_tmp
from hypersdkd.host.private_tmp import hide_tmp
from tests.host.apart import apart

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="that takes root")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    if not tmp_path.is_relative_to("/tmp"):
        pytest.skip("the tests' files are not below /tmp")
    for name in ("read", "read/write", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("content")
    (tmp_path / "single").write_text("content")
    return tmp_path


def holds(condition: Callable[[], bool]) -> Callable[[], None]:
    def check() -> None:
        if not condition():
            raise AssertionError

    return check


def test_what_is_kept(place: Path) -> None:
    own = place / "read" / "write"
    found = apart(
        holds(lambda: hide_tmp((str(place / "read"), str(place / "single"), str(place / "absent")), (str(own),))),
        hidden=holds(lambda: not (place / "other").exists() and os.listdir("/tmp") == [place.parts[2]]),
        read=holds(lambda: (place / "read/file").read_text() == (place / "single").read_text() == "content"),
        read_only=lambda: (place / "read/new").write_text(""),
        single_only=lambda: (place / "single").write_text(""),
        write=lambda: (own / "new").write_text("new"),
        rest=lambda: (place / "rest").write_text("gone when the process is"),
    )
    assert found.pop("read_only") == found.pop("single_only") == "OSError"
    assert set(found.values()) == {"ok"}
    assert sorted(os.listdir(place)) == ["other", "read", "single"], "nobody else sees any of it"
    assert (own / "new").read_text() == "new"


def test_not_where_tmp_itself_is_needed_or_it_is_not_allowed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not hide_tmp(("/tmp",), ())
    dropped = apart(lambda: os.seteuid(65534), refused=holds(lambda: not hide_tmp((), ())))
    assert dropped == {"refused": "ok"}


def test_no_descriptor_stays_open_when_it_goes_wrong(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_tmp, "_stand_in", broken)
    before = len(os.listdir("/proc/self/fd"))

    def same_descriptors() -> None:
        with pytest.raises(OSError, match="No space"):
            hide_tmp((str(place / "read"),), ())
        assert len(os.listdir("/proc/self/fd")) == before + 1, "the pipe of the answers"

    assert apart(lambda: None, wrong=same_descriptors) == {"wrong": "ok"}

"""What authors of fixers read and edit texts with."""

from __future__ import annotations

import pytest

from hypersdkd.model.problem import fail
from hypersdkd.spec.fixing import attempt, edit, files_in, present, text_of
from tests.plugins.paper_system import Device, Link, PaperContext, PaperSystem
from tests.problems import raises_problem


def context() -> PaperContext:
    files = {
        "/etc/a": b"caf\xe9\n",
        "/etc/d/b.conf": "b",
        "/etc/d/a.conf": "a",
        "/etc/d/off.conf": Link("/dev/null"),
        "/etc/d/.hidden.conf": "",
        "/etc/d/a.txt": "",
        "/dev/null": Device(),
    }
    return PaperContext(PaperSystem(files))


def test_texts_keep_each_byte() -> None:
    paper = context()
    edit(paper, "/etc/a", lambda text: text + "more\n")
    assert paper.system.files["/etc/a"] == b"caf\xe9\nmore\n"
    edit(paper, "/etc/a", str)
    edit(paper, "/etc/none", lambda text: "x")
    assert len(paper.system.changes) == 1
    assert text_of(paper, "/etc/none") is None


def test_what_is_unusual_is_told_and_left() -> None:
    paper = context()
    assert text_of(paper, "/etc/d/off.conf") is None
    edit(paper, "/etc/d/off.conf", lambda text: "x")
    assert [warning.code for warning in paper.warnings] == ["guest-file-unusual"] * 2
    assert paper.system.changes == ()


def test_any_other_problem_is_not_caught() -> None:
    def full() -> None:
        raise fail("guest-no-space", "full")

    with raises_problem("guest-no-space"):
        attempt(context(), full)


def test_paths_that_are_there() -> None:
    paths = ["/etc/a", "/etc/b", "/none/x", "/etc/d/off.conf", "/etc/d"]
    assert list(present(context(), paths)) == ["/etc/a", "/etc/d/off.conf", "/etc/d"]


@pytest.mark.parametrize(("suffix", "names"), [(".conf", ["a.conf", "b.conf"]), ("", ["a.conf", "a.txt", "b.conf"])])
def test_files_that_are_switched_off_are_left_out(suffix: str, names: list[str]) -> None:
    assert list(files_in(context(), "/etc/d", suffix)) == [f"/etc/d/{name}" for name in names]

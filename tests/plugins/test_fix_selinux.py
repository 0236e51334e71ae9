"""Labels of new files."""

from __future__ import annotations

import pytest
from hypersdkd_plugins.fix_selinux import fix_selinux, hypersdkd_fixers

from hypersdkd.model.guest_facts import GuestFacts
from hypersdkd.model.problem import fail
from tests.plugins.paper_system import PaperContext, PaperSystem, Program

FILES = {
    "/etc/selinux/config": "# SELINUXTYPE=mls\nSELINUXTYPE=targeted\n",
    "/usr/sbin/setfiles": b"",
    "/etc/hosts": b"",
}
RULES = "/etc/selinux/targeted/contexts/files/file_contexts"


def run(program: Program) -> PaperSystem:
    system = PaperSystem(FILES, programs={"/usr/sbin/setfiles": program})
    system.write("/etc/systemd/network/a.link", b"new")
    system.write("/etc/new.conf", b"new")
    system.write("/etc/hosts", b"changed: it has its label")
    fix_selinux(PaperContext(system))
    return system


def test_new_files_are_labelled_and_the_directory_that_was_made_for_one() -> None:
    system = run(lambda _files, _argv: "")
    expected = (
        "/usr/sbin/setfiles",
        "-F",
        RULES,
        "/etc/systemd/network",
        "/etc/systemd/network/a.link",
        "/etc/new.conf",
    )
    assert system.ran == [expected]
    assert "/.autorelabel" not in system.files


def test_else_the_guest_labels_all_when_it_starts() -> None:
    def broken(_files: object, _argv: object) -> str:
        raise fail("guest-command-failed", "no policy")

    assert run(broken).text("/.autorelabel") == "-F\n"


def test_where_nothing_is_new_there_is_nothing_to_do() -> None:
    system = PaperSystem(FILES)
    fix_selinux(PaperContext(system))
    assert (system.changes, system.ran) == ((), [])


@pytest.mark.parametrize(
    ("mode", "applies"), [("enforcing", True), ("permissive", True), ("disabled", False), ("", False)]
)
def test_only_where_labels_count(mode: str, applies: bool) -> None:
    [fixer] = hypersdkd_fixers()
    assert fixer.applies(GuestFacts(os_type="linux", selinux=mode)) is applies

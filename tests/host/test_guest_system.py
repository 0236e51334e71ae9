"""The rules for a guest's files: links, sizes, kinds, and that every change is on record and none is made twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hypersdkd.model.file_change import FileChange
from hypersdkd.model.guest_facts import GuestFacts
from tests.plugins.paper_system import Device, Entry, Link, PaperSystem
from tests.problems import raises_problem


@pytest.mark.parametrize(
    ("path", "target", "real"),
    [
        ("/etc/os-release", "../usr/lib/os-release", "/usr/lib/os-release"),
        ("/etc/grub2.cfg", "../boot/grub2/grub.cfg", "/boot/grub2/grub.cfg"),
        ("/etc/sysconfig/grub", "/etc/default/grub", "/etc/default/grub"),
        ("/boot/grub2/grubenv", "../efi/EFI/fedora/grubenv", "/boot/efi/EFI/fedora/grubenv"),
        ("/vmlinuz", "boot/vmlinuz-6.1", "/boot/vmlinuz-6.1"),
        ("/etc/fstab", "/persist/etc/fstab", "/persist/etc/fstab"),
    ],
)
def test_links_as_distributions_have_them(path: str, target: str, real: str) -> None:
    system = PaperSystem({path: Link(target), real: "old"})
    assert system.read(path) == b"old"
    assert (system.kind(path), system.target(path)) == ("link", target)
    system.write(path, b"new")
    assert system.files == {path: Link(target), real: b"new"}
    assert [change.path for change in system.changes] == [path]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"/etc/fstab": Link("shadow"), "/etc/shadow": b"root:secret"}, "leads|link to /etc/shadow"),
        ({"/etc/fstab": Link("/root/.ssh/id"), "/root/.ssh/id": b"key"}, "link to /root/.ssh/id"),
        ({"/etc/fstab": Link("/etc/x"), "/etc/x": Link("fstab")}, "too many levels"),
        ({"/etc/fstab": Device()}, "is a device or the like, not a file"),
        ({"/etc/fstab/x": b""}, "is a directory, not a file"),
        ({"/etc/fstab": bytes((1 << 20) + 1)}, "1048577 bytes"),
    ],
    ids=["shadow", "key", "loop", "device", "directory", "huge"],
)
def test_what_is_unusual_is_refused_and_left(files: dict[str, Entry | str], words: str) -> None:
    system = PaperSystem(files)
    with raises_problem("guest-file-unusual") as caught:
        system.read("/etc/fstab")
    assert any(word in caught[0].message for word in words.split("|"))
    assert "secret" not in caught[0].message
    if "1048577" not in words:
        with raises_problem("guest-file-unusual"):
            system.write("/etc/fstab", b"new")
    assert system.files == files
    assert system.changes == ()


@pytest.mark.parametrize("path", ["etc/fstab", "/etc/../root/x", "/a\0b", ""])
def test_a_path_names_one_thing(path: str) -> None:
    system = PaperSystem({"/etc/fstab": "x"})
    for call in (system.read, system.kind, system.names, system.remove):
        with raises_problem("guest-file-unusual"):
            call(path)


def test_what_is_not_there() -> None:
    system = PaperSystem({"/etc/dead": Link("nothing")})
    assert system.read("/etc/fstab") is None
    assert system.read("/etc/dead") is None
    assert system.names("/nowhere") == ()
    assert (system.kind("/nowhere"), system.target("/nowhere")) == ("", None)
    system.remove("/nowhere")
    assert system.changes == ()
    with raises_problem("guest-file-unusual"):
        system.append("/nowhere", b"x")
    with raises_problem("guest-file-unusual"):
        system.write("/etc/dead", b"x")  # it would be made where the link leads


def test_names_follow_a_link() -> None:
    system = PaperSystem({"/lib": Link("usr/lib"), "/usr/lib/b": "", "/usr/lib/a/x": ""})
    assert system.names("/lib") == ["a", "b"]
    assert system.read("/lib/b") == b""
    assert system.names("/usr/lib/b") == ()


def changed(change: Callable[[PaperSystem], None]) -> list[FileChange]:
    """What a change records; and the same again records nothing."""
    told: list[FileChange] = []
    system = PaperSystem({"/a": "one\n", "/l": Link("a"), "/d/x": ""}, GuestFacts())
    system._tell = told.append
    change(system)
    change(system)
    assert told == list(system.changes)
    return told


def test_each_change_is_recorded_once() -> None:
    assert changed(lambda system: system.write("/a", b"one\n")) == []
    assert changed(lambda system: system.write("/a", b"two\n")) == [FileChange("/a", "written", "one", "two")]
    assert changed(lambda system: system.write("/n/new", b"x", 0o600)) == [FileChange("/n/new", "written", None, "x")]
    assert changed(lambda system: system.remove("/a")) == [FileChange("/a", "removed", "one\n", None)]
    assert changed(lambda system: system.remove("/l")) == [FileChange("/l", "removed", "link to a", None)]
    assert changed(lambda system: system.link("/l", "b")) == [FileChange("/l", "linked", "link to a", "link to b")]
    assert changed(lambda system: system.link("/e/m", "b")) == [FileChange("/e/m", "linked", None, "link to b")]


def test_what_is_added_is_told_by_its_size() -> None:
    system = PaperSystem({"/boot/initrd": b"12"})
    system.append("/boot/initrd", b"345")
    assert system.files["/boot/initrd"] == b"12345"
    assert system.changes == (FileChange("/boot/initrd", "appended", {"bytes": 2}, {"bytes": 5}),)


def test_a_file_keeps_what_it_is() -> None:
    system = PaperSystem({"/etc/x": "1", "/etc/d/y": ""})
    system.write("/etc/x", b"2", 0o600)
    system.write("/etc/z", b"3", 0o600)
    assert system.paper.modes == {"/etc/z": 0o600}
    with raises_problem("guest-file-unusual"):
        system.link("/etc/x", "z")
    with raises_problem("guest-file-unusual"):
        system.remove("/etc/d")


def test_a_check_changes_nothing() -> None:
    system = PaperSystem({"/a": "1"}, programs={"true": lambda _files, _argv: ""})
    system.writable = False
    for change in (
        lambda: system.write("/a", b"2"),
        lambda: system.append("/a", b"2"),
        lambda: system.remove("/a"),
        lambda: system.link("/b", "a"),
        lambda: system.run(["true"]),
    ):
        with raises_problem("step-failed", "must not change"):
            change()
    assert system.files == {"/a": b"1"}


def test_a_large_file_that_is_replaced_is_told_by_its_sizes() -> None:
    system = PaperSystem({"/a": bytes(5 << 20)})
    system.write("/a", b"x")
    assert system.changes == (FileChange("/a", "written", {"bytes": 5 << 20}, {"bytes": 1}),)
    system = PaperSystem({"/a": bytes(5 << 20)})
    system.remove("/a")
    assert system.changes == (FileChange("/a", "removed", {"bytes": 5 << 20}, None),)
